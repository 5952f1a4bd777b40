"""The consensus rule of appendix B.2, and reviews that cannot be read."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.builders.verify import consensus, read_reviews, verify
from mma_bench.errors import DataError
from mma_bench.schema import ALIGNED, NORMALISED, VERDICTS
from mma_bench.tables import from_rows

HEADER = "clip_id,annotator,object_visible,audio_pure,action_dynamic\n"


@given(st.dictionaries(st.text(min_size=1, max_size=2), st.booleans(), max_size=5), st.integers(1, 3))
def test_only_unanimous_passes_of_enough_people_keep_a_clip(votes: dict[str, bool], annotators: int) -> None:
    assert (consensus(votes, annotators) == "ok") == (len(votes) >= annotators and all(votes.values()))


@pytest.fixture
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = ["both", "split", "one", "none", "rejected"]
    clips = [{"clip_id": clip, "split": "test", "status": "ok", "class_name": "Cat"} for clip in ids]
    verdicts = [
        {"clip_id": clip, "split": "test", "status": "rejected" if clip == "rejected" else "ok", "judge": "specialist"}
        for clip in ids
    ]
    return from_rows(clips, NORMALISED), from_rows(verdicts, VERDICTS)


REVIEWS = {"both": {"a": True, "b": True}, "split": {"a": True, "b": False}, "one": {"a": True}}


def test_required_reviews_decide(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    aligned, counts = verify(*tables, REVIEWS, required=True, annotators=2)
    assert aligned["clip_id"].to_list() == ["both"]
    assert aligned["human_verified"].to_list() == [True]
    assert counts == {"test": {"in": 4, "split_vote": 1, "too_few_reviews": 2, "ok": 1}}


def test_without_the_rule_the_judge_decides_and_rows_say_so(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    aligned, counts = verify(*tables, REVIEWS, required=False, annotators=2)
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
    path.write_text(HEADER + "x,a,yes,yes,yes\nx,b,yes,no,yes\n")
    assert read_reviews(path) == {"x": {"a": True, "b": False}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,a,yes,yes\n", "line 2: a column is missing"),
        ("x,a,yes,maybe,yes\n", "line 2: a criterion is neither yes nor no"),
        ("x,a,yes,yes,yes\nx,a,no,yes,yes\n", "line 3: a reviewed x twice"),
    ],
)
def test_bad_reviews_name_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(HEADER + row)
    with pytest.raises(DataError, match=message) as raised:
        read_reviews(path)
    assert str(path) in str(raised.value)
