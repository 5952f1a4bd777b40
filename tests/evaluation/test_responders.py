"""Responders whose truth is known, through the real `score`: what is reported of them is what they are."""

from typing import Any

import pytest

from mma_bench.evaluation.score import score
from mma_bench.schema import Condition
from tests.evaluation import responders
from tests.evaluation.responders import BASES, CLASSES, Responder, run_of

CONFLICTS = (Condition.ALIGNED, Condition.MISALIGNED, Condition.MISLEADING_CAPTION)
GUESS = 1 / len(CLASSES)


def _headline(responder: Responder) -> dict[str, dict[str, Any]]:
    rows = score(run_of(responder, conditions=CONFLICTS))["headline"]
    return {f"{row['measure']} {row['question']}": row for row in rows}


def test_the_world_is_as_uneven_as_the_real_one() -> None:
    donors = list(responders.donor_of().values())
    assert len(responders.class_of()) == BASES
    assert 300 < len(set(donors)) < 350
    assert max(map(donors.count, set(donors))) >= 7


def test_conflict_has_no_effect_on_an_immune_responder() -> None:
    drops = score(run_of(responders.immune(), conditions=CONFLICTS))["drop"]
    for row in drops:
        assert row["difference"] == 0.0, row
        assert row["p"] == 1.0
        assert row["low"] < 0 < row["high"]
        assert (row["clusters"], row["unpaired"]) == (BASES, 0)


@pytest.mark.parametrize(
    ("responder", "wanted"),
    [
        (responders.perfect, {"both_right both": 1, "accuracy visual": 1, "balanced_accuracy audio": 1}),
        (responders.all_wrong, {"both_right both": 0, "accuracy visual": 0, "balanced_accuracy audio": 0}),
        (
            responders.sees_only,
            {"both_right both": 0, "accuracy visual": 1, "accuracy audio": 0, "led_by_other audio": 1},
        ),
        (
            responders.hears_only,
            {"both_right both": 0, "accuracy visual": 0, "accuracy audio": 1, "led_by_other visual": 1},
        ),
        (
            responders.follows_the_caption,
            {"both_right both": 1, "led_by_caption visual": 1, "led_by_caption audio": 1, "led_by_other audio": 0},
        ),
        (responders.denies_everything, {"both_right both": 0, "accuracy visual": 0, "led_by_other visual": 0}),
        (responders.answers_five, {"both_right both": 5 / BASES, "accuracy visual": 5 / BASES}),
    ],
)
def test_the_headline_is_the_truth_and_never_certain(responder: Responder, wanted: dict[str, float]) -> None:
    found = _headline(responder)
    for name, value in wanted.items():
        assert found[name]["mean"] == pytest.approx(value), name
    for row in found.values():
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["high"] - row["low"] > 0.005
        assert row["chance"] == pytest.approx(GUESS**2 if row["measure"] == "both_right" else GUESS)
        assert row["clusters"] == BASES


def test_who_answers_five_clips_and_talks_gibberish_elsewhere_is_no_listener() -> None:
    (row,) = [
        row
        for row in score(run_of(responders.answers_five, conditions=CONFLICTS))["accuracy"]
        if (row["condition"], row["question"]) == ("aligned", "audio")
    ]
    assert row["mean"] == row["parsed"] == pytest.approx(5 / BASES)
    assert (row["n"], row["unparseable"]) == (BASES, BASES - 5)


def test_shared_sounds_widen_the_interval_of_hearing_alone() -> None:
    found = _headline(responders.noisy(0.6, 0.6, by_clip=True))
    widths = {
        name: found[f"accuracy {name}"]["high"] - found[f"accuracy {name}"]["low"] for name in ("visual", "audio")
    }
    assert widths["audio"] > 1.4 * widths["visual"]
