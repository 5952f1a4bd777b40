"""Agreement against published figures, and what unanimity and adjudication keep."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from mma_bench.builders.review.consensus import attention, decisions, pairwise, reliability, settle
from mma_bench.builders.verify import CRITERIA
from mma_bench.schema import REVIEWS
from mma_bench.tables import from_rows


def reviews(*votes: tuple[str, str, bool], **more: Any) -> pl.DataFrame:
    """Rows (clip, annotator, passed); the criteria follow the verdict."""
    fixed = {"note": "", "reviewed_at": "2026-01-01T00:00:00+00:00", "guideline_version": "0" * 12, "is_control": False}
    rows = [
        {"clip_id": clip, "annotator": who, "passed": passed, **dict.fromkeys(CRITERIA, passed), **fixed, **more}
        for clip, who, passed in votes
    ]
    return from_rows(rows, REVIEWS)


def grid(votes: dict[str, Sequence[bool | None]]) -> pl.DataFrame:
    return reviews(
        *((f"c{n:03}", who, vote) for who, cast in votes.items() for n, vote in enumerate(cast) if vote is not None)
    )


def test_decisions_are_those_of_the_stage() -> None:
    table = reviews(
        ("both", "a", True), ("both", "b", True), ("split", "a", True), ("split", "b", False), ("one", "a", True),
        ("none", "a", False), ("none", "b", False),
    )  # fmt: skip
    expected = {"both": "ok", "split": "split_vote", "one": "too_few_reviews", "none": "failed_review"}
    assert decisions(table, 2) == expected
    control = reviews(("control", "a", True), ("control", "b", True), is_control=True)
    assert decisions(pl.concat([table, control]), 2) == expected


def test_alpha_is_that_of_the_literature() -> None:
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section A: two observers, ten units: 0.095.
    first = [False, True, False, False, False, False, False, False, True, False]
    second = [True, True, True, False, False, True, False, False, False, False]
    (row,) = (row for row in reliability(grid({"a": first, "b": second})) if row.criterion == "passed")
    assert row.alpha == pytest.approx(0.095, abs=5e-4)
    assert (row.clips, row.percent.mean) == (10, 0.6)
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.alpha < row.high


def test_an_alpha_of_one_has_an_interval_with_a_width() -> None:
    votes = [True, False, True, True, False, True]
    for row in reliability(grid({"a": votes, "b": votes, "c": votes})):
        assert row.low is not None
        assert (row.alpha, row.high) == (1.0, 1.0)
        assert row.low < 0.9


def test_votes_without_a_second_do_not_count_and_sameness_has_no_alpha() -> None:
    for row in reliability(grid({"a": [True, True, False], "b": [True, True, None]})):
        assert (row.clips, row.percent.mean, row.alpha, row.low) == (2, 1.0, None, None)
    for row in reliability(grid({"a": [True]})):
        assert (row.clips, row.percent.mean, row.alpha) == (0, None, None)


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_kappa_is_scikit_learns_and_alpha_follows_it(votes: list[tuple[bool, bool]]) -> None:
    first, second = ([vote[side] for vote in votes] for side in (0, 1))
    table = grid({"a": first, "b": second})
    row = next(row for row in pairwise(table) if row.check == "passed")
    if row.kappa is None:
        assert len({*first, *second}) == 1
        return
    assert row.kappa == pytest.approx(cohen_kappa_score(first, second))
    # With two observers, alpha is Scott's pi corrected for small samples.
    alpha = next(row.alpha for row in reliability(table) if row.criterion == "passed")
    assert alpha is not None
    share = np.mean([*first, *second])
    pi = 1 - np.mean(np.array(first) != second) / (2 * share * (1 - share))
    assert alpha == pytest.approx(1 - (1 - pi) * (2 * len(votes) - 1) / (2 * len(votes)))


def test_a_third_person_settles_split_votes_and_what_was_overruled_is_known() -> None:
    split = [(clip, who, who == "a") for clip in ("x", "y") for who in ("a", "b")]
    table = reviews(*split, ("x", "third", True), ("y", "third", False))
    settled, overruled = settle(table, frozenset({"third"}))
    assert decisions(settled, 2) == {"x": "ok", "y": "split_vote"}
    assert overruled.select("clip_id", "annotator").rows() == [("x", "b")]
    assert settle(table, frozenset())[0].equals(table)


def test_a_control_is_caught_by_a_fail_for_the_right_reason() -> None:
    def control(who: str, *yes: str, passed: bool) -> pl.DataFrame:
        answers = {criterion: criterion in yes for criterion in CRITERIA}
        return reviews(("c", who, passed), **answers, is_control=True)

    votes = [
        control("awake", "object_visible", "action_dynamic", passed=False),
        control("asleep", *CRITERIA, passed=True),
        control("wrong", "object_visible", "audio_pure", passed=False),
    ]
    found = attention(pl.concat(votes), {"c": ("audio_pure",)})
    assert {row["annotator"]: row["caught"] for row in found} == {"awake": 1, "asleep": 0, "wrong": 0}
    assert {row["annotator"]: row["missed"] for row in found} == {"awake": [], "asleep": ["c"], "wrong": ["c"]}
