"""Responders that switch from one sense to the other at a known level, and others that prefer senses at known odds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import step_name
from tests.evaluation.runs import prediction

CLASSES = [f"Class_{number:02}" for number in range(12)]
LEVELS = {"pink_noise": (-20, -15, -10, -5, 0, 5, 10), "mixture": (-12, -6, 0, 6, 12), "blur": (2, 5, 10, 20, 40)}
CONDITION = {"pink_noise": "degraded_audio", "mixture": "mixed_audio", "blur": "degraded_video"}
DEGRADED = {"pink_noise": "audio", "mixture": "audio", "blur": "visual"}
ASKED = {"visual": 0, "audio": 1, "text": 2}


@dataclass(frozen=True)
class Switching:
    """A responder.

    Attributes:
        at: The level at which the mean clip switches.
        slope: Of its logistic function, per unit; below 0 where a higher level leaves less.
        spread: Standard deviation of the switching level, half its variance between donors, half between clips.
        lapses: Share of answers that follow either sense at random.
        neither: Share of answers that name another class.
    """

    at: float
    slope: float = 0.5
    spread: float = 0.0
    lapses: float = 0.0
    neither: float = 0.0


def switching(
    responder: Switching,
    manipulation: str = "pink_noise",
    clips: int = 60,
    seed: int = 0,
    levels: Sequence[float] = (),
    *,
    reference: bool = False,
    model: str = "tiny",
) -> list[Prediction]:
    """Its answers to both questions; the control follows the intact sense. Donors lend their sound to several."""
    rng = np.random.default_rng(seed)
    donors = rng.integers(0, max(2, round(0.6 * clips)), clips)
    by_donor, by_clip = rng.normal(size=clips + 1), rng.normal(size=clips)
    degraded = DEGRADED[manipulation]
    rows = []
    asked = list(product([*(levels or LEVELS[manipulation]), *([None] if reference else [])], ("visual", "audio")))
    for clip, (level, question) in product(range(clips), asked):
        seen, heard = CLASSES[clip % 12], CLASSES[(clip + 1 + clip % 5) % 12]
        kept, other = (heard, seen) if degraded == "audio" else (seen, heard)
        at = responder.at + responder.spread * (by_donor[donors[clip]] + by_clip[clip]) / 2**0.5
        chance = 1.0 if level is None else 1 / (1 + np.exp(-responder.slope * (level - at)))
        if rng.random() < responder.lapses:
            chance = 0.5
        follows = question == degraded and rng.random() < chance
        answer = kept if follows else other
        if rng.random() < responder.neither:
            answer = CLASSES[(clip + 11) % 12]
        condition = "misaligned" if level is None else CONDITION[manipulation]
        step = "" if level is None else f".{step_name(manipulation, level)}"
        row = prediction(f"clip{clip:03}", condition, question, answer, seen=seen, heard=heard, model=model)
        name = f"clip{clip:03}.{condition}.donor{donors[clip]:03}{step}"
        rows.append(
            replace(
                row,
                id=name,
                key=f"{name}/{question}.forced_choice.0",
                donor_id=f"donor{donors[clip]:03}",
                options=CLASSES,
                manipulation=None if level is None else manipulation,
                level=None if level is None else float(level),
            )
        )
    return rows


def three_way(
    strengths: Sequence[float],
    clips: int = 60,
    seed: int = 0,
    obeys: float = 0.5,
    questions: Sequence[str] = ("visual", "audio", "text"),
) -> list[Prediction]:
    """Answers that follow what was asked about, or another sense at the odds of the strengths (log; picture, sound,
    caption), or, one in five of the rest, none.
    """
    rng = np.random.default_rng(seed)
    donors = rng.integers(0, max(2, round(0.6 * clips)), clips)
    rows = []
    for clip, question in product(range(clips), questions):
        shown = [CLASSES[(clip + step) % 12] for step in (0, 3, 6)]
        one, two = (place for place in range(3) if place != ASKED[question])
        captured = one if rng.random() < 1 / (1 + np.exp(strengths[two] - strengths[one])) else two
        answer = CLASSES[(clip + 9) % 12] if rng.random() < 0.2 else shown[captured]
        if rng.random() < obeys:
            answer = shown[ASKED[question]]
        row = prediction(f"clip{clip:03}", "three_way", "visual", answer, seen=shown[0], heard=shown[1])
        rows.append(
            replace(
                row,
                key=f"clip{clip:03}.three_way/{question}.forced_choice.0",
                question=question,
                expected=shown[ASKED[question]],
                caption=shown[2],
                donor_id=f"donor{donors[clip]:03}",
                options=CLASSES,
            )
        )
    return rows
