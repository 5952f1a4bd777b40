"""Agreement of judges: kappa against scikit-learn on the raw answers, and what one judge rejects alone."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from mma_bench.evaluation.judges import agreement as audit
from mma_bench.schema import CHECKS, VERDICTS
from mma_bench.tables import from_rows


def verdicts(judge: str, **failed: str | None) -> pl.DataFrame:
    """Clip → the check that failed, None if none did, "refused" if it could not be judged; classes by first letter."""
    rows: list[dict[str, Any]] = []
    for clip, check in failed.items():
        row = {"clip_id": clip, "split": "test", "class_name": {"c": "Cat", "d": "Canidae"}[clip[0]], "judge": judge}
        row |= {"status": "rejected" if check else "ok", "reason": check or "", "judge_revision": "1"}
        if check == "refused":
            rows.append(row | {"status": "refused"})
            continue
        answers = {f"{name}_pass": name != check for name in CHECKS}
        scores = {f"{name}_score": 0.1 if name == check else 0.9 for name in CHECKS}
        rows.append(row | answers | scores)
    return from_rows(rows, VERDICTS)


TWO = {
    "a": verdicts("a", c1=None, c2=None, c3="audio_unimodal", d1=None, d2="refused"),
    "b": verdicts("b", c1=None, c2="visual_unimodal", c3="audio_unimodal", d1=None, d2=None),
}


def test_each_check_and_class_is_compared_on_the_clips_that_both_judged() -> None:
    found = {(row.check, row.class_name): row for row in audit.agreements(TWO)}
    assert found.keys() == {(c, name) for c in (audit.ALL_FOUR, *CHECKS) for name in (None, "Canidae", "Cat")}
    whole = found[audit.ALL_FOUR, None]
    assert (whole.first, whole.second, whole.clips, whole.same) == ("a", "b", 4, 3)
    assert (whole.only_first, whole.only_second) == (1, 0)
    assert whole.kappa == pytest.approx(0.5)
    assert whole.low is not None
    assert whole.high is not None
    assert whole.low <= 0.5 <= whole.high
    sight = found["visual_unimodal", None]
    assert (sight.same, sight.kappa) == (3, pytest.approx(0.0)), "one judge always says yes"
    alone = found["audio_unimodal", "Canidae"]
    assert (alone.clips, alone.same, alone.kappa, alone.low) == (1, 1, None, None)


ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12)


@pytest.mark.slow
@examples(max_examples=25, deadline=None)
@given(answers=ANSWERS)
def test_kappa_is_that_of_the_raw_answers(answers: list[tuple[bool, bool]]) -> None:
    one, other = (np.array(column) for column in zip(*answers, strict=True))
    found = audit.agreement("a", "b", "all_four", None, one, other)
    if len({*one, *other}) == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx(cohen_kappa_score(one, other))
    if found.low is not None and found.high is not None:
        assert -1 <= found.low <= found.high <= 1


@pytest.mark.slow
def test_the_interval_is_the_same_on_every_run_and_narrows_with_clips() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(200) < 0.6
    other = one ^ (rng.random(200) < 0.2)
    few, many = (audit.agreement("a", "b", "c", None, one[:n], other[:n]) for n in (20, 200))
    assert audit.agreement("a", "b", "c", None, one[:20], other[:20]) == few
    assert few.low is not None
    assert few.high is not None
    assert many.low is not None
    assert many.high is not None
    assert many.high - many.low < few.high - few.low


def test_what_one_judge_rejects_alone() -> None:
    (row,) = audit.rejected_alone(TWO)
    assert row == {
        **{"judge": "b", "clip_id": "c2", "class_name": "Cat", "reason": "visual_unimodal"},
        **{"score": 0.1, "words": None},
    }
    assert audit.rejected_alone({"a": TWO["a"]}) == []


def test_classes_and_their_shift() -> None:
    counts = audit.class_counts(TWO)
    assert counts == [
        {"class_name": "Canidae", "clips": 1, "kept": {"a": 1, "b": 1}},
        {"class_name": "Cat", "clips": 3, "kept": {"a": 2, "b": 1}},
    ]
    assert audit.distribution_shift(counts, "a") == pytest.approx(1 / 3 - 1 / 4)
    assert audit.distribution_shift(counts, "b") == pytest.approx(1 / 4)
    assert audit.distribution_shift([{"class_name": "Cat", "clips": 2, "kept": {"a": 0}}], "a") is None
