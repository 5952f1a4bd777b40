"""Whether sound and picture fit in time: responders whose sensitivity and preference are known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from mma_bench.evaluation import report
from mma_bench.evaluation.infer import Plan, infer
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.protocols import Protocol, Sampling
from mma_bench.evaluation.score import main, score
from mma_bench.evaluation.synchrony import sentence, synchrony
from mma_bench.models.baselines import OracleSettings, RandomSettings, open_baseline
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.tables import read_json
from tests.evaluation.doubles import Rows, Scripted, row
from tests.evaluation.runs import CLASSES, answers, prediction, write_run

LEVELS = (-4.0, -0.5, 0.5, 4.0)


def _time(base: str, level: float, answer: str | None, status: str = "ok") -> Prediction:
    condition = "shifted_audio" if level else "aligned"
    step = f".shift{level:+g}" if level else ""
    return prediction(
        base,
        condition,
        "time",
        answer,
        status=status,
        protocol="synchrony",
        key=f"{base}.{condition}{step}/time.synchrony.0",
        id=f"{base}.{condition}{step}",
        options=["Yes", "No"],
        expected="No" if level else "Yes",
        other=None,
        manipulation="shift" if level else None,
        level=level or None,
    )


def _observer(d_prime: dict[float, float], criterion: float, clips: int = 300, seed: int = 0) -> Iterator[Prediction]:
    """Says Yes where a draw of unit variance, lower by d′ if the sound is shifted, is above the criterion."""
    rng = np.random.default_rng(seed)
    for number in range(clips):
        for level in (0.0, *d_prime):
            yes = rng.normal() - d_prime.get(level, 0.0) > criterion
            yield _time(f"clip{number:03}", level, "Yes" if yes else "No")


def _table(rows: list[Prediction]) -> dict[tuple[str, float], dict[str, float]]:
    return {(row["measure"], row["level"]): row for row in score(rows)["time"]}


@pytest.mark.parametrize("criterion", [-1.0, 0.0, 1.5])
def test_sensitivity_is_recovered_whatever_the_observer_prefers_to_say(criterion: float) -> None:
    true = {-4.0: 2.0, -0.5: 0.0, 0.5: 0.5, 4.0: 1.5}
    table = _table(list(_observer(true, criterion, clips=3_000)))
    for level, d_prime in true.items():
        hit, false_alarm = norm.sf(criterion), norm.sf(criterion + d_prime)
        row = table["told_apart", level]
        assert row["d_prime"] == pytest.approx(d_prime, abs=0.2)
        assert row["mean"] == pytest.approx((hit + 1 - false_alarm) / 2, abs=0.02)
        assert table["says_yes", level]["mean"] == pytest.approx(false_alarm, abs=0.03)
    assert table["says_yes", 0.0]["mean"] == pytest.approx(norm.sf(criterion), abs=0.03)
    assert ("told_apart", 0.0) not in table


def test_an_interval_holds_the_truth_in_95_percent_of_draws() -> None:
    true = (norm.sf(0.0) + 1 - norm.sf(0.5)) / 2
    found = [_table(list(_observer({1.0: 0.5}, 0.0, clips=60, seed=seed)))["told_apart", 1.0] for seed in range(200)]
    held = sum(row["low"] <= true <= row["high"] for row in found)
    assert 0.91 <= held / 200 <= 0.99


@pytest.mark.parametrize("word", ["Yes", "No"])
def test_one_word_for_everything_is_chance_at_every_shift(word: str) -> None:
    rows = [_time(f"clip{number}", level, word) for number in range(30) for level in (0.0, *LEVELS)]
    table = score(rows)["time"]
    told = [row for row in table if row["measure"] == "told_apart"]
    assert [(row["level"], row["mean"], row["chance"], row["d_prime"]) for row in told] == [
        (level, 0.5, 0.5, 0.0) for level in LEVELS
    ]
    said = sentence(table)
    assert said is not None
    assert said.startswith("At no shift")


def test_the_smallest_noticed_shift_is_named_and_unreadable_answers_are_wrong() -> None:
    right = [
        _time(f"clip{number}", level, "No" if abs(level) == 4 else "Yes")
        for number in range(40)
        for level in (0.0, *LEVELS)
    ]
    assert "is -4 s" in str(sentence(score(right)["time"]))
    mute = [_time(f"clip{number}", level, None, "unparseable") for number in range(40) for level in (0.0, 1.0)]
    table = _table(mute)
    assert (table["told_apart", 1.0]["mean"], table["says_yes", 0.0]["mean"]) == (0.0, 0.0)
    failed = [_time(f"clip{number}", level, None, "failed") for number in range(4) for level in (0.0, 1.0)]
    assert sentence(score(failed)["time"]) is None


def _classes(shift: float, skill: float) -> list[Prediction]:
    rows = []
    for number in range(20):
        base, right = f"clip{number:02}", CLASSES[number % 3]
        answer = right if number < skill * 20 else "Bowed_string_instrument"
        step = f".shift{shift:+g}" if shift else ""
        condition = "shifted_audio" if shift else "aligned"
        key = f"{base}.{condition}{step}"
        given = {"id": key, "key": f"{key}/audio.forced_choice.0", "level": shift or None}
        rows.append(prediction(base, condition, "audio", answer, seen=right, heard=right, **given))
    return rows


def _shifted(base: str, level: float) -> dict[str, Any]:
    steps = {"id": f"{base}.shifted_audio.shift_{level:g}", "manipulation": "shift", "level": level}
    return {**row(base, "shifted_audio"), **steps}


def test_a_model_is_asked_whether_they_are_in_sync_and_its_words_are_scored(tmp_path: Path) -> None:
    """One that notices two seconds, and says so at length; both baselines that can be asked run too."""
    rows = [
        each for base in "abc" for each in (row(base, "aligned"), *(_shifted(base, level) for level in (-2.0, 0.5)))
    ]
    bench: Any = Rows(rows)
    plan = Plan(("aligned", "shifted_audio"), (Protocol.SYNCHRONY,), Sampling())

    def reply(task: ClipTask, prompt: Prompt) -> Answer:
        assert "Options: Yes, No." in prompt.text
        late = task.id.endswith("-2")
        return Answer(prompt.key, text="No, the sound comes too early." if late else "**Yes**")

    found = read_predictions(infer(Scripted(reply), bench, plan, tmp_path / "model", settings={}))
    assert {(row.question, row.other, tuple(row.options)) for row in found} == {("time", None, ("Yes", "No"))}
    table = {(row["measure"], row["level"]): row["mean"] for row in score(found)["time"]}
    assert table == {
        ("says_yes", -2.0): 0.0,
        ("says_yes", 0.0): 1.0,
        ("says_yes", 0.5): 1.0,
        ("told_apart", -2.0): 1.0,
        ("told_apart", 0.5): 0.5,
    }
    guess = open_baseline("random", RandomSettings())
    guessed = read_predictions(infer(guess, bench, plan, tmp_path / "random", settings={}))
    assert {row.status for row in guessed} == {"ok"}
    knows = open_baseline("oracle", OracleSettings())
    known = read_predictions(infer(knows, bench, plan, tmp_path / "oracle", settings={}))
    assert {row["mean"] for row in score(known)["time"] if row["measure"] == "told_apart"} == {1.0}


def test_accuracy_by_shift_stands_beside_that_of_aligned_clips() -> None:
    rows = [*_classes(0.0, 0.9), *_classes(-2.0, 0.5), *_classes(2.0, 0.25)]
    table = score(rows)["time"]
    assert [(row["condition"], row["question"], row["measure"], row["level"], row["mean"]) for row in table] == [
        ("shifted_audio", "audio", "accuracy", -2.0, 0.5),
        ("aligned", "audio", "accuracy", 0.0, 0.9),
        ("shifted_audio", "audio", "accuracy", 2.0, 0.25),
    ]
    assert sentence(table) is None


def test_the_question_about_time_is_in_no_table_about_classes(tmp_path: Path) -> None:
    """All tables but the accuracies are those of the same run without it."""
    classes = answers()
    about_time = [_time(f"clip{number:02}", level, "Yes") for number in range(12) for level in (0.0, 1.0)]
    without, both = score(classes), score([*classes, *about_time])
    assert "time" not in without
    told = [row for row in both["accuracy"] if row["question"] == "time"]
    assert [(row["condition"], row["mean"], row["chance"]) for row in told] == [
        ("aligned", 1.0, 0.5),
        ("shifted_audio", 0.0, 0.5),
    ]
    both["accuracy"] = [row for row in both["accuracy"] if row["question"] != "time"]
    del both["time"]
    assert both == without
    assert synchrony({}) == []


def test_the_reports_have_a_section_also_of_a_run_that_asked_nothing_else(tmp_path: Path) -> None:
    write_run(tmp_path, [_time(f"clip{number:02}", level, "Yes") for number in range(12) for level in (0.0, -0.5, 4.0)])
    main(tmp_path)
    report.main(tmp_path)
    assert read_json(tmp_path / "report.json")["time"] == read_json(tmp_path / "scores.json")["time"]
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "Sound earlier or later than the picture" in text
        assert "At no shift" in text
        assert "-0.5" in text
        assert "+4" in text
    assert "<figure>None" not in (tmp_path / "report.html").read_text()
