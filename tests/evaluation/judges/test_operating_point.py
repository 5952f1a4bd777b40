"""Thresholds from labelled clips: the rule, and what a point says."""

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mma_bench.evaluation.judges.operating_point import Pair, curve, operating_point, pairs_of_evidence


def pairs(*scored: tuple[bool, float]) -> list[Pair]:
    return [Pair(f"clip{at}", "visual", "Cat", label, score) for at, (label, score) in enumerate(scored)]


MIXED = pairs((True, 0.9), (True, 0.8), (False, 0.7), (True, 0.6), (False, 0.5))


@pytest.mark.parametrize(
    ("wanted", "threshold", "precision", "recall"),
    [(1.0, 0.8, 1.0, 2 / 3), (0.75, 0.6, 0.75, 1.0), (0.6, 0.6, 0.75, 1.0)],
)
def test_the_rule_takes_the_highest_recall_at_the_wanted_precision(
    wanted: float, threshold: float, precision: float, recall: float
) -> None:
    found = curve(MIXED, "visual", wanted)
    assert found is not None
    assert found.chosen is not None
    assert found.chosen.threshold == threshold
    assert found.chosen.precision.mean == pytest.approx(precision)
    assert found.chosen.recall.mean == pytest.approx(recall)
    assert found.chosen.precision.method == "clopper_pearson"
    assert (found.pairs, found.positives) == (5, 3)


def test_where_no_threshold_is_good_enough_none_is_chosen() -> None:
    found = curve(pairs((False, 0.9), (True, 0.5)), "visual", 0.8)
    assert found is not None
    assert found.chosen is None
    nobody = curve(pairs((False, 0.9)), "visual", 0.8)
    assert nobody is not None
    assert (nobody.positives, nobody.average_precision, nobody.chosen) == (0, None, None)
    assert curve(MIXED, "audio", 0.8) is None


@examples(max_examples=40, deadline=None)
@given(
    scored=st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.5, 0.9])), min_size=1, max_size=12),
    wanted=st.floats(0.1, 1),
)
def test_no_threshold_with_that_precision_finds_more(scored: list[tuple[bool, float]], wanted: float) -> None:
    found = curve(pairs(*scored), "visual", wanted)
    assert found is not None
    for threshold in {score for _, score in scored}:
        other = operating_point(pairs(*scored), "visual", threshold)
        if other.precision.mean is None or other.precision.mean < wanted or not other.recall.mean:
            continue
        assert found.chosen is not None
        assert found.chosen.precision.mean is not None
        assert found.chosen.recall.mean is not None
        assert found.chosen.precision.mean >= wanted
        assert found.chosen.recall.mean >= other.recall.mean


def test_people_say_what_is_there_and_the_judge_how_sure_it_is() -> None:
    row = {"clip_id": "a", "class_name": "Cat", "visual_unimodal_score": 0.2, "audio_unimodal_score": 0.7}
    labelled = [{"clip_id": "a", "seen": ["Cat"], "heard": ["Bird"]}]
    assert pairs_of_evidence([row, {**row, "clip_id": "b"}], labelled) == [
        Pair("a", "visual", "Cat", label=True, score=0.2),
        Pair("a", "audio", "Cat", label=False, score=0.7),
    ]


def test_an_operating_point_counts_each_pair_once() -> None:
    scored = [
        Pair("a", "visual", "Cat", True, 0.5),
        Pair("b", "visual", "Cat", True, 0.4),
        Pair("c", "visual", "Cat", False, 0.6),
        Pair("d", "visual", "Cat", False, 0.1),
        Pair("e", "audio", "Cat", True, 0.9),
    ]
    point = operating_point(scored, "visual", 0.5)
    assert (point.found, point.wrong, point.missed) == (1, 1, 1)
    assert (point.precision.mean, point.recall.mean) == (0.5, 0.5)
    heard = operating_point(scored, "audio", 0.5)
    assert (heard.found, heard.wrong, heard.missed) == (1, 0, 0)
    nothing = operating_point(scored, "audio", 1.0)
    assert (nothing.found, nothing.wrong, nothing.missed, nothing.precision.mean) == (0, 0, 1, None)
