"""Answers of the miniature's models for tests, without a model: by state, with a skill of their own; seeded."""

import random
from collections.abc import Mapping, Sequence

from mma_bench.evaluation.predictions import Prediction
from mma_bench.training.miniature.metrics import QUESTIONS, STATES
from mma_bench.training.miniature.world import CLASSES
from tests.evaluation.runs import prediction

CONDITIONS = ("aligned", "misaligned", "audio_removed", "frames_zeroed", "misleading_caption")
# How often the misaligned clips are answered rightly: visual and audio question.
SKILL = {
    "base": (0.2, 0.5),
    "tuned": (0.94, 0.99),
    "aligned_only": (0.22, 0.48),
    "misaligned_only": (0.9, 0.97),
    "contrastive": (0.4, 0.6),
    "fork_merge": (0.3, 0.55),
    "steering": (0.5, 0.7),
}


def run(state: str, seed: int, *, clips: int = 32, conditions: Sequence[str] = CONDITIONS) -> list[Prediction]:
    """One seed's answers of a state; a wrong one under conflict names what the other sense shows."""
    rng = random.Random(f"{state} {seed}")
    rows = []
    for number in range(clips):
        seen = CLASSES[number % len(CLASSES)]
        other = CLASSES[(number + 1 + number // len(CLASSES)) % len(CLASSES)]
        for condition in conditions:
            heard = other if condition == "misaligned" else seen
            for question, skill in zip(QUESTIONS, SKILL[state], strict=True):
                right, wrong = (seen, heard) if question == "visual" else (heard, seen)
                answer = right if rng.random() < skill else wrong
                name = f"{seen.lower()}-test-{number:04}"
                rows.append(
                    prediction(name, condition, question, answer, seen=seen, heard=heard, options=list(CLASSES))
                )
    return rows


def runs(seeds: int = 3, **asked: int) -> Mapping[str, list[list[Prediction]]]:
    """State → the answers of each seed."""
    return {state: [run(state, seed, **asked) for seed in range(seeds)] for state in STATES}
