"""Responders whose truth is known, asked about a benchmark of the real one's size, without a model or a clip.

655 base clips over 49 classes as uneven as AudioSet's; donors are chosen by the build itself, which levels them over
the classes, so that half of the clips lend their sound and some lend it up to eight times. A responder is a function
of what is seen, heard and said; what it answers is all that scoring gets.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from mma_bench.builders.pair import choose_donors
from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import PAPERS_CONDITIONS, Condition
from tests.evaluation.runs import prediction

BASES: Final = 655
CLASSES: Final = tuple(f"Class_{number:02}" for number in range(49))
FAILED: Final = "(failed)"


@dataclass(frozen=True)
class Asked:
    """One prompt: the clips whose picture and sound are there, None where the modality is taken away."""

    question: str
    picture: str | None
    sound: str | None
    caption: str | None


Answer: TypeAlias = str | None  # a class, None for an answer that cannot be read, or FAILED
Responder: TypeAlias = Callable[[Asked], Answer]


@cache
def class_of() -> dict[str, str]:
    """Clip → class; class sizes fall off as AudioSet's do."""
    weights = 1 / np.arange(1, len(CLASSES) + 1) ** 0.8
    sizes = np.floor(weights / weights.sum() * BASES).astype(int)
    sizes[: BASES - sizes.sum()] += 1
    return {
        f"{name}.{number:03}": name for name, size in zip(CLASSES, sizes, strict=True) for number in range(int(size))
    }


@cache
def donor_of() -> dict[str, str]:
    """Base clip → the clip whose sound it gets, as the stage `pair` chooses it."""
    clips = pl.DataFrame(
        [
            {"clip_id": clip, "video_id": clip, "class_name": name, "video_duration_s": 10.0, "audio_duration_s": 10.0}
            for clip, name in class_of().items()
        ]
    )
    chosen = choose_donors(clips, 1, seed=2511, slack_s=0.1)
    return {base: donors[0] for base, donors in chosen.items()}


def run_of(
    responder: Responder, model: str = "tiny", conditions: tuple[str, ...] = PAPERS_CONDITIONS
) -> list[Prediction]:
    """All answers of a responder, one seed."""
    return list(_run_of(responder, model, conditions))


def _run_of(responder: Responder, model: str, conditions: tuple[str, ...]) -> Iterator[Prediction]:
    classes = class_of()
    for condition in conditions:
        for base in classes:
            donor = donor_of()[base] if condition == Condition.MISALIGNED else None
            seen, heard = classes[base], classes[donor or base]
            caption = following(seen) if condition == Condition.MISLEADING_CAPTION else None
            for question in ("visual", "audio"):
                asked = Asked(
                    question,
                    None if condition == Condition.FRAMES_ZEROED else base,
                    None if condition == Condition.AUDIO_REMOVED else donor or base,
                    caption,
                )
                answer = responder(asked)
                yield prediction(
                    base,
                    condition,
                    question,
                    answer,
                    seen=seen,
                    heard=heard,
                    status="failed" if answer == FAILED else "unparseable" if answer is None else "ok",
                    donor_id=donor,
                    caption=caption,
                    options=list(CLASSES),
                    model=model,
                )


def following(name: str) -> str:
    """Another class, always the same one."""
    return CLASSES[(CLASSES.index(name) + 1) % len(CLASSES)]


def perfect(asked: Asked) -> Answer:
    """Right wherever there is something to see or hear; a guess is the first class."""
    clip = asked.picture if asked.question == "visual" else asked.sound
    return CLASSES[0] if clip is None else class_of()[clip]


def all_wrong(asked: Asked) -> Answer:
    """Never right."""
    right = asked.picture or asked.sound if asked.question == "visual" else asked.sound or asked.picture
    heard = asked.sound or asked.picture
    assert right is not None
    assert heard is not None
    wrong = following(class_of()[right])
    return following(wrong) if wrong in (class_of()[heard], class_of()[right]) else wrong


def sees_only(asked: Asked) -> Answer:
    """Answers both questions with what is seen."""
    return class_of()[asked.picture] if asked.picture is not None else CLASSES[0]


def hears_only(asked: Asked) -> Answer:
    """Answers both questions with what is heard."""
    return class_of()[asked.sound] if asked.sound is not None else CLASSES[0]


def follows_the_caption(asked: Asked) -> Answer:
    """Says what a caption says, and is perfect without one."""
    return asked.caption or perfect(asked)


def denies_everything(_: Asked) -> Answer:
    """No answer can be read."""
    return None


def immune(seed: int = 0) -> Responder:
    """Hearing hangs on the sound alone, seeing on the picture alone; frequent classes are easier.

    Conflict has no effect whatsoever: each clip is seen, or heard, in all conditions or in none.
    """
    rng = np.random.default_rng(seed)
    ease = np.linspace(0.9, 0.3, len(CLASSES))
    names: dict[str, dict[str, str]] = {"visual": {}, "audio": {}}
    for clip, name in class_of().items():
        for question in names:
            known = rng.random() < ease[CLASSES.index(name)]
            names[question][clip] = name if known else CLASSES[int(rng.integers(len(CLASSES)))]

    def answer(asked: Asked) -> Answer:
        clip = asked.picture if asked.question == "visual" else asked.sound
        return CLASSES[0] if clip is None else names[asked.question][clip]

    return answer


def answers_five(asked: Asked) -> Answer:
    """Perfect on the first five clips of the most frequent class, gibberish elsewhere."""
    first = list(class_of())[:5]
    return perfect(asked) if (asked.picture or asked.sound) in first else None


def noisy(sees: float, hears: float, led: float = 0.0, seed: int = 0, *, by_clip: bool = False) -> Responder:
    """Right at known rates, answer by answer; else led by the other modality at a known rate, else another class.

    Args:
        sees: Rate of right answers about the picture.
        hears: About the sound.
        led: Of the answers that are not right, how many name what the other modality shows.
        seed: Another seed draws other answers.
        by_clip: Draws once for each clip whose picture or sound is asked about, instead of for each answer:
            answers about one donor's sound are then all right or all wrong.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[str, str], float] = {}

    def answer(asked: Asked) -> Answer:
        clip, other = (asked.picture, asked.sound) if asked.question == "visual" else (asked.sound, asked.picture)
        rate = sees if asked.question == "visual" else hears
        draw = float(rng.random())
        if by_clip:
            draw = drawn.setdefault((asked.question, clip or ""), draw)
        if clip is not None and draw < rate:
            return class_of()[clip]
        if other is not None and rng.random() < led:
            return class_of()[other]
        return _neither(asked)

    return answer


def _neither(asked: Asked) -> str:
    shown = {class_of()[clip] for clip in (asked.picture, asked.sound) if clip is not None} | {asked.caption}
    return next(name for name in CLASSES if name not in shown)
