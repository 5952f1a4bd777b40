"""The laboratory's page: models with a known switch are told apart, and what does not move is not said to move."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mma_bench.evaluation.predictions import Prediction
from mma_bench.files import write_json
from mma_bench.tables import read_json
from mma_bench.training.miniature import laboratory
from mma_bench.training.miniature.metrics import metrics
from mma_bench.training.miniature.seed import LABORATORY_STATES, laboratory_folder
from mma_bench.training.miniature.world import CLASSES
from tests.browser import CHROMIUM, faults
from tests.evaluation.pages import Page
from tests.evaluation.runs import prediction, write_predictions
from tests.training.miniature.raised import runs as answered

LEVELS = (16.0, 8.0, 0.0, -8.0, -16.0)
SWITCH = {"base": 6.0, "tuned": -6.0, "aligned_only": 6.0, "misaligned_only": -6.0}
SEEDS = (3, 4, 5)


def run(switch: float, seed: int, clips: int = 60) -> list[Prediction]:
    """A model that hears the degraded sound above `switch` dB and is led by the picture below it."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(clips):
        seen, heard = CLASSES[number % len(CLASSES)], CLASSES[(number + 3) % len(CLASSES)]
        for level in LEVELS:
            hears = rng.random() < 1 / (1 + np.exp(-(level - switch) / 3))
            for question, answer in (("audio", heard if hears else seen), ("visual", seen)):
                rows.append(
                    prediction(
                        f"clip{number:02}",
                        "degraded_audio",
                        question,
                        answer,
                        seen=seen,
                        heard=heard,
                        manipulation="pink_noise",
                        level=level,
                        key=f"clip{number:02}.{level}/{question}.forced_choice.0",
                        id=f"clip{number:02}.{level}",
                    )
                )
    return rows


def beside(seed: int, accuracies: Mapping[float, float], listens: float, clips: int = 40) -> list[Prediction]:
    """A model that hears a clip right as often as its shift allows, and in three-way conflict follows the sound with
    the probability `listens`, else the caption, whatever it is asked.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(clips):
        picture, sound, caption = (CLASSES[(number + away) % len(CLASSES)] for away in (0, 2, 5))
        for question in ("visual", "audio"):
            for level, accuracy in accuracies.items():
                name = f"clip{number:02}.{level}"
                labels = {"manipulation": "shift", "level": level} if level else {}
                right = question == "visual" or rng.random() < accuracy
                rows.append(
                    prediction(
                        f"clip{number:02}",
                        "shifted_audio" if level else "aligned",
                        question,
                        picture if right else sound,
                        seen=picture,
                        heard=picture,
                        key=f"{name}/{question}.forced_choice.0",
                        id=name,
                        **labels,
                    )
                )
            answer = sound if rng.random() < listens else caption
            rows.append(
                prediction(
                    f"clip{number:02}", "three_way", question, answer, seen=picture, heard=sound, caption=caption
                )
            )
    return rows


ACCURACIES = {0.0: 1.0, -1.0: 0.5, 1.0: 0.75}


def test_accuracy_by_shift_is_that_of_the_answers() -> None:
    rows = laboratory.shifts({"base": [beside(seed, ACCURACIES, 0.5) for seed in SEEDS]})
    found = {(row["question"], row["level"]): row for row in rows}
    assert [level for question, level in found if question == "audio"] == [-1.0, 0.0, 1.0]
    for (question, level), row in found.items():
        assert row["low"] <= (ACCURACIES[level] if question == "audio" else 1.0) <= row["high"]
        assert len(row["seeds"]) == len(SEEDS)
    assert found["audio", -1.0]["high"] < 0.7


def test_three_way_conflict_says_which_sense_is_followed() -> None:
    rows = laboratory.three_way({"base": [beside(seed, ACCURACIES, 0.8) for seed in SEEDS]})
    for question in ("visual", "audio"):
        shares = {row["followed"]: row for row in rows if row["question"] == question}
        assert sum(row["mean"] for row in shares.values()) == pytest.approx(1)
        assert shares["sound"]["low"] <= 0.8 <= shares["sound"]["high"]
        assert shares["picture"]["mean"] == shares["neither"]["mean"] == 0


def made(switches: Mapping[str, float] = SWITCH) -> dict[str, list[list[Prediction]]]:
    return {
        state: [run(switches[state], 10 * seed + place) + beside(seed, ACCURACIES, 0.8) for seed in SEEDS]
        for place, state in enumerate(LABORATORY_STATES)
    }


def test_the_known_switch_is_within_the_intervals_and_moves_as_it_was_made_to() -> None:
    (noise,) = laboratory.moved(made())
    held = [
        switch.low is not None and switch.high is not None and switch.low <= SWITCH[state] <= switch.high
        for state, switches in noise.switches.items()
        for switch in switches
    ]
    assert sum(held) >= len(held) - 1  # each holds with 95 %
    assert noise.direction("tuned") == "more"
    (back,) = laboratory.moved(made({**SWITCH, "tuned": 10.0}))
    assert back.direction("tuned") == "less"


def test_a_threshold_beyond_the_levels_is_beyond_all_others_and_two_such_have_no_direction() -> None:
    runs = made()
    runs["tuned"][1] = run(-200.0, 1)  # hears at every level
    (noise,) = laboratory.moved(runs)
    assert noise.switches["tuned"][1].status == "below"
    assert laboratory.threshold(noise.switches["tuned"][1]) == "below all levels"
    assert noise.direction("tuned") == "more"
    runs["base"][1] = run(-200.0, 1)
    (same,) = laboratory.moved(runs)
    assert same.direction("tuned") == "unclear"


def test_points_are_those_of_the_answers_and_add_up() -> None:
    rows = laboratory.points(made())
    for level in LEVELS:
        at = {
            (row["role"], row["followed"]): row["mean"]
            for row in rows
            if row["level"] == level and row["state"] == "base"
        }
        assert sum(at["curve", name] for name in ("degraded", "other", "neither")) == pytest.approx(1)
        assert at["control", "other"] == 1
    heard = [
        row["mean"] for row in rows if (row["role"], row["state"], row["followed"]) == ("curve", "base", "degraded")
    ]
    assert heard == sorted(heard, reverse=True) or heard == sorted(heard)


def write(root: Path) -> Path:
    for state, of_seeds in made().items():
        for seed, rows in zip(SEEDS, of_seeds, strict=True):
            write_predictions(laboratory_folder(root, seed, state) / "predictions.jsonl", rows)
    write_json(root / "metrics.json", metrics(answered()))
    page = root / "laboratory.html"
    laboratory.main(root, SEEDS, root / "metrics.json", page, root / "laboratory.json")
    return page


def test_the_page_says_where_each_seed_switches(tmp_path: Path) -> None:
    page = Page(write(tmp_path).read_text(encoding="utf-8"))
    assert "trusts it longer, in every seed" in page.text
    assert "no common direction" not in page.text.split("Tuned on both")[1].split("Control")[0]
    numbers = read_json(tmp_path / "laboratory.json")
    assert {row["seed"] for row in numbers["thresholds"]} == set(SEEDS)
    heard = [row["mean"] for row in numbers["three_way"] if (row["state"], row["followed"]) == ("base", "sound")]
    assert all(f"{100 * share:.1f}" in page.text for share in heard)
    assert {row["level"] for row in numbers["shifts"]} == set(ACCURACIES)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_the_page_fits_a_phone_and_a_screen(tmp_path: Path) -> None:
    assert not faults(write(tmp_path))
