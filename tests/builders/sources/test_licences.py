"""Licences of videos: read as the page states them, looked up without media, and kept with the clip."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders.sources import licences, youtube
from mma_bench.builders.sources.credits import Credit, credit_of
from mma_bench.builders.sources.folder import LICENCE
from mma_bench.cli import main
from mma_bench.config import YouTubeParams, load_params
from mma_bench.errors import Blocked, ConfigError, DataError, Permanent, Retryable
from mma_bench.licences import licence_of
from tests.builders.sources.site_project import write_project

MARKED = "Creative Commons Attribution license (reuse allowed)"
PAGE = "https://www.youtube.com/watch?v=aaaaaaaaaaa"


def info(**changes: Any) -> dict[str, Any]:
    return {"license": MARKED, "title": "A cat", "uploader": "Ada", "upload_date": "20120304", **changes}


def credit(**changes: Any) -> Credit:
    return credit_of(info(**changes), "aaaaaaaaaaa", PAGE)


def test_a_marked_video_has_terms_with_its_author() -> None:
    assert credit().terms == f'CC BY, as marked on YouTube: "A cat" by Ada, 2012-03-04, {PAGE}'
    assert licence_of(credit().terms) == "cc-by"


@pytest.mark.parametrize(
    "changes",
    [
        {"license": None},
        {"license": ""},
        {"license": "Standard YouTube License"},
        {"license": "Creative Commons Attribution license (reuse allowed) of another kind"},
        {"license": "CC BY-NC"},
        {"license": {"name": MARKED}},
        {"uploader": None},  # CC BY requires the author's name
        {"uploader": "\u200b"},
        {"uploader": "\u3164"},
        {"uploader": "\0"},
    ],
)
def test_nothing_is_guessed(changes: dict[str, Any]) -> None:
    assert credit(**changes).terms == LICENCE


def test_a_list_that_was_edited_names_a_visible_author_or_none() -> None:
    assert replace(credit(), uploader="\u200b").terms == LICENCE
    assert replace(credit(), uploader="A\0da", title="\u202eA\ncat").terms == credit(uploader="Ada").terms


def test_odd_facts_of_a_page_are_text_on_one_line() -> None:
    odd = credit(title="two\nlines\ud800 | <b>", uploader=None, channel="Ch", upload_date="20121399")
    assert odd.terms == f'CC BY, as marked on YouTube: "two lines\\ud800 | <b>" by Ch, {PAGE}'
    assert len(credit(title="x" * 5000).title) == 300
    assert credit(title="\x1b[1m\u202ebold\0 \u200b", uploader="\u3164", channel="Ch").terms.startswith(
        'CC BY, as marked on YouTube: "[1mbold" by Ch,'
    )
    assert credit_of(None, "aaaaaaaaaaa", PAGE).terms == LICENCE
    secret = credit_of(info(), "aaaaaaaaaaa", "https://user:pass@host/aaaaaaaaaaa?key=secret12345")
    assert "secret12345" not in secret.url
    assert "pass" not in secret.url


VIDEOS = {"aaaaaaaaaaa": info(), "bbbbbbbbbbb": info(license=None), "ccccccccccc": info(title="A, dog")}


@contextmanager
def _site(monkeypatch: pytest.MonkeyPatch, log: Path) -> Iterator[None]:
    """yt-dlp over the videos above; every page that is read is in the log."""
    from yt_dlp.utils import DownloadError

    class Downloader:
        def extract_info(self, page: str, *, download: bool) -> dict[str, Any]:
            assert not download
            video = page.rpartition("/")[2]
            with log.open("a") as stream:
                stream.write(f"{video}\n")
            if video not in VIDEOS:
                raise DownloadError(f"ERROR: [youtube] {video}: This video has been removed by the uploader")
            return VIDEOS[video]

    with monkeypatch.context() as patch:
        patch.setattr(youtube, "_opened", lambda *_: Downloader())
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ids = [*VIDEOS, "ddddddddddd"]
    write_project(tmp_path, "http://127.0.0.1:9/{id}", ids, workers=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def from_table(_: YouTubeParams, payload: dict[str, Any]) -> dict[str, Any]:
    """In place of `look_up_one`, in the workers; every video that is asked for is in the log."""
    video = payload["video_id"]
    with Path("asked.txt").open("a") as stream:
        stream.write(f"{video}\n")
    if video == "ddddddddddd":
        raise Permanent("removed", f"{video}: Video unavailable")
    if video == "eeeeeeeeeee" and not Path("healed").exists():
        raise Retryable("unreachable", "no answer")
    return asdict(credit_of(VIDEOS.get(video, {}), video, f"http://127.0.0.1:9/{video}"))


def look_up(monkeypatch: pytest.MonkeyPatch, exit_code: int = 0, *options: str) -> str:
    monkeypatch.setattr(licences, "look_up_one", from_table)
    result = CliRunner().invoke(main, ["acquire", "licences", *options])
    assert result.exit_code == exit_code, result.output
    return result.output


def asked(project: Path) -> list[str]:
    """The videos asked for since the last call."""
    path = project / "asked.txt"
    found = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(found)


def listed() -> list[str]:
    return list(licences.read_licences(Path("licences.csv")))


def blocked(_: YouTubeParams, payload: dict[str, Any]) -> dict[str, Any]:
    """In place of `look_up_one`, a site that refuses us."""
    raise Blocked("rate_limited", "HTTP 429")


def test_the_list_is_written_and_the_editions_size_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = look_up(monkeypatch)
    assert "3 of 4 videos could be read; 2 are under CC BY" in output
    assert "test: at most 2 of 4 clips, of 1 classes" in output
    assert "too few classes for pair.donors.test (1): clips of another class are needed" in output
    with (project / "licences.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["video_id"], row["licence"], row["title"]) for row in rows] == [
        ("aaaaaaaaaaa", MARKED, "A cat"),
        ("bbbbbbbbbbb", "", "A cat"),
        ("ccccccccccc", MARKED, "A, dog"),
    ]
    assert not list(project.glob("data/acquired/**/*.mp4"))


def test_a_second_run_asks_for_nothing_that_is_known(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up(monkeypatch)
    first = Counter((project / "asked.txt").read_text().split())
    written = (project / "licences.csv").read_bytes()
    look_up(monkeypatch)
    assert Counter((project / "asked.txt").read_text().split()) == first
    assert (project / "licences.csv").read_bytes() == written


def test_videos_that_cannot_be_read_now_leave_a_list_of_the_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(project, "http://127.0.0.1:9/{id}", [*VIDEOS, "eeeeeeeeeee"], workers=1)
    output = look_up(monkeypatch, exit_code=4)
    assert "3 of 4 videos could be read; 2 are under CC BY" in output
    assert "1 is not known yet" in output
    assert "test: at most 2 of 4 clips, of 1 classes; 1 clip is not known yet" in output
    assert "wrote licences.csv" in output
    assert "run the same command again" in output
    assert "--settle" not in output
    assert len(licences.read_licences(Path("licences.csv"))) == 3
    Path("healed").touch()
    assert "4 of 4 videos could be read" in look_up(monkeypatch)


def test_a_block_leaves_the_rows_that_are_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a fresh clone, where the list is there and the ledger is not."""
    licences.write_licences(
        Path("licences.csv"), {video: replace(credit(), video_id=video) for video in ("aaaaaaaaaaa", "zzzzzzzzzzz")}
    )
    written = Path("licences.csv").read_bytes()
    monkeypatch.setattr(licences, "look_up_one", blocked)
    result = CliRunner().invoke(main, ["acquire", "licences"])
    assert result.exit_code == 4, result.output
    assert "1 of 4 videos could be read; 1 is under CC BY" in result.output
    assert Path("licences.csv").read_bytes() == written


