"""What scores, reports, comparisons and leaderboards show of trust curves, and that other runs have nothing of it."""

import json
from pathlib import Path

import pytest

from mma_bench.evaluation import leaderboard, report
from mma_bench.evaluation import score as scoring
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.side_by_side import _trust
from mma_bench.evaluation.trust.differences import difference_text, threshold_differences
from mma_bench.evaluation.trust.sections import TABLES
from mma_bench.evaluation.trust.sentences import number, threshold_sentence, threshold_text
from tests.evaluation.runs import answers, write_run
from tests.evaluation.trust.responders import LEVELS, Switching, switching, three_way


def run(at: float, clips: int = 60, seed: int = 1, **others: object) -> list[Prediction]:
    """Answers about noisy sound, with the clean clips as the reference."""
    return switching(Switching(at, 0.8, spread=1.0, neither=0.1), "pink_noise", clips, seed, reference=True, **others)  # type: ignore[arg-type]


def test_shares_add_up_at_every_level_and_the_clean_sound_stands_beside() -> None:
    table = scoring.score(run(-4.0))["trust"]
    assert {row["level"] for row in table} == {*map(float, LEVELS["pink_noise"]), None}
    for question in ("visual", "audio"):
        for level in {row["level"] for row in table}:
            own = {row["followed"]: row for row in table if (row["question"], row["level"]) == (question, level)}
            assert sum(own[name]["mean"] for name in ("degraded", "other", "neither")) == pytest.approx(1)
            assert all(row["low"] <= row["mean"] <= row["high"] for row in own.values() if row["mean"] is not None)
            assert own["degraded_of_either"]["n"] < own["degraded"]["n"] == 60
    assert {row["role"] for row in table if row["question"] == "audio"} == {"curve"}
    assert {row["role"] for row in table if row["question"] == "visual"} == {"control"}


def test_the_intact_picture_is_the_level_0_of_a_fit() -> None:
    rows = switching(Switching(12.0, -0.5), "blur", reference=True)
    (curve, *_) = scoring.score(rows)["trust_thresholds"]
    assert (curve["question"], curve["lowest"], curve["highest"]) == ("visual", 0.0, 40.0)


def test_clean_clips_of_other_pairs_are_no_reference() -> None:
    rows = [*switching(Switching(-4.0), clips=30), *answers(60)]
    assert None not in {row["level"] for row in scoring.score(rows)["trust"]}


def test_a_run_without_steps_has_no_table_of_them(tmp_path: Path) -> None:
    write_run(tmp_path, answers())
    assert not set(TABLES) & set(scoring.main(tmp_path))
    report.main(tmp_path)
    assert not set(TABLES) & set(json.loads((tmp_path / "report.json").read_text()))
    assert "Trust curves" not in (tmp_path / "report.html").read_text()
    board = leaderboard.main(tmp_path)
    assert set(board) == {"runs", "pairs", "figures"}


def test_the_report_shows_curves_thresholds_and_the_ranking(tmp_path: Path) -> None:
    write_run(tmp_path, [*run(-4.0), *three_way((1.0, -1.0, 0.0), clips=60)])
    scoring.main(tmp_path)
    report.main(tmp_path)
    html, text = ((tmp_path / f"report.{suffix}").read_text() for suffix in ("html", "md"))
    for page in (html, text):
        assert "it follows what it hears; below, it follows the picture." in page
        assert "Where an answer follows a sense that was not asked about" in page
    assert html.count('aria-label="Pink noise over the sound') == 1
    assert "Strengths of the senses" in html


def test_sentences_say_in_which_direction() -> None:
    row = {
        "manipulation": "pink_noise",
        "unit": "dB",
        "status": "estimated",
        "threshold": -3.04,
        "low": -6.0,
        "high": 1.0,
        "lowest": -20.0,
        "highest": 10.0,
        "n": 100,
        "clusters": 20,
    }
    assert (
        threshold_sentence(row)
        == "Down to about −3 dB [−6, +1] it follows what it hears; below, it follows the picture."
    )
    assert threshold_text({**row, "low": None}) == "−3 dB [below −20, +1]"
    never = {**row, "status": "above", "threshold": None, "low": 10.0, "high": None}
    assert (
        threshold_sentence(never)
        == "Among answers that follow either, it follows the picture at every level, even at +10 dB. Its 95 % interval "
        "leaves room for a switch above +10 dB only."
    )
    either = "Among answers that follow either, it follows"
    always = {**row, "status": "below", "threshold": None, "low": None, "high": -20.0}
    assert threshold_sentence(always).startswith(
        "Among answers that follow either, it follows what it hears at every level, even at −20 dB"
    )
    blurred = {**row, "manipulation": "blur", "unit": "%", "threshold": 12.5, "low": 10.0, "high": 14.0}
    assert (
        threshold_sentence(blurred)
        == "Up to about 12.5 % [10, 14] it follows what it sees; beyond, it follows the sound."
    )
    seen = {**blurred, "status": "above", "threshold": None, "low": 40.0, "high": None, "highest": 40.0}
    assert threshold_sentence(seen).startswith(f"{either} what it sees at every level, even at 40 %")
    assert "do not tell" in threshold_sentence({**row, "status": "not_estimable"})
    other = threshold_sentence({**row, "status": "no_single_switch"})
    assert other.startswith("It does not switch from what it hears to the picture at one level: ")
    assert threshold_text({**row, "status": "no_single_switch"}) == "no single switch"
    assert [number(value, "dB") for value in (-0.01, 10.0, -2.52)] == ["0", "+10", "−2.5"]


def test_two_runs_are_compared_with_an_interval() -> None:
    (found,) = _trust(run(-8.0, 200), run(0.0, 200, seed=2))["trust"]
    assert found["difference"] == pytest.approx(8, abs=1.5)
    assert found["low"] < 8 < found["high"]
    assert "dB" in difference_text(found)
    assert _trust(run(-8.0), answers()) == {}


def test_a_bound_gives_a_bound_of_the_difference() -> None:
    (found,) = _trust(run(-8.0), run(60.0))["trust"]
    assert found["difference"] is None
    assert 8 < found["low"] < 20
    assert found["high"] is None
    assert difference_text(found).startswith("more than +")


def test_the_leaderboard_lists_thresholds_and_differences(tmp_path: Path) -> None:
    write_run(tmp_path / "one", run(-8.0))
    write_run(tmp_path / "two", run(0.0, model="other"))
    board = leaderboard.main(tmp_path)
    assert {row["run"] for row in board["trust_thresholds"]} == {"one", "two"}
    (pair,) = board["trust_pairs"]
    assert (pair["first_run"], pair["second_run"]) == ("one", "two")
    assert pair["low"] < 8 < pair["high"]
    assert "Switches at" in (tmp_path / "leaderboard.md").read_text()
    assert "Trust curves" in (tmp_path / "leaderboard.html").read_text()


def test_differences_match_protocol_and_manipulation() -> None:
    rows = scoring.score(run(-4.0))["trust_thresholds"]
    assert threshold_differences(rows, [{**row, "protocol": "abstention"} for row in rows]) == []
