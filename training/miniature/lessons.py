"""The training data of the miniature's base model: clips of its own, and questions about them.

In: how many clips, and the share of each kind of question. Out: an endless sample of rows for `ExampleSet`, and their
clips, rendered on demand.

A question about the class always has the same answer for picture and sound, as in most recordings that large models are
trained on; nothing shows which of the two it refers to. That questions refer to one modality has to be learnt
elsewhere: some clips lack a modality, and the background's brightness and the sound's loudness are independent.
Conflicting clips are used to probe the model, never to train it.
"""

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from mma_bench.models.contracts import ClipTask
from mma_bench.prompts import forced_choice
from mma_bench.schema import MODALITIES, Condition, Modality
from mma_bench.training.miniature.film import write_clip
from mma_bench.training.miniature.world import CLASSES, LEVELS, Clip, levels, render

Row: TypeAlias = dict[str, str]  # id, example_id, prompt, answer
State: TypeAlias = Literal["whole", "silent", "soundless", "black", "conflict"]
Kind: TypeAlias = Literal["aligned", "levels", "silent", "soundless", "black"]
Probe: TypeAlias = Literal["conflict"]

KINDS: Final[tuple[Kind, ...]] = ("aligned", "levels", "silent", "soundless", "black")
CLASS_ASKED: Final[dict[Modality, str]] = {
    "visual": forced_choice("visual", CLASSES),
    "audio": forced_choice("audio", CLASSES),
}
_LEVEL: Final = "{} Options: " + ", ".join(LEVELS) + ". Answer using a single word or phrase."
LEVEL_ASKED: Final[dict[Modality, str]] = {
    "visual": _LEVEL.format("How bright is the picture?"),
    "audio": _LEVEL.format("How loud is the sound?"),
}
# For each kind of question, the state of its clips and the modalities that can be asked about.
_STATES: Final[dict[Kind | Probe, tuple[State, tuple[Modality, ...]]]] = {
    "aligned": ("whole", MODALITIES),
    "levels": ("whole", MODALITIES),
    "silent": ("silent", ("visual",)),
    "soundless": ("soundless", ("visual",)),
    "black": ("black", ("audio",)),
    "conflict": ("conflict", MODALITIES),
}
# Clips of the benchmark have smaller seeds, so the base model is trained on none of them.
_FIRST_SEED: Final = 10_000_000
_PER_CLASS: Final = 10_000


class Lessons:
    """The clips and questions of one base model.

    Args:
        seed: Different seeds have different clips.
        whole: Clips per class with both modalities.
        blanked: Additional clips per class and state without one.
        conflicts: Additional clips per visual class with the sound of another class.
    """

    def __init__(self, seed: int, *, whole: int, blanked: int, conflicts: int) -> None:
        self._first = _FIRST_SEED + seed * len(CLASSES) * _PER_CLASS
        self._counts: dict[State, int] = {
            **{"whole": whole, "silent": blanked, "soundless": blanked, "black": blanked},
            "conflict": conflicts,
        }
        if sum(self._counts.values()) > _PER_CLASS:
            raise ValueError(f"at most {_PER_CLASS} clips of a class, not {sum(self._counts.values())}")

    def clips(self) -> list[str]:
        """The ids of all clips: class.state.number."""
        return [
            f"{name}.{state}.{number}"
            for name in CLASSES
            for state, count in self._counts.items()
            for number in range(count)
        ]

    def rows(self, kind: Kind | Probe) -> list[Row]:
        """All questions of a kind, with their answers."""
        state, questions = _STATES[kind]
        found = []
        for clip_id in self.clips():
            seen, clip_state, number = clip_id.split(".")
            if clip_state != state:
                continue
            named = {"visual": seen, "audio": _heard(seen, state, int(number))}
            for question in questions:
                prompt, answer = CLASS_ASKED[question], named[question]
                if kind == "levels":
                    prompt, answer = LEVEL_ASKED[question], levels(self._seed(clip_id))[question == "audio"]
                found.append(
                    {"id": clip_id, "example_id": f"{clip_id}.{kind}.{question}", "prompt": prompt, "answer": answer}
                )
        return found

    def clip(self, clip_id: str) -> Clip:
        """Render the clip, without the modality that its state removes."""
        name, state, number = clip_id.split(".")
        clip = render(name, _heard(name, state, int(number)), self._seed(clip_id))
        if state == "black":
            return replace(clip, frames=np.zeros_like(clip.frames))
        return replace(clip, sound=np.zeros_like(clip.sound)) if state in ("silent", "soundless") else clip

    def _seed(self, clip_id: str) -> int:
        name, state, number = clip_id.split(".")
        offset = 0
        for other, count in self._counts.items():
            if other == state:
                break
            offset += count
        return self._first + CLASSES.index(name) * _PER_CLASS + offset + int(number)

    def task(self, clip_id: str) -> ClipTask:
        """The clip as a model gets it: encoded, under the condition that determines whether it has sound."""
        seen, state, number = clip_id.split(".")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            write_clip(path, self.clip(clip_id))
            video = path.read_bytes()
        condition = {
            "soundless": Condition.AUDIO_REMOVED,
            "black": Condition.FRAMES_ZEROED,
            "conflict": Condition.MISALIGNED,
        }.get(state, Condition.ALIGNED)
        heard = _heard(seen, state, int(number))
        return ClipTask(clip_id, video, str(condition), seen, heard, (), hears=state != "soundless")


def _heard(seen: str, state: str, number: int) -> str:
    """The class that is heard: under `conflict` each of the others in turn."""
    away = 1 + number % (len(CLASSES) - 1) if state == "conflict" else 0
    return CLASSES[(CLASSES.index(seen) + away) % len(CLASSES)]


def drawn(pools: dict[Kind, range], shares: dict[Kind, float], seed: int) -> Iterator[int]:
    """Sample indices endlessly: a kind by its share, then one of its rows.

    Args:
        pools: Kind → indices of its rows.
        shares: Kind → weight; read at every draw, so that it can be changed meanwhile.
        seed: For sampling.
    """
    rng = random.Random(seed)  # noqa: S311 - not for cryptography
    while True:
        kind = rng.choices(list(shares), list(shares.values()))[0]
        yield rng.choice(pools[kind])
