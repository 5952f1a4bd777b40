"""Responders whose truth is known, through the real `score`, `report` and `leaderboard`."""

from pathlib import Path
from typing import Any

import pytest

from mma_bench.evaluation import leaderboard, report
from mma_bench.evaluation.score import main as score_run
from mma_bench.evaluation.score import score
from mma_bench.schema import Condition
from mma_bench.tables import read_json
from tests.evaluation import responders
from tests.evaluation.responders import BASES, CLASSES, Responder, run_of
from tests.evaluation.runs import write_run

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


@pytest.mark.slow
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


@pytest.mark.slow
def test_report_and_leaderboard_say_what_the_responders_are(tmp_path: Path) -> None:
    known = {
        "immune": responders.immune(),
        "perfect": responders.perfect,
        "sees": responders.sees_only,
        "hears": responders.hears_only,
        "five": responders.answers_five,
        "fails": _fails_once,
    }
    for name, responder in known.items():
        write_run(tmp_path / name, run_of(responder, name, conditions=CONFLICTS))
    leaderboard.main(tmp_path)
    board = read_json(tmp_path / "leaderboard.json")
    rank = {row["run"]: row["rank"].get("forced_choice") for row in board["runs"]}
    assert rank == {"perfect": 1, "immune": 2, "five": 3, "sees": 4, "hears": 4, "fails": None}
    assert {row["run"]: row["unranked"] for row in board["runs"] if row["unranked"]} == {"fails": "incomplete"}
    pairs = {(row["first"], row["second"]): row for row in board["pairs"] if row["question"] == "both"}
    assert len(pairs) == 10
    assert pairs["immune", "perfect"]["p_holm"] < 1e-6
    assert (pairs["hears", "sees"]["difference"], pairs["hears", "sees"]["p_holm"]) == (0.0, 1.0)
    for name in ("immune", "fails"):
        score_run(tmp_path / name)
        report.main(tmp_path / name)
    text = (tmp_path / "immune" / "report.md").read_text()
    changes = text[text.index("### Change from aligned") : text.index("### What the answers followed")]
    hearing = next(line for line in changes.splitlines() if line.startswith("| misaligned | audio |"))
    assert hearing == "| misaligned | audio | +0.0 [−1.2, +1.2] | 1.000 | 1.000 | donor | 655 | 0 |"
    assert "Incomplete: 1 of 3,930 prompts failed" in (tmp_path / "fails" / "report.md").read_text()


def _fails_once(asked: responders.Asked) -> str | None:
    first = next(iter(responders.class_of()))
    if asked == responders.Asked("visual", first, first, None):
        return responders.FAILED
    return responders.perfect(asked)