def test_a_row_is_known_until_it_is_deleted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = replace(credit(), uploader="Ada, as she wrote")
    licences.write_licences(Path("licences.csv"), {"aaaaaaaaaaa": edited})
    look_up(monkeypatch)
    assert asked(project) == ["bbbbbbbbbbb", "ccccccccccc", "ddddddddddd"]
    assert licences.read_licences(Path("licences.csv"))["aaaaaaaaaaa"] == edited
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["acquire"]["youtube"]["url"] = "http://127.0.0.1:10/{id}"
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    look_up(monkeypatch)
    assert asked(project) == ["ddddddddddd"], "at another address only what is in no row"
    assert listed() == ["aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"]
    layout.ledger(licences.LEDGER).unlink()
    Path("licences.csv").unlink()
    look_up(monkeypatch)
    assert len(asked(project)) == 4


def test_a_video_that_never_answers_is_given_up(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(project, "http://127.0.0.1:9/{id}", [*VIDEOS, "eeeeeeeeeee"], workers=1)
    for _ in range(2):
        assert "2 are under CC BY" in look_up(monkeypatch, 4)
    output = look_up(monkeypatch)
    assert "1 cannot be read (1 unreachable)" in output
    assert "to try them again: mma-bench acquire licences --retry REASON" in output
    assert "not known yet" not in output
    assert "mma-bench build licences" not in output
    asked(project)
    Path("healed").touch()
    look_up(monkeypatch)
    assert asked(project) == []
    assert "4 of 4 videos could be read" in look_up(monkeypatch, 0, "--retry", "unreachable")


@pytest.mark.parametrize("removed", ["aaaaaaaaaaa", "aaaaaaaaaaa_2000"])
def test_a_removed_video_is_neither_asked_for_nor_listed_nor_counted(
    project: Path, monkeypatch: pytest.MonkeyPatch, removed: str
) -> None:
    look_up(monkeypatch)
    assert "aaaaaaaaaaa" in listed()
    Path("tombstones.csv").write_text(f"id,reason,date\n{removed},asked,2026-01-01\n")
    output = look_up(monkeypatch)
    assert "2 of 3 videos could be read; 1 is under CC BY" in output
    assert "1 clip is left out, as acquire.tombstones says" in output
    assert "test: at most 1 of 3 clips" in output
    assert listed() == ["bbbbbbbbbbb", "ccccccccccc"]
    layout.ledger(licences.LEDGER).unlink()
    Path("licences.csv").unlink()
    asked(project)
    look_up(monkeypatch)
    assert "aaaaaaaaaaa" not in asked(project)


@pytest.mark.parametrize("lost", ["result.title", "result", "status", "fingerprint"])
def test_a_video_whose_line_in_the_ledger_lacks_something_is_asked_for_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    look_up(monkeypatch)
    asked(project)
    ledger = layout.ledger(licences.LEDGER)
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    first = next(entry for entry in entries if entry["key"] == "aaaaaaaaaaa")
    del (first["result"] if "." in lost else first)[lost.rpartition(".")[2]]
    ledger.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    Path("licences.csv").unlink()
    assert "3 of 4 videos could be read" in look_up(monkeypatch)
    assert asked(project) == ["aaaaaaaaaaa"]


@pytest.mark.parametrize("out", ["/proc/nope/l.csv", "params.yaml", "params.yaml/l.csv"])
def test_a_list_that_cannot_be_written_stops_the_command_before_it_asks(
    project: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    before = Path("params.yaml").read_bytes()
    monkeypatch.setattr(licences, "look_up_one", from_table)
    result = CliRunner().invoke(main, ["acquire", "licences", "--out", out])
    assert result.exit_code in (1, 2), result.output
    assert out in result.output
    assert "hint" in result.output
    assert asked(project) == []
    assert Path("params.yaml").read_bytes() == before


def test_one_page_is_one_request(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_params(Path("params.yaml")).acquire.youtube
    assert settings is not None
    with _site(monkeypatch, project / "asked.txt"):
        assert youtube.look_up(settings, "aaaaaaaaaaa").is_cc_by
        with pytest.raises(Permanent):
            youtube.look_up(settings, "ddddddddddd")
    assert (project / "asked.txt").read_text().split() == ["aaaaaaaaaaa", "ddddddddddd"]


def test_without_a_site_the_command_says_what_to_set(project: Path) -> None:
    params = load_params(Path("params.yaml"))
    bare = params.model_copy(update={"acquire": params.acquire.model_copy(update={"youtube": None})})
    with pytest.raises(ConfigError, match=r"acquire\.youtube is null"):
        licences.main(bare, project / "licences.csv")


def test_terms_of_the_list_replace_the_uploaders_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "licences.csv"
    licences.write_licences(
        path, {"aaaaaaaaaaa": credit(), "bbbbbbbbbbb": replace(credit(license=""), video_id="bbbbbbbbbbb")}
    )
    table = pl.DataFrame(
        {"video_id": ["aaaaaaaaaaa", "aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"]}
        | {"licence": [LICENCE, "all rights reserved", LICENCE, LICENCE]}
    )
    found = licences.with_licences(table, licences.read_licences(path))["licence"].to_list()
    assert found == [credit().terms, "all rights reserved", LICENCE, LICENCE]


def test_a_list_that_is_not_there_or_has_a_video_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "licences.csv"
    with pytest.raises(ConfigError, match=r"acquire\.licences names"):
        licences.read_licences(path)
    path.write_text("video_id,licence,title,uploader,uploaded,url\na,,,,,\na,,,,,\n")
    with pytest.raises(DataError, match=r"line 3.*already in line 2"):
        licences.read_licences(path)


def test_a_clip_keeps_the_licence_that_its_page_had(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a run ends between the download and the ledger."""
    made = project / "made.mp4"
    made.write_bytes(b"clip")
    params = load_params(Path("params.yaml")).acquire
    assert params.youtube is not None
    source = youtube.YouTubeSource(params.youtube, max_bytes=1000)
    request = source.request(youtube.Segment("aaaaaaaaaaa_2000", "aaaaaaaaaaa", 2.0, 3.0))

    def cut(self: object, video: object, folder: Path, *_: object) -> None:
        (folder / "cut.mp4").write_bytes(b"clip")

    monkeypatch.setattr(youtube.YouTubeSection, "_cut", cut)
    monkeypatch.setattr(youtube, "read_video", lambda *_: None)
    with _site(monkeypatch, project / "asked.txt"):
        first = request.fetch(project / "one.mp4")
        second = request.fetch(project / "two.mp4")
    page = "http://127.0.0.1:9/aaaaaaaaaaa"
    assert first.licence == second.licence == f'CC BY, as marked on YouTube: "A cat" by Ada, 2012-03-04, {page}'
    assert first.credit == second.credit
    assert first.credit is not None
    assert first.credit["uploaded"] == "2012-03-04"
    assert (project / "asked.txt").read_text().split() == ["aaaaaaaaaaa"]
    receipt = json.loads((project / layout.PARTIAL_CLIPS / "aaaaaaaaaaa_2000/section.json").read_text())
    assert receipt["credit"]["licence"] == MARKED


@example(title="#N/A", uploader="#DIV/0!")
@example(title='="A cat"', uploader="'=x")
@given(title=st.text(max_size=20), uploader=st.text(max_size=20))
@settings(deadline=None)
def test_any_title_and_uploader_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, title: str, uploader: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any_licences.csv"
    written = {"aaaaaaaaaaa": replace(credit(), title=title, uploader=uploader)}
    licences.write_licences(path, written)
    assert licences.read_licences(path) == written
