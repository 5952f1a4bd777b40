"""The Hub's refusals and faults, each with a clear message or a back-off; and the token, which is never shown."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from mma_bench.builders.publish.cli import publish as group
from mma_bench.commands import ReportingGroup
from mma_bench.errors import ConfigError
from mma_bench.hub.client import TRIES, Hub, HubError, repo_name
from tests.builders.publish.conftest import TOKEN
from tests.hub import Hub as StandIn
from tests.hub import Repo

Publish = Callable[..., None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "where", "hint"),
    [
        (401, "^POST /api/repos/create", "log in again"),
        (403, "/preupload/", "a token with write access"),
        (409, "/commit/", "somebody else is changing this repository"),
        (412, "/commit/", "somebody else has committed in the meantime"),
        (413, "^PUT /lfs/", "lower package.max_shard_mb"),
        (413, "/commit/", "lower package.max_shard_mb"),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_repeated(
    publish: Publish, hub: StandIn, waits: list[float], status: int, where: str, hint: str
) -> None:
    fault = hub.fail(where, status, times=100)
    with pytest.raises(HubError) as refused:
        publish()
    assert refused.value.status == status
    assert hint in str(refused.value)
    assert fault.times == 99
    assert waits == []
    assert not hub.repos.get(("dataset", "org/mma")) or not hub.repos["dataset", "org/mma"].tags


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "where"),
    [
        (500, "^GET .*/refs"),
        (502, "/commit/"),
        (429, "/tag/"),
        (503, "^PUT /lfs/"),
        (504, "^GET .*/resolve/1.0.0/"),
    ],
)
def test_a_passing_fault_is_waited_for(
    publish: Publish, hub: StandIn, waits: list[float], status: int, where: str
) -> None:
    fault = hub.fail(where, status, times=2)
    publish()
    assert fault.times == 0
    assert hub.repos["dataset", "org/mma"].tags
    if where in ("^GET .*/refs", "/commit/", "/tag/"):  # the client waits itself for the others
        assert len(waits) == 2
        assert 1 <= waits[0] <= 2 <= waits[1] <= 4


@pytest.mark.slow
def test_a_connection_that_is_cut_is_made_again(publish: Publish, hub: StandIn) -> None:
    cut = [hub.fail(where, after=1000) for where in ("^PUT /lfs/", "/commit/", "^GET .*/resolve/1.0.0/data/")]
    publish()
    assert [fault.times for fault in cut] == [0, 0, 0]


def test_a_server_that_stays_away_ends_the_command(client: Hub, hub: StandIn, waits: list[float]) -> None:
    hub.fail("/refs", 503, times=100)
    hub.repos["dataset", "org/mma"] = Repo()
    hub.repos["dataset", "org/mma"].commit({})
    with pytest.raises(HubError, match="uploaded files are kept") as ended:
        client.ask("tags", client.api.list_repo_refs, "org/mma", repo_type="dataset")
    assert ended.value.status == 503
    assert len(waits) == TRIES - 1
    assert all(earlier <= later for earlier, later in pairwise(waits))


def test_the_wait_is_what_the_server_asks(client: Hub, hub: StandIn, waits: list[float]) -> None:
    hub.fail("whoami", 429, headers={"Retry-After": "17"})
    client.ask("who", client.api.whoami)
    assert waits == [17.0]


def test_a_retry_is_announced_with_its_reason_and_wait(
    client: Hub, hub: StandIn, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    hub.fail("whoami", 503, headers={"Retry-After": "17"})
    client.ask("who", client.api.whoami)
    assert capsys.readouterr().err == f"who: status 503, again in 17 s (1 of {TRIES})\n"


def test_an_error_that_is_not_the_networks_is_raised_as_it_is(client: Hub, waits: list[float]) -> None:
    def broken() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        client.ask("who", broken)
    assert waits == []


def test_a_wait_that_is_too_long_is_left_to_the_next_run(client: Hub, hub: StandIn, waits: list[float]) -> None:
    hub.fail("whoami", 429, headers={"Retry-After": "3600"})
    with pytest.raises(HubError, match="run the same command later"):
        client.ask("who", client.api.whoami)
    assert waits == []


def test_a_token_in_what_the_server_says_is_not_shown(client: Hub, hub: StandIn) -> None:
    hub.fail("whoami", 403, message=f"token {TOKEN} may not")
    with pytest.raises(HubError) as refused:
        client.ask("who", client.api.whoami)
    assert TOKEN not in str(refused.value)
    assert "***" in str(refused.value)


@pytest.mark.parametrize("name", ["mma", "a/b/c", "../x", "a/..", "org/-x", "org/na me", "https://h/x", "org/x@1", ""])
def test_a_name_that_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a repository"):
        repo_name(name)


@pytest.mark.slow
def test_the_command_tells_its_errors_without_traceback_and_without_token(
    hub: StandIn, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ReportingGroup(commands={"publish": group})
    run = CliRunner()
    command = ["publish", "dataset", "--repo", "org/mma", "--version", "1.0.0"]
    monkeypatch.delenv("HF_TOKEN", raising=False)
    nobody = run.invoke(main, command)
    assert (nobody.exit_code, "error: no token for the Hub" in nobody.output) == (2, True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("logging.root.level", 0)
    outputs = [run.invoke(main, [*command, *more]) for more in (["--dry-run"], [], [])]
    assert [output.exit_code for output in outputs] == [0, 0, 0], outputs[-1].output
    hub.token = "another"  # noqa: S105
    refused = run.invoke(main, ["publish", "dataset", "--repo", "org/new", "--version", "1.0.0"])
    assert refused.exit_code == 1
    assert "log in again" in refused.output
    assert TOKEN not in "".join(output.output for output in [*outputs, refused])
    bad = run.invoke(main, ["publish", "dataset", "--repo", "org/mma", "--version", "1.0"])
    assert (bad.exit_code, "'1.0' is not a version" in bad.output) == (2, True)
    lost = run.invoke(main, [*command, "--dataset", "nowhere"])
    assert (lost.exit_code, "nowhere" in lost.output) == (1, True)
