"""Tombstones, frozen manifests, availability and the status: what outlives a build."""

import csv
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from mma_bench import frozen, layout
from mma_bench.builders.acquire import main, tasks
from mma_bench.builders.sources import availability, tombstones
from mma_bench.builders.sources.cli import acquire
from mma_bench.builders.sources.contracts import Refusal
from mma_bench.builders.sources.folder import FolderSource
from mma_bench.builders.sources.status import read_attempts, retry, status_of
from mma_bench.config import load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.schema import ACQUIRED, CANDIDATES
from mma_bench.tables import from_rows, read_json, read_table, write_table
from tests.clips import clip

ROOT = Path(__file__).parents[3]
IDS = tuple(f"{letter * 11}_30000" for letter in "abcd")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four candidates, three of them in a mirror; the current folder."""
    monkeypatch.chdir(tmp_path)
    for clip_id in IDS[:3]:
        clip(Path("mirror") / f"{clip_id}.mp4", seconds=1)
    Path("tombstones.csv").write_text("id,reason,date\n")
    rows = [
        {"subset": "eval" if place % 2 else "balanced_train", "clip_id": clip_id, "video_id": clip_id[:11]}
        | {"start_s": 30.0, "end_s": 40.0, "label_ids": ["/m/0"], "class_name": "Cat"}
        for place, clip_id in enumerate(IDS)
    ]
    write_table(from_rows(rows, CANDIDATES), layout.CANDIDATES, CANDIDATES, ["clip_id"])
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("source: sample\n  folder: null", "source: folder\n  folder: mirror")
    text = text.replace("test: [sample_eval]", "test: [eval]").replace(
        "train: [sample_train]", "train: [balanced_train]"
    )
    Path("params.yaml").write_text(text)
    return tmp_path


def build(**changes: object) -> pl.DataFrame:
    params = load_params(Path("params.yaml"))
    main(params.model_copy(update={"acquire": params.acquire.model_copy(update=changes)}))
    return read_table(layout.ACQUIRED, ACQUIRED)


@pytest.mark.slow
def test_a_tombstone_removes_now_and_for_good(project: Path) -> None:
    build()
    Path("data/variants/test").mkdir(parents=True)
    variant = Path(f"data/variants/test/{IDS[1]}.misaligned.{IDS[0]}.mp4")
    variant.write_bytes(b"x")
    told = CliRunner().invoke(acquire, ["remove", IDS[0][:11], "--reason", "asked by the uploader"])
    assert told.exit_code == 0, told.output
    assert not list(Path("data").rglob(f"*{IDS[0]}*")), "the clip, and the variant with its sound"
    assert Path("tombstones.csv").read_text().splitlines()[1].startswith(f"{IDS[0][:11]},asked by the uploader,")
    table = build()
    row = table.filter(pl.col("clip_id") == IDS[0]).row(0, named=True)
    assert (row["status"], row["reason"]) == ("unavailable", "tombstoned")
    assert not list(Path("data").rglob(f"*{IDS[0]}*"))
    assert "was already" in CliRunner().invoke(acquire, ["remove", IDS[0][:11], "--reason", "again"]).output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("Y0aaaaaaaa", "no id of a clip or a video"),  # ten characters
        (f"YY{IDS[0][1:11]}", "'Y' that lists put before it"),
        (f"Y{IDS[0][:11]}", "'Y' that lists put before it"),
        (f"{IDS[0][:11]}_30", "milliseconds"),
        (f"{IDS[0]}.mp4", "no file name"),
        ("https://www.youtube.com/watch?v=aaaaaaaaaaa", "no id of a clip or a video"),
    ],
)
def test_what_can_be_no_id_is_not_removed(project: Path, given: str, said: str) -> None:
    told = CliRunner().invoke(acquire, ["remove", given, "--reason", "asked"])
    assert told.exit_code != 0
    assert said in str(told.exception)
    assert Path("tombstones.csv").read_text() == "id,reason,date\n"


@pytest.mark.parametrize("given", [IDS[0].upper(), "aaaaaaaaaab", "aaaaaaaaaab_30000"])
def test_an_id_that_matches_nothing_here_is_recorded_and_told(project: Path, given: str) -> None:
    told = CliRunner().invoke(acquire, ["remove", given, "--reason", "asked"])
    assert told.exit_code == 0, told.output
    assert f"no clip or video here is {given}" in told.output
    assert f"did you mean {IDS[0] if '_' in given else IDS[0][:11]}" in told.output
    assert Path("tombstones.csv").read_text().splitlines()[1].startswith(f"{given},asked,")


@pytest.mark.parametrize("given", [IDS[3], IDS[3][:11]])
def test_an_id_of_a_candidate_is_removed_without_a_word(project: Path, given: str) -> None:
    told = CliRunner().invoke(acquire, ["remove", given, "--reason", "asked"])
    assert told.exit_code == 0, told.output
    assert "here is" not in told.output


def test_a_clip_of_ones_own_is_removed_by_its_id_and_nothing_is_known_without_tables(project: Path) -> None:
    layout.CANDIDATES.unlink()
    told = CliRunner().invoke(acquire, ["remove", "cat-1", "--reason", "asked"])
    assert told.exit_code != 0, "an id that is no YouTube id has to be one of this build's"
    layout.ACQUIRED_CLIPS.mkdir(parents=True)
    (layout.ACQUIRED_CLIPS / "cat-1.mp4").touch()
    told = CliRunner().invoke(acquire, ["remove", "cat-1", "--reason", "asked"])
    assert told.exit_code == 0, told.output
    assert "1 files removed" in told.output


def test_a_removal_takes_the_title_and_the_author_from_the_list_of_licences(project: Path) -> None:
    header, row = "video_id,licence,title,uploader,uploaded,url\n", "bbbbbbbbbbb,,B,Bob,,\n"
    Path("licences.csv").write_text(f"{header}aaaaaaaaaaa,,A,Ada,,\n{row}")
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("  licences: null # a CSV", "  licences: licences.csv # a CSV"))
    assert CliRunner().invoke(acquire, ["remove", "aaaaaaaaaaa", "--reason", "asked"]).exit_code == 0
    assert Path("licences.csv").read_text() == header + row


def test_files_that_no_clip_took_are_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mirror/holiday.mp4").touch()
    Path("mirror/zzzzzzzzzzz_30.mp4").touch()
    build()
    told = capsys.readouterr().err
    assert "acquire: 2 of 5 video files in 'mirror' are not used: 1 with a name of no known form" in told
    assert "e.g. 'mirror/holiday.mp4'" in told


def test_a_tombstoned_clip_is_not_even_asked_for(project: Path) -> None:
    source = FolderSource(Path("mirror"), max_bytes=10**6)
    rows = read_table(layout.CANDIDATES, CANDIDATES).with_columns(split=pl.lit("test"))
    stones = {IDS[1]: tombstones.Tombstone(where="", id=IDS[1], reason="no", date="2026-01-01")}
    made = {task.key: task.payload["request"] for task in tasks(rows, source, 10**6, stones)}
    assert isinstance(made[IDS[1]], Refusal)
    assert not isinstance(made[IDS[0]], Refusal)


@pytest.mark.slow
@pytest.mark.parametrize("bad", ["../../etc/passwd", "nul\0", "x" * 300, ""])
def test_a_hostile_id_is_no_tombstone(project: Path, bad: str) -> None:
    with pytest.raises(ConfigError):
        tombstones.main(Path("tombstones.csv"), bad, "why", date(2026, 1, 1))
    assert Path("tombstones.csv").read_text() == "id,reason,date\n"


def test_a_blank_beside_an_id_does_not_bring_a_clip_back(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tombstones.csv").write_text(f"id,reason,date\n {IDS[1]} ,asked,2026-01-01\nmisspelt,asked,2026-01-01\n")
    table = build()
    assert table.filter(pl.col("clip_id") == IDS[1])["reason"].to_list() == ["tombstoned"]
    assert "tombstones.csv: 1 of column 'id' match nothing here, e.g. 'misspelt'" in capsys.readouterr().err
    Path("tombstones.csv").write_text("id,reason,date\na b,asked,2026-01-01\n")
    with pytest.raises(DataError, match=r"tombstones\.csv, line 2, column 'id'"):
        build()


def test_a_missing_or_broken_list_stops_everything(project: Path) -> None:
    Path("tombstones.csv").write_text("id,reason,date\nonly-an-id\n")
    with pytest.raises(DataError, match="line 2"):
        build()
    Path("tombstones.csv").write_text("id,reason,date,note\n")
    with pytest.raises(DataError, match="line 1: unknown column 'note'"):
        build()
    Path("tombstones.csv").unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        build()
    assert not layout.ledger("acquire").exists()


@pytest.mark.slow
def test_a_frozen_manifest_gives_the_same_split_minus_what_is_gone(project: Path) -> None:
    first = build().filter(pl.col("status") == "ok")
    path = Path("manifests/0.1.0.csv")
    assert frozen.freeze(first, path)
    assert not frozen.freeze(first, path), "the same again changes nothing"
    written = path.read_bytes()
    whole = read_json(layout.metrics("subset"))

    another_day = project / "another"
    for gone in (layout.ACQUIRED_CLIPS, layout.LEDGERS):
        (another_day / gone.name).parent.mkdir(exist_ok=True)
        gone.rename(another_day / gone.name)
    Path(f"mirror/{IDS[0]}.mp4").unlink()
    clip(Path("mirror") / f"{IDS[3]}.mp4", seconds=1)  # a clip that turned up takes nobody's place
    again = build(manifest=str(path))
    assert set(again["clip_id"]) == set(IDS[:3])
    kept = again.filter(pl.col("status") == "ok")
    splits = dict(first.select("clip_id", "split").iter_rows())
    assert all(splits[clip_id] == split for clip_id, split in kept.select("clip_id", "split").iter_rows())
    assert set(kept["clip_id"]) == set(IDS[1:3])
    assert path.read_bytes() == written
    with availability.AVAILABILITY.open() as stream:
        listed = {row["clip_id"]: row for row in csv.DictReader(stream)}
    assert {name for name, row in listed.items() if row["status"] != "ok"} == {IDS[0]}
    assert all(len(row["checked"]) == 10 for row in listed.values())
    named = read_json(layout.metrics("subset"))
    assert named["sha256"] != whole["sha256"]
    assert named["sha256"] == frozen.subset_name(kept)
    with pytest.raises(DataError, match="lists other clips"):
        frozen.freeze(kept, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split,clip_id\n", "line 1: column 'video_id' is missing"),
        ("split,clip_id,video_id,label\n", "line 1: unknown column 'label'"),
        ("split,clip_id,video_id\neval,a,a\n", "line 2, column 'split': input should be 'test' or 'train', not 'eval'"),
        ("split,clip_id,video_id\ntest,a,a\ntrain,a,a\n", "line 3: clip_id 'a' is already in line 2"),
    ],
)
def test_a_malformed_manifest_is_named_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "0.1.0.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        frozen.read_frozen_manifest(tmp_path / "0.1.0.csv")
    assert caught.value.message == f"{tmp_path / '0.1.0.csv'}, {message}"


def test_a_manifest_of_another_build_is_refused(project: Path) -> None:
    path = Path("manifests/0.1.0.csv")
    path.parent.mkdir()
    path.write_text(f"split,clip_id,video_id\ntest,{IDS[0]},{IDS[0][:11]}\n")
    with pytest.raises(DataError, match="is a candidate for train"):
        build(manifest=str(path))
    path.write_text("split,clip_id,video_id\ntest,zzz,zzz\n")
    with pytest.raises(DataError, match="is not a candidate"):
        build(manifest=str(path))


def entry(key: str, status: str, reason: str, at: str) -> str:
    rest = {"fingerprint": "f", "detail": "", "result": {}}
    return json.dumps({"key": key, "status": status, "reason": reason, "at": at, **rest}) + "\n"


def test_the_status_counts_last_attempts_and_tells_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = [entry("a", "retry", "timeout", "2026-01-01T00:00:00.000+00:00")]
    lines += [entry(key, "ok", "", f"2026-01-01T01:{minute:02d}:00.000+00:00") for minute, key in enumerate("abcdefg")]
    lines += [entry("h", "unavailable", "removed", "2026-01-01T01:10:00.000+00:00"), '{"key": "cut in the mid']
    path.write_text("".join(lines))
    status = status_of(read_attempts(path), pl.Series([*"abcdefghij"]))
    assert (status.wanted, status.settled, status.attempts) == (10, 8, 9)
    assert status.outcomes.rows() == [("ok", "", 7), ("unavailable", "removed", 1)]
    assert status.per_hour == pytest.approx(42)
    assert status.remaining is not None
    assert status.remaining.total_seconds() == pytest.approx(2 / 42 * 3600)


@pytest.mark.slow
def test_status_and_retry_as_commands(project: Path) -> None:
    build()
    told = CliRunner().invoke(acquire, ["status"])
    assert "4 of 4 clips are settled after 4 attempts" in told.output
    assert "unavailable  not_in_folder" in told.output
    assert retry("not_in_folder") == 1
    assert not layout.ACQUIRED.exists(), "so that DVC runs the stage"
    assert "3 of 4 clips are settled" in CliRunner().invoke(acquire, ["status"]).output
    build()
    assert read_attempts(layout.ledger("acquire")).height == 6
    with pytest.raises(ConfigError, match="name one of: not_in_folder"):
        retry("bored")
