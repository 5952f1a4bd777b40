"""The consensus rule of appendix B.2, and reviews that cannot be read."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders import verify as stage
from mma_bench.builders.labels import vggsounder
from mma_bench.builders.verify import consensus, read_reviews, verify, with_votes
from mma_bench.config import Params, load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.schema import ACQUIRED, ALIGNED, NORMALISED, REVIEWS, VERDICTS
from mma_bench.tables import from_rows, read_json, read_table, write_table

HEADER = "clip_id,annotator,object_visible,audio_pure,action_dynamic\n"


@pytest.mark.slow
@given(st.dictionaries(st.text(min_size=1, max_size=2), st.booleans(), max_size=5), st.integers(1, 3))
def test_only_unanimous_passes_of_enough_people_keep_a_clip(votes: dict[str, bool], annotators: int) -> None:
    assert (consensus(votes, annotators) == "ok") == (len(votes) >= annotators and all(votes.values()))


@pytest.fixture
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = ["both", "split", "one", "none", "rejected"]
    clips = [
        {"clip_id": clip, "split": "test", "status": "ok", "class_name": "Cat", "licence": "CC BY 4.0"} for clip in ids
    ]
    verdicts = [
        {"clip_id": clip, "split": "test", "status": "rejected" if clip == "rejected" else "ok", "judge": "specialist"}
        for clip in ids
    ]
    return from_rows(clips, NORMALISED), from_rows(verdicts, VERDICTS)


BY_TWO = {"both": {"a": True, "b": True}, "split": {"a": True, "b": False}, "one": {"a": True}}


def test_required_reviews_decide(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    aligned, counts = verify(*tables, BY_TWO, required=True, annotators=2)
    assert aligned["clip_id"].to_list() == ["both"]
    assert aligned["human_verified"].to_list() == [True]
    assert counts == {"test": {"in": 4, "split_vote": 1, "too_few_reviews": 2, "ok": 1}}


def test_without_the_rule_the_judge_decides_and_rows_say_so(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    aligned, counts = verify(*tables, BY_TWO, required=False, annotators=2)
    assert dict(aligned.select("clip_id", "human_verified").iter_rows()) == {
        "both": True,
        "split": False,
        "one": False,
        "none": False,
    }
    assert counts == {"test": {"in": 4, "ok": 4}}
    assert aligned.schema == ALIGNED


def test_reviews_are_read(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(HEADER + "x,a,yes, YES ,yes\nx,b,yes,no,yes\n", encoding="utf-8-sig")
    assert read_reviews(path) == {"x": {"a": True, "b": False}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,a,yes,yes\n", "line 2: 4 columns, the header has 5"),
        ("x,,yes,yes,yes\n", "line 2, column 'annotator': empty"),
        ("x,a,yes,maybe,yes\n", "line 2, column 'audio_pure': 'maybe' is neither yes nor no"),
        ("x,a,yes,yes,yes\nx,a,no,yes,yes\n", "line 3: clip_id 'x', annotator 'a' is already in line 2"),
    ],
)
def test_bad_reviews_name_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(HEADER + row)
    with pytest.raises(DataError, match=message) as raised:
        read_reviews(path)
    assert str(path) in str(raised.value)


def review(clip: str, annotator: str, *, passed: bool = True, **other: Any) -> dict[str, Any]:
    """A row of an export."""
    row = {"clip_id": clip, "annotator": annotator, "passed": passed, "note": "", "is_control": False}
    given = {"reviewed_at": "2026-11-22T10:00:00Z", "guideline_version": "1"}
    return {**row, **given, **dict.fromkeys(stage.CRITERIA, passed), **other}


def exported(path: Path, *rows: dict[str, Any]) -> Path:
    from_rows(list(rows), REVIEWS).write_parquet(path)
    return path


def test_an_export_is_read_without_its_control_clips(tmp_path: Path) -> None:
    path = exported(
        tmp_path / "reviews.parquet",
        review("x", "p1"),
        review("x", "p2", passed=False, object_visible=True, audio_pure=True, action_dynamic=True),
        review("y", "p1", passed=False, is_control=True),
    )
    assert read_reviews(path) == {"x": {"p1": True, "p2": False}}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([review("x", "p1", audio_pure=False)], "p1 on x: passed despite a failed criterion"),
        ([review("x", "p1"), review("x", "p1")], "p1 on x: reviewed twice"),
        ([review("x", "p1", action_dynamic=None)], "p1 on x: a value is missing"),
        ([review("x", "vggsounder")], "an annotator of x is called vggsounder"),
    ],
)
def test_bad_exports_name_file_clip_and_annotator(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    path = exported(tmp_path / "reviews.parquet", *rows)
    with pytest.raises(DataError, match=message) as raised:
        read_reviews(path)
    assert str(path) in str(raised.value)


def test_what_is_no_export_is_named(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    with pytest.raises(ConfigError, match="does not exist"):
        read_reviews(path)
    path.write_bytes(b"no table")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_reviews(path)
    from_rows([review("x", "p1")], REVIEWS).drop("is_control").write_parquet(path)
    with pytest.raises(DataError, match="column 'is_control' is missing"):
        read_reviews(path)


def test_vggsounder_is_one_more_reviewer(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    reviews = with_votes({"both": {"a": True, "b": True}, "one": {"a": True}, "split": {"a": True}}, VOTES)
    aligned, counts = verify(*tables, reviews, required=True, annotators=2)
    assert dict(aligned.select("clip_id", "evidence").iter_rows()) == {"both": "app", "one": "app, vggsounder"}
    assert counts["test"] == {"in": 4, "split_vote": 1, "too_few_reviews": 1, "ok": 2}


VOTES = {"one": True, "split": False, "rejected": True, "unknown": True}


@pytest.fixture
def project(tmp_path: Path, tables: tuple[pl.DataFrame, pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> Params:
    """A project up to the stage, with VGGSounder's votes as above; `reviews.parquet` passes `both`."""
    params = load_params(Path("params.yaml"))
    monkeypatch.chdir(tmp_path)
    for table, path, schema in zip(tables, (layout.NORMALISED, layout.VERDICTS), (NORMALISED, VERDICTS), strict=True):
        write_table(table, path, schema, ["clip_id"])
    write_table(from_rows(tables[0].rows(named=True), ACQUIRED), layout.ACQUIRED, ACQUIRED, ["clip_id"])
    exported(
        tmp_path / "reviews.parquet",
        review("both", "p1"),
        review("both", "p2"),
        review("one", "p1"),
        review("misspelt", "p1"),
    )
    monkeypatch.setattr(vggsounder, "read", lambda: None)
    monkeypatch.setattr(vggsounder, "votes", lambda clips, labels: VOTES)
    return params


