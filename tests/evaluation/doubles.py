"""Stands in for a dataset and a model, so that the loop between them can be tested alone."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mma_bench import prompts
from mma_bench.evaluation.conditions import CONFIGS, as_asked
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.schema import MODALITIES, Condition

OPTIONS = ["Bird", "Cat", "Rain"]


def row(base: str, condition: str, visual: str = "Cat", audio: str = "Cat") -> dict[str, Any]:
    """A row of the dataset, as `builders/dataset/columns.py` makes it."""
    abstains = {"visual": condition == "frames_zeroed", "audio": condition == "audio_removed"}
    answers = {"visual": visual, "audio": audio}
    caption = "Rain" if condition == "misleading_caption" else None
    return {
        "id": f"{base}.{condition}",
        "base_id": base,
        "donor_id": "other" if condition == "misaligned" else None,
        "condition": condition,
        "visual_class": visual,
        "audio_class": audio,
        "class_distance": 4 if condition == "misaligned" else None,
        "caption": caption,
        "context_seed": 7 if condition == "long_context" else None,
        "context": f"far {base} ease" if condition == "long_context" else None,
        "options": OPTIONS,
        "video": {"bytes": b"not a real clip", "path": None},
        **{
            f"{question}_question": prompts.forced_choice(question, OPTIONS)
            if caption is None
            else prompts.misleading_caption(question, OPTIONS, caption)
            for question in MODALITIES
        },
        **{f"{question}_answer": answers[question] for question in answers},
        **{
            f"{question}_abstention_answer": prompts.NONE_OF_THE_ABOVE if abstains[question] else answers[question]
            for question in answers
        },
        **{
            f"{question}_question_short_answer": caption
            and prompts.with_short_answer(prompts.misleading_caption(question, OPTIONS, caption))
            for question in MODALITIES
        },
        "prompt_version": prompts.PROMPT_VERSION,
    }


class Rows:
    """A `Benchmark` whose rows are given."""

    name, revision, split, limit, clips = "rows", None, "test", None, None

    def __init__(self, rows: Sequence[dict[str, Any]], version: str = "1") -> None:
        self._rows, self._version = rows, version

    def conditions(self) -> list[str]:
        return [str(condition) for condition in Condition if any(r["condition"] == condition for r in self._rows)]

    def require_clips(self, conditions: Sequence[str]) -> None:
        """None are chosen."""

    def rows(self, condition: str, columns: Sequence[str] | None = None, **_: int) -> Iterator[dict[str, Any]]:
        for each in self._rows:
            if each["condition"] == CONFIGS[condition]:
                named = as_asked(each, condition)
                yield {key: named[key] for key in columns} if columns else named

    def answers(self, condition: str) -> dict[str, dict[str, int]]:
        return {
            question: dict(Counter(each[f"{question}_answer"] for each in self.rows(condition)))
            for question in MODALITIES
        }

    def judges(self) -> list[str]:
        return ["specialist (YAMNet, EfficientNet-Lite2)"]

    def fingerprint(self, condition: str) -> str:
        return f"{condition} {self._version}"


class Scripted:
    """An `Engine` that answers by a function and notes what it was asked.

    With `stop_after` it answers so many prompts and, at the next, waits for a signal.
    """

    adapter = adapter_revision = None

    def __init__(
        self,
        reply: Callable[[ClipTask, Prompt], Answer],
        *,
        name: str = "scripted",
        log: Path | None = None,
        stop_after: int | None = None,
    ) -> None:
        self.name, self.revision = name, "1"
        self.asked: list[str] = []
        self._reply, self._log, self._stop_after = reply, log, stop_after

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        return [[self._one(task, prompt) for prompt in task.prompts] for task in tasks]

    def _one(self, task: ClipTask, prompt: Prompt) -> Answer:
        if len(self.asked) == self._stop_after:
            signal.pause()
        self.asked.append(f"{task.id}/{prompt.key}")
        if self._log:
            with self._log.open("a") as log:
                log.write(self.asked[-1] + "\n")
        return self._reply(task, prompt)

    def close(self) -> None:
        """Nothing to release."""


def says(text: str) -> Callable[[ClipTask, Prompt], Answer]:
    """Always the same answer; as a score, the first option is the likeliest."""

    def reply(task: ClipTask, prompt: Prompt) -> Answer:
        if prompt.mode == "score":
            return Answer(prompt.key, logprobs={option: -float(i) for i, option in enumerate(prompt.options)})
        return Answer(prompt.key, text=text)

    return reply
