"""Secrets in URLs reach no message and no file; everything else stays as it is."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mma_bench.builders.publish.shards import copy
from mma_bench.builders.review.store import Store
from mma_bench.commands import ReportingGroup
from mma_bench.errors import ConfigError, DataError, MmaBenchError
from mma_bench.executor.task import Task, entry_of
from mma_bench.fetch import FetchError, Url
from mma_bench.models.openai import OpenaiSettings
from mma_bench.redact import redacted, redacted_address, redacted_settings

SECRET = "hunter2"  # noqa: S105 - of no account
URLS = (
    f"https://me:{SECRET}@host/v1",
    f"s3://me:{SECRET}@bucket/a",
    f"https:/me:{SECRET}@host/v1",
    f"s3://me:{SECRET}/with+slash@bucket/a",
    f"postgresql+psycopg://me:{SECRET}@host:5432/votes",
    f"postgresql://host/votes?user=me&password={SECRET}",
    f"https://host/a?api_key={SECRET}&b=1",
    f"https://host/a?b=1&accessToken={SECRET}",
    f"https://host/a?X-Amz-Signature={SECRET}",
    f"https://host/a?sig={SECRET}#x",
)
HARMLESS = (
    "http://127.0.0.1:8000",
    "http://host:8000/v1",
    "https://host:8080/@channel?v=aBcDeFgHiJk&design=1",
    "hf://datasets/org/name@main/a.parquet",
    "file:///home/me/a b.csv",
    "an address me@host, and key=value",
    "a: b // c@d",
)


@pytest.mark.parametrize("url", URLS)
def test_a_secret_is_hidden_and_the_rest_of_the_text_kept(url: str) -> None:
    text = redacted(f"cannot reach '{url}' now, me@host")
    assert SECRET not in text
    assert text.startswith(f"cannot reach '{url.partition(':/')[0]}:/")
    assert text.endswith("' now, me@host")
    assert redacted(text) == text


def test_an_address_that_was_split_is_hidden() -> None:
    assert redacted(f"'https://me:{SECRET}' is not a repository") == "'https://***' is not a repository"


def test_of_a_server_s_address_the_whole_query_is_hidden() -> None:
    for url in (*URLS, f"https://host/v1?ak={SECRET}", f"https://host/v1?v=1&{SECRET}", f"https://host/v1#{SECRET}"):
        text = redacted_address(f"cannot reach '{url}' now?")
        assert SECRET not in text
        assert text.startswith(f"cannot reach '{url.partition(':/')[0]}:/")
        assert text.endswith("' now?")
        assert redacted_settings({"a": [url, 1, None], "b": {"c": url}}) == {
            "a": [redacted_address(url), 1, None],
            "b": {"c": redacted_address(url)},
        }
    assert redacted_address("http://host:8000/v1 is slow, why?") == "http://host:8000/v1 is slow, why?"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("url", URLS)
def test_no_message_of_a_command_shows_it(url: str) -> None:
    @click.group(cls=ReportingGroup)
    def group() -> None:
        pass

    @group.command()
    def reach() -> None:
        raise DataError(f"{url} is not there", hint=f"correct {url}")

    @group.command()
    def write() -> None:
        raise FileNotFoundError(2, "No such file", url)

    for command in ("reach", "write"):
        said = CliRunner().invoke(group, [command])
        assert said.exit_code == 1
        assert SECRET not in said.output


def test_no_ledger_holds_it() -> None:
    for url in URLS:
        assert SECRET not in entry_of(Task("a", "f", {}), "retry", "timeout", f"{url} is slow")["detail"]


def test_settings_with_a_user_in_the_address_are_refused() -> None:
    """A query is sent and never recorded; see tests/evaluation/test_served.py."""
    with pytest.raises(ValueError, match="api_key_env") as error:
        OpenaiSettings(model="m", base_url=URLS[0])
    assert "api_key_env" in error.value.errors()[0]["msg"]  # type: ignore[attr-defined]


def test_a_fetch_a_database_and_a_target_do_not_show_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FetchError) as fetched:
        Url(f"http://me:{SECRET}@127.0.0.1:9/a?token={SECRET}").fetch("a", "0" * 64)
    with pytest.raises(ConfigError) as opened:
        Store(f"nodialect://me:{SECRET}@host/votes?password={SECRET}")
    with pytest.raises(MmaBenchError) as copied:
        copy(tmp_path, f"s3://me:{SECRET}@bucket")
    said = capsys.readouterr()
    for text in (str(fetched.value), str(opened.value), str(copied.value), said.out, said.err):
        assert SECRET not in text