@pytest.mark.parametrize(
    ("evidence", "kept"),
    [
        (["app"], {"both": "app"}),
        (["vggsounder"], {"one": "vggsounder"}),
        (["app", "vggsounder"], {"both": "app", "one": "app, vggsounder"}),
    ],
)
def test_each_kind_of_evidence_is_taken_and_recorded(
    project: Params, evidence: list[str], kept: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rule = project.verify.model_copy(update={"required": True, "evidence": evidence, "reviews": "reviews.parquet"})
    stage.main(project.model_copy(update={"verify": rule}))
    aligned = read_table(layout.ALIGNED, ALIGNED)
    told = "reviews.parquet: 1 of column 'clip_id' match nothing here, e.g. 'misspelt'" in capsys.readouterr().err
    assert told == ("app" in evidence)
    assert dict(aligned.select("clip_id", "evidence").iter_rows()) == kept
    assert aligned["human_verified"].all()
    # The judge alone decides, and people's word is recorded.
    stage.main(project.model_copy(update={"verify": rule.model_copy(update={"required": False})}))
    aligned = read_table(layout.ALIGNED, ALIGNED)
    assert dict(aligned.filter("human_verified").select("clip_id", "evidence").iter_rows()) == kept
    assert (aligned.height, set(aligned.filter(~pl.col("human_verified"))["evidence"])) == (4, {""})


def test_if_no_clip_passes_the_reasons_of_all_stages_are_counted(project: Params) -> None:
    lost = {"status": "refused", "split": "test", "reason": "silent"}
    clips = read_table(layout.NORMALISED, NORMALISED)
    more = from_rows([lost | {"clip_id": name} for name in ("mute-1", "mute-2")], NORMALISED)
    write_table(pl.concat([clips, more]), layout.NORMALISED, NORMALISED, ["clip_id"])
    verdicts = read_table(layout.VERDICTS, VERDICTS).with_columns(
        reason=pl.when(pl.col("status") == "rejected").then(pl.lit("audio_unimodal")).otherwise(pl.lit(""))
    )
    write_table(verdicts, layout.VERDICTS, VERDICTS, ["clip_id"])
    rule = project.verify.model_copy(update={"required": True, "evidence": ["app"], "reviews": "reviews.csv"})
    Path("reviews.csv").write_text(HEADER + "both,p1,yes,yes,no\nboth,p2,no,no,no\n")
    with pytest.raises(DataError) as raised:
        stage.main(project.model_copy(update={"verify": rule}))
    assert raised.value.message == (
        "no clip passed: normalise dropped 2 silent; judge dropped 1 audio_unimodal; "
        "verify dropped 3 too_few_reviews, 1 failed_review"
    )
    assert read_json(layout.metrics("verify"))["test"]["ok"] == 0, "the counts are there to be read"


def test_a_leak_into_train_and_a_clip_without_donors_are_dropped_by_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In train, one clip looks like a test clip and one is made from a test clip's file; one test clip is longer than
    every other sound.
    """
    monkeypatch.chdir(tmp_path)
    clips = [
        {
            **{"clip_id": f"{name}-{split}", "split": split, "status": "ok", "class_name": name.title()},
            **{"video_id": f"{name}-{split}", "video_duration_s": 5.0, "audio_duration_s": 5.0},
            **{
                "sha256": f"{name}-{split}",
                "video_sha256": f"{name}-{split}",
                "audio_sha256": f"sound of {name}-{split}",
            },
            "phash": f"{0xFF << 8 * (number + 4 * (split == 'train')):016x}",
        }
        for split in ("test", "train")
        for number, name in enumerate(("cat", "cow", "dog", "owl"))
    ]
    clips[0] |= {"video_duration_s": 9.0, "audio_duration_s": 9.0}
    clips[5]["phash"] = clips[2]["phash"]
    files = [clip | ({"sha256": clips[3]["sha256"]} if clip is clips[7] else {}) for clip in clips]
    verdicts = [{**{key: clip[key] for key in ("clip_id", "split")}, "status": "ok", "judge": "s"} for clip in clips]
    write_table(from_rows(files, ACQUIRED), layout.ACQUIRED, ACQUIRED, ["clip_id"])
    write_table(from_rows(clips, NORMALISED), layout.NORMALISED, NORMALISED, ["clip_id"])
    write_table(from_rows(verdicts, VERDICTS), layout.VERDICTS, VERDICTS, ["clip_id"])
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    stage.main(params.model_copy(update={"pair": params.pair.model_copy(update={"donors": {"test": 1, "train": 1}})}))

    left = read_table(layout.ALIGNED, ALIGNED)["clip_id"].to_list()
    assert left == ["cow-test", "dog-test", "owl-test", "cat-train", "dog-train"]
    assert read_json(layout.metrics("verify")) == {
        "test": {"in": 4, "no_donor": 1, "ok": 3},
        "train": {"in": 4, "near_duplicate": 1, "same_file": 1, "ok": 2},
    }
    assert "3 clips are dropped, listed in data/dropped.csv" in capsys.readouterr().err
    listed = pl.read_csv("data/dropped.csv").rows()
    assert listed[0][:3] == ("test", "cat-test", "no_donor")
    assert listed[1] == ("train", "cow-train", "near_duplicate", "like test clip dog-test")
    assert listed[2] == ("train", "owl-train", "same_file", "like test clip owl-test")


def test_if_no_clip_has_an_allowed_licence_the_hint_names_the_key(project: Params) -> None:
    only = project.package.model_copy(update={"licences": ["cc0"]})
    with pytest.raises(DataError, match="verify dropped 4 other_licence") as raised:
        stage.main(project.model_copy(update={"package": only}))
    assert "package.licences allows only cc0" in str(raised.value.hint)
    assert "data/dropped.csv" in str(raised.value.hint)
    assert "threshold" not in str(raised.value.hint)
