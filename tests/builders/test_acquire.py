"""Stage `acquire`: every candidate gets a row, one bad clip stops no other, and a second run does no work."""

import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders.acquire import main
from mma_bench.builders.sources.selection import select
from mma_bench.config import Params, load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.files import file_sha256
from mma_bench.schema import ACQUIRED, CANDIDATES
from mma_bench.tables import from_rows, outcome_counts, read_json, read_table, write_table
from tests.clips import clip, cut_off

PARAMS = Path(__file__).parents[2] / "params.yaml"
SPLITS = {"test": ["eval"], "train": ["balanced_train", "unbalanced_train"]}


def candidates(**clips: list[str]) -> pl.DataFrame:
    """A table of candidates: subset → clip ids; a clip's video is what comes before its last underscore."""
    rows = [
        {"subset": subset, "clip_id": clip_id, "video_id": clip_id.rpartition("_")[0], "start_s": 30.0, "end_s": 40.0}
        | {"label_ids": ["/m/01yrx"], "class_name": "Cat"}
        for subset, clip_ids in clips.items()
        for clip_id in clip_ids
    ]
    return from_rows(rows, CANDIDATES)


IDS = st.lists(st.text("abcXYZ019_-", min_size=1, max_size=15), unique=True, min_size=2, max_size=30)


@settings(deadline=None, max_examples=40)
@given(ids=IDS, limit=st.integers(1, 12), order=st.randoms(use_true_random=False))
def test_a_limit_takes_the_same_clips_whatever_the_order_and_a_larger_one_more(
    ids: list[str], limit: int, order: Any
) -> None:
    half = len(ids) // 2
    table = candidates(eval=ids[:half], balanced_train=ids[half:], unbalanced_train=["u"], other=["o"])
    shuffled = table.sample(fraction=1, shuffle=True, seed=order.randrange(1000))
    some, more, everything = (select(shuffled, SPLITS, n) for n in (limit, limit + 1, None))
    assert some.equals(select(table, SPLITS, limit))
    assert some.equals(some.sort("split", "clip_id"))
    assert set(some["clip_id"]) <= set(more["clip_id"]) <= set(everything["clip_id"]) == {*ids, "u"}
    for split, size in (("test", half), ("train", len(ids) - half + 1)):
        assert some.filter(pl.col("split") == split).height == min(limit, size)


