"""Thresholds by class: the rule on scores with known truth, and what is stated about clips that it has not seen."""

import random

import pytest

from mma_bench.evaluation.judges.operating_point import Pair
from mma_bench.evaluation.judges.thresholds import Choice, choose, held_out


def pairs(name: str, scored: list[tuple[bool, float]]) -> list[Pair]:
    return [Pair(f"{name}{at}", "visual", name, label, score) for at, (label, score) in enumerate(scored)]


CATS = pairs("Cat", [(True, 0.9), (True, 0.8), (True, 0.7), (False, 0.6)])
RAIN = pairs("Rain", [(True, 0.3), (True, 0.25), (True, 0.2), (False, 0.1)])
FEW = pairs("Harp", [(True, 0.4), (False, 0.95)])


def chosen(of: list[Pair], classes: tuple[str, ...], precision: float = 1.0) -> dict[str, Choice]:
    found = choose(of, "visual", classes, precision=precision, positives=3)
    assert found is not None
    return {choice.class_name: choice for choice in found}


def test_a_class_with_enough_clips_has_its_own_threshold() -> None:
    found = chosen(CATS + RAIN, ("Cat", "Rain"))
    assert {name: (item.threshold, item.chosen_on) for name, item in found.items()} == {
        "Cat": (0.7, "class"),
        "Rain": (0.2, "class"),
    }
    assert (found["Rain"].pairs, found["Rain"].positives) == (4, 3)
    assert (found["Rain"].point.precision.mean, found["Rain"].point.recall.mean) == (1.0, 1.0)


def test_others_share_the_threshold_of_all() -> None:
    """From 0.2, 7 of 9 pairs are right, and the next threshold below, 0.1, makes it 7 of 10."""
    found = chosen(CATS + RAIN + FEW, ("Cat", "Harp", "Rain", "Unlabelled"), precision=0.75)
    assert (found["Harp"].threshold, found["Harp"].chosen_on) == (0.2, "all")
    assert (found["Harp"].point.precision.mean, found["Harp"].point.recall.mean) == (0.5, 1.0), "on its own clips"
    assert (found["Unlabelled"].threshold, found["Unlabelled"].pairs) == (0.2, 0)
    assert found["Unlabelled"].point.precision.mean is None
    assert (found["Rain"].threshold, found["Rain"].chosen_on) == (0.2, "class"), "with equal recall the highest"
    assert (found["Cat"].threshold, found["Cat"].chosen_on) == (0.7, "class")


def test_a_class_that_reaches_the_precision_nowhere_shares_the_threshold_of_all() -> None:
    wrong = pairs("Door", [(False, 0.99), (True, 0.5), (True, 0.4), (True, 0.3)])
    found = chosen(wrong + pairs("Cat", [(True, 0.9)] * 40), ("Door",), precision=0.9)
    assert (found["Door"].chosen_on, found["Door"].positives) == ("all", 3)
    assert choose(FEW, "visual", ("Harp",), precision=0.9, positives=3) is None
    assert choose(CATS, "audio", ("Cat",), precision=0.9, positives=3) is None, "no clip is labelled by ear"


def test_a_threshold_on_noise_looks_good_where_it_was_chosen_and_not_on_held_out_clips() -> None:
    """Scores that say nothing: 60 classes of 20 clips, half of them positive, so no rule can be right but by chance."""
    rng = random.Random(2511)
    noise = [
        pair
        for number in range(60)
        for pair in pairs(f"Class{number}", [(rng.random() < 0.5, 0.9 * rng.random()) for _ in range(20)])
    ]
    noise += pairs("Clear", [(True, 1.0)] * 40)  # else no threshold of all reaches the precision
    names = sorted({pair.class_name for pair in noise})
    found = choose(noise, "visual", names, precision=0.8, positives=5)
    assert found is not None
    own = [item for item in found if item.chosen_on == "class"]
    assert len(own) > 20
    claimed = sum(item.point.precision.mean or 0 for item in own) / len(own)
    stated = held_out(noise, "visual", precision=0.8, positives=5)
    assert claimed > 0.8
    assert (stated.found - 40) / (stated.precision.n - 40) == pytest.approx(0.5, abs=0.12), "a coin"
    assert stated.threshold is None


def test_held_out_clips_confirm_scores_that_separate() -> None:
    clear = [pair for name in ("Cat", "Rain") for pair in pairs(name, [(True, 0.9)] * 30 + [(False, 0.1)] * 30)]
    point = held_out(clear, "visual", precision=0.95, positives=20)
    assert (point.found, point.wrong, point.missed) == (60, 0, 0)
    assert held_out(clear, "audio", precision=0.95, positives=20).precision.n == 0
