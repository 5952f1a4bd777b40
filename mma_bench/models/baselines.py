"""Baseline engines: random guessing, a constant class, two unimodal models, and an oracle.

* `random` draws one of the options, independently for each clip, question, protocol and seed.
* `majority` answers the most frequent right class of the condition and question, the first by name among equals, so
  it shows what class frequencies alone are worth. "None of the above" is no class. A setting can fix the class. Where
  the frequencies are unknown, as in AVHBench, it answers the first option.
* `oracle` knows both classes, and under abstention that a modality is removed: the score of a perfect model, which
  without a clip there is none.
* `specialist` uses one network for video and another for audio, so neither is influenced by the other modality. It
  classifies black frames and silence like any others. Without a track to hear, or if no option scores above zero, it
  answers "None of the above" if offered and draws an option otherwise.

All answer in the requested form: with `Final Answer:` for chain of thought, with log-likelihoods for `score`.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from mma_bench.config import Count, Namespace
from mma_bench.errors import ConfigError, InvalidInput
from mma_bench.models.clip_bytes import on_disk
from mma_bench.models.contracts import MODES, Answer, ClipTask, Mode, Prompt
from mma_bench.prompts import NONE_OF_THE_ABOVE
from mma_bench.schema import MODALITIES, Condition, Modality, Question

if TYPE_CHECKING:
    from mma_bench.models.specialist.specialist import Specialist

# Weight of a rejected option: log-likelihoods must be finite.
_FLOOR: Final = 1e-4
_RULES: Final = "1"  # bumped when a baseline's answers change


class RandomSettings(Namespace):
    """Settings of `random`."""

    seed: int = 0


class MajoritySettings(Namespace):
    """Settings of `majority`."""

    majority_class: str | None = None  # None: the most frequent one of the condition and question


class OracleSettings(Namespace):
    """`oracle` has no settings."""


class SpecialistSettings(Namespace):
    """Settings of `specialist`."""

    frames: Count = 8  # as in the build's judge


class _CannotAnswer(Exception):
    """What a baseline needs for an answer and the prompt does not give."""


class Baseline(Protocol):
    """A baseline: assigns a weight to each option."""

    def weights(self, task: ClipTask, prompt: Prompt) -> Mapping[str, float]:
        """Non-negative weight by option, 0 if missing. Raises InvalidInput if the clip does not decode."""


class BaselineEngine:
    """A baseline as an `Engine`: the option with the largest weight is the answer.

    Args:
        baseline: Assigns the weights.
        name: Its name in predictions.
        revision: Changes whenever answers may change.
    """

    modes: frozenset[Mode] = MODES

    def __init__(self, baseline: Baseline, *, name: str, revision: str) -> None:
        self.name, self.revision = name, revision
        self.adapter = self.adapter_revision = None
        self._baseline = baseline

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`."""
        return [[self._one(task, prompt) for prompt in task.prompts] for task in tasks]

    def close(self) -> None:
        """Nothing to release."""

    def _one(self, task: ClipTask, prompt: Prompt) -> Answer:
        if not prompt.options:
            why = f"clip {task.id}: {self.name} needs options to choose from, and the prompt has none"
            return Answer(prompt.key, unsupported=why)
        if isinstance(self._baseline, SpecialistBaseline) and prompt.question not in MODALITIES:
            return Answer(prompt.key, unsupported=f"{self.name} only classifies what is seen and what is heard")
        try:
            found = self._baseline.weights(task, prompt)
        except InvalidInput as error:
            return Answer(prompt.key, error=str(error))
        except _CannotAnswer as error:
            return Answer(prompt.key, unsupported=f"{self.name} {error}")
        weights = {option: found.get(option, 0.0) for option in prompt.options}
        if prompt.mode == "score":
            total = sum(weights.values()) + _FLOOR * len(weights)
            logprobs = {option: math.log((weight + _FLOOR) / total) for option, weight in weights.items()}
            return Answer(prompt.key, logprobs=logprobs)
        chosen = max(weights, key=lambda option: weights[option])
        return Answer(prompt.key, text=f"Final Answer: {chosen}" if "Final Answer:" in prompt.text else chosen)


class MajorityEngine(BaselineEngine):
    """`majority` as an engine that `CountsAnswers`."""

    def __init__(self, settings: MajoritySettings, *, name: str) -> None:
        self._majority = Majority(settings)
        super().__init__(self._majority, name=name, revision=f"{_RULES}-{settings.majority_class or 'most-frequent'}")

    def count(self, condition: str, answers: Mapping[Modality, Mapping[str, int]]) -> None:
        """As `CountsAnswers.count`."""
        self._majority.count(condition, answers)


class Random:
    """All the weight on an option drawn from the seed, the clip and the prompt's key."""

    def __init__(self, settings: RandomSettings) -> None:
        self._seed = settings.seed

    def weights(self, task: ClipTask, prompt: Prompt) -> Mapping[str, float]:
        return {_drawn(prompt.options, self._seed, task.id, prompt.key): 1.0}