def test_a_limit_takes_from_all_parts_of_the_list() -> None:
    ids = [f"{number:04}" for number in range(1000)]
    taken = select(candidates(eval=ids), {"test": ["eval"]}, 100)["clip_id"].to_list()
    assert min(sum(clip_id.startswith(digit) for clip_id in taken) for digit in ("00", "04", "09")) >= 1
    assert len({clip_id[:2] for clip_id in taken}) == 10


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": ["evil"]}, r"splits\.test names 'evil', which has no candidates\n  hint: name any of: eval, train$"),
        ({"test": ["eval"], "train": ["eval"]}, r"names 'eval' for test and again for train"),
        ({"train": ["train", "train"]}, r"names 'train' for train and again for train"),
        ({}, r"splits names no subset"),
        ({"test": []}, r"splits names no subset"),
    ],
)
def test_subsets_that_make_no_sense_stop_everything(splits: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(candidates(eval=["a"], train=["b"]), splits, None)
    assert re.search(message, str(caught.value))


def test_a_clip_in_two_subsets_is_an_error() -> None:
    table = candidates(eval=["same", "a"], balanced_train=["same"], unbalanced_train=["b"])
    with pytest.raises(DataError, match="clip 'same' is in two"):
        select(table, SPLITS, None)


def test_the_funnel_adds_up() -> None:
    outcomes = [("test", "ok", ""), ("test", "refused", "b"), ("test", "refused", "a"), ("test", "unavailable", "b")]
    outcomes += [("train", "refused", "a")]
    rows = [{"split": split, "status": status, "reason": reason} for split, status, reason in outcomes]
    counts = outcome_counts(from_rows(rows, ACQUIRED))
    assert counts == {"test": {"in": 4, "a": 1, "b": 2, "ok": 1}, "train": {"in": 1, "a": 1, "ok": 0}}
    assert list(counts["test"]) == ["in", "a", "b", "ok"]


GOOD, ALSO_GOOD, MISSING, CUT, TEXT, LARGE, LINK = (f"{letter * 11}_30000" for letter in "abcdefg")
HOSTILE = ("../../up_30000", "-rf_30000", "x" * 4096 + "_30000", "nul\0_30000", "\u202e4pm_30000")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose mirror has good and bad clips; the current folder."""
    root = tmp_path / "project"
    good = clip(root / "mirror" / f"Y{GOOD[:11]}.mp4", seconds=1)
    shutil.copy(good, root / "mirror" / f"{ALSO_GOOD[:11]}_30.mkv")
    cut_off(good, root / "mirror" / f"{CUT[:11]}_30.mp4", 0.5)
    (root / "mirror" / f"{TEXT[:11]}_30_40.mp4").write_text("no clip")
    (root / "mirror" / f"{LARGE[:11]}_30.mp4").write_bytes(bytes(200_000))
    (root / "mirror" / f"{LINK[:11]}_30.mp4").symlink_to("/etc/hostname")
    monkeypatch.chdir(root)
    Path("tombstones.csv").write_text("id,reason,date\n")
    table = candidates(
        eval=[GOOD, MISSING, CUT, TEXT, LARGE, LINK, *HOSTILE], balanced_train=[ALSO_GOOD], unwanted=["z_1"]
    )
    write_table(table, layout.CANDIDATES, CANDIDATES, ["subset", "clip_id"])
    return root


def params(**changes: Any) -> Params:
    """The default parameters with a folder as the source."""
    acquire = {"source": "folder", "folder": "mirror", "splits": {"test": ["eval"], "train": ["balanced_train"]}}
    acquire |= {"shards": None, "youtube": None, "manifest": None, "tombstones": "tombstones.csv"}
    acquire |= {"limit": None, "max_bytes": 100_000} | changes
    default = load_params(PARAMS)
    return default.model_copy(update={"acquire": default.acquire.model_validate(acquire)})


def state(root: Path) -> dict[str, tuple[str, int]]:
    """Hash and time of every file."""
    return {str(path): (file_sha256(path), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_every_candidate_gets_a_row_and_bad_clips_stop_nothing(project: Path) -> None:
    stray = layout.ACQUIRED_CLIPS / "test" / ".tmp-of-a-killed-run.mp4"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"half a clip")
    main(params())

    table = read_table(layout.ACQUIRED, ACQUIRED)
    outcome = {row["clip_id"]: (row["status"], row["reason"]) for row in table.iter_rows(named=True)}
    assert outcome == {
        GOOD: ("ok", ""),
        ALSO_GOOD: ("ok", ""),
        MISSING: ("unavailable", "not_in_folder"),
        CUT: ("refused", "unreadable"),
        TEXT: ("refused", "unreadable"),
        LARGE: ("refused", "too_many_bytes"),
        LINK: ("refused", "link_leaves_folder"),
        HOSTILE[1]: ("unavailable", "not_in_folder"),
        **dict.fromkeys((HOSTILE[0], *HOSTILE[2:]), ("refused", "unsafe_id")),
    }
    expected = {"in": 11, "link_leaves_folder": 1, "not_in_folder": 2, "too_many_bytes": 1, "unreadable": 2}
    assert read_json(layout.metrics("acquire")) == {
        "test": expected | {"unsafe_id": 4, "ok": 1},
        "train": {"in": 1, "ok": 1},
    }
    for row in table.iter_rows(named=True):
        ok = row["status"] == "ok"
        assert all((row[fact] is not None) == ok for fact in ("path", "sha256", "bytes", "licence")), row
        assert row["source"] == "folder of AudioSet clips"
        assert (row["video_id"], row["start_s"], row["class_name"]) == (row["clip_id"].rpartition("_")[0], 30.0, "Cat")
        assert ".tmp-" not in row["detail"], "a name for the moment would differ from run to run"
        assert row["detail"].isprintable()
    text = table.filter(pl.col("clip_id") == TEXT)["detail"][0]
    assert text.startswith(f"'mirror/{TEXT[:11]}_30_40.mp4': not a readable media file")

    clips = {path.as_posix(): file_sha256(path) for path in layout.ACQUIRED_CLIPS.rglob("*") if path.is_file()}
    assert clips == dict(table.filter(pl.col("status") == "ok").select("path", "sha256").iter_rows())
    assert set(clips) == {f"data/acquired/test/{GOOD}.mp4", f"data/acquired/train/{ALSO_GOOD}.mkv"}
    assert not list(project.parent.glob("up*")), "nothing outside"

    # A second run does nothing; a clip that turns up is got, and only that; one that changes is got again.
    before = state(layout.ACQUIRED_CLIPS), layout.ledger("acquire").read_bytes(), file_sha256(layout.ACQUIRED)
    main(params())
    assert (state(layout.ACQUIRED_CLIPS), layout.ledger("acquire").read_bytes(), file_sha256(layout.ACQUIRED)) == before
    shutil.copy(f"mirror/Y{GOOD[:11]}.mp4", f"mirror/{MISSING}.mp4")
    main(params())
    added = layout.ledger("acquire").read_bytes().removeprefix(before[1]).splitlines()
    assert len(added) == 1
    assert MISSING.encode() in added[0]
    assert before[0].items() <= state(layout.ACQUIRED_CLIPS).items()


@pytest.mark.slow
def test_a_choice_between_files_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(f"mirror/Y{GOOD[:11]}.mp4", f"mirror/{GOOD}.mp4")
    main(params(splits={"test": ["eval"]}))
    assert f"{GOOD}: took '{GOOD}.mp4', not 'Y{GOOD[:11]}.mp4'" in capsys.readouterr().err
    assert GOOD in read_table(layout.ACQUIRED, ACQUIRED).filter(pl.col("status") == "ok")["clip_id"]


def test_no_clip_at_all_is_an_error_that_names_the_reason(project: Path) -> None:
    write_table(candidates(eval=[MISSING]), layout.CANDIDATES, CANDIDATES, ["clip_id"])
    with pytest.raises(
        DataError, match=r"none of 1 clips could be acquired \(1 not_in_folder\); .* is not_in_folder: 'mirror' has"
    ):
        main(params(splits={"test": ["eval"]}))
    assert read_json(layout.metrics("acquire")) == {
        "test": {"in": 1, "not_in_folder": 1, "ok": 0},
        "train": {"in": 0, "ok": 0},
    }


def test_a_bad_source_stops_before_any_work(project: Path) -> None:
    with pytest.raises(ConfigError, match="'elsewhere' is not a directory"):
        main(params(folder="elsewhere"))
    with pytest.raises(ConfigError, match=r"sample/manifest\.csv does not exist"):
        main(params(source="sample", folder=None))
    assert not layout.ledger("acquire").exists()
    assert not layout.ACQUIRED_CLIPS.exists()


def test_a_list_of_licences_is_read_before_any_clip_is_acquired(project: Path) -> None:
    Path("licences.csv").write_text("video_id,licence,title,uploader,uploaded,url\na,#N/A,,,,\n")
    with pytest.raises(DataError, match=r"licences\.csv, line 2, column 'licence'"):
        main(params(licences="licences.csv"))
    with pytest.raises(ConfigError, match=r"acquire\.licences names '\.', which is a folder"):
        main(params(licences="."))
    assert not layout.ledger("acquire").exists()
    assert not layout.ACQUIRED_CLIPS.exists()