class Majority:
    """All the weight on one class."""

    def __init__(self, settings: MajoritySettings) -> None:
        self._class = settings.majority_class
        self._frequent: dict[tuple[str, Question | None], str] = {}

    def count(self, condition: str, answers: Mapping[Modality, Mapping[str, int]]) -> None:
        for question, counts in answers.items():
            self._frequent[condition, question] = min(counts, key=lambda name: (-counts[name], name))

    def weights(self, task: ClipTask, prompt: Prompt) -> Mapping[str, float]:
        if self._class is None:
            return {self._frequent.get((task.condition, prompt.question), prompt.options[0]): 1.0}
        if self._class not in prompt.options:
            raise ConfigError(
                f"majority_class {self._class!r} is not an option of clip {task.id}",
                hint=f"choose among {', '.join(prompt.options)}",
            )
        return {self._class: 1.0}


class Oracle:
    """All the weight on the right answer."""

    def __init__(self, settings: OracleSettings) -> None:
        self._settings = settings

    def weights(self, task: ClipTask, prompt: Prompt) -> Mapping[str, float]:
        if prompt.key in task.truths:
            return {task.truths[prompt.key]: 1.0}
        _require_clip(task)
        question = question_of(prompt)
        unseen, unheard = task.condition == Condition.FRAMES_ZEROED, task.condition == Condition.AUDIO_REMOVED
        if (unseen if question == "visual" else unheard or not task.hears) and NONE_OF_THE_ABOVE in prompt.options:
            return {NONE_OF_THE_ABOVE: 1.0}
        return {task.visual_class if question == "visual" else task.audio_class: 1.0}


class SpecialistBaseline:
    """`specialist`: scores of the audio tagger and image classifier; media are decoded once per clip and question."""

    def __init__(self, settings: SpecialistSettings, specialist: "Specialist | None" = None) -> None:
        from mma_bench.models.specialist.specialist import Specialist

        self._specialist = specialist or Specialist.fetched()
        self._frames = settings.frames
        self._task: ClipTask | None = None
        self._perceived: dict[Modality, dict[str, float]] = {}

    @property
    def revision(self) -> str:
        # As for a judge without thresholds, which only matter for yes/no decisions.
        settings = {"name": "specialist", "frames": self._frames, "visual_threshold": 0.0, "audio_threshold": 0.0}
        return f"{_RULES}-{self._specialist.revision(settings)}"

    def weights(self, task: ClipTask, prompt: Prompt) -> Mapping[str, float]:
        _require_clip(task)
        question = question_of(prompt)
        scores = self._scores(task, question)
        offered = {option: scores.get(option, 0.0) for option in prompt.options}
        if any(offered.values()):
            return offered
        if NONE_OF_THE_ABOVE in offered:
            return {NONE_OF_THE_ABOVE: 1.0}
        return {_drawn(prompt.options, 0, task.id, prompt.key): _FLOOR}

    def _scores(self, task: ClipTask, question: Modality) -> dict[str, float]:
        """A clip's scores in one modality; those of the latest clip are cached for its other prompts."""
        if task is not self._task:
            self._task, self._perceived = task, {}
        if question not in self._perceived:
            self._perceived[question] = self._perceive(task, question)
        return self._perceived[question]

    def _perceive(self, task: ClipTask, question: Modality) -> dict[str, float]:
        from mma_bench.media.decode import audio, frames

        if question == "audio" and not task.hears:
            return {}
        with on_disk(task) as path:
            if question == "visual":
                return self._specialist.sees(frames(path, self._frames))
            return self._specialist.hears(audio(path))


def question_of(prompt: Prompt) -> Modality:
    """The modality queried by a prompt.

    Raises:
        ValueError: The prompt has no modality.
    """
    if prompt.question not in MODALITIES:
        raise ValueError(f"the prompt {prompt.key!r} does not specify the queried modality")
    return "visual" if prompt.question == "visual" else "audio"


def _require_clip(task: ClipTask) -> None:
    if task.text_alone:
        raise _CannotAnswer("needs a clip")


def _drawn(options: Sequence[str], *key: object) -> str:
    digest = hashlib.sha256(repr(key).encode()).digest()
    return options[int(np.random.default_rng(int.from_bytes(digest[:8], "big")).integers(len(options)))]


def open_baseline(name: str, settings: Namespace) -> BaselineEngine:
    """The baseline for these settings, selected by their type."""
    if isinstance(settings, RandomSettings):
        return BaselineEngine(Random(settings), name=name, revision=f"{_RULES}-seed{settings.seed}")
    if isinstance(settings, MajoritySettings):
        return MajorityEngine(settings, name=name)
    if isinstance(settings, OracleSettings):
        return BaselineEngine(Oracle(settings), name=name, revision=_RULES)
    if isinstance(settings, SpecialistSettings):
        senses = SpecialistBaseline(settings)
        return BaselineEngine(senses, name=name, revision=senses.revision)
    raise TypeError(f"{type(settings).__name__} are the settings of no baseline")
