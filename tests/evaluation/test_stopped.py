"""An engine that stops in the middle of a batch loses no answer, and modes that it does not answer are not asked."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import Plan, infer
from mma_bench.evaluation.protocols import Protocol, Sampling
from mma_bench.models.contracts import Answer, ClipTask, Mode, Stopped


class Two(Benchmark):
    """Two clips, nothing on disk."""

    def __init__(self) -> None:
        super().__init__(".")

    def rows(self, condition: str, columns: Sequence[str] | None = None, **_: int) -> Iterator[dict[str, Any]]:
        for base in ("a", "b"):
            yield {
                "id": f"{base}.{condition}",
                "base_id": base,
                "donor_id": None,
                "condition": condition,
                "video": {"bytes": b"", "path": None},
                "options": ["Bird", "Cat"],
                "visual_class": "Bird",
                "audio_class": "Bird",
                "class_distance": None,
                "caption": None,
                "context_seed": None,
                "visual_question": "What is seen?",
                "audio_question": "What is heard?",
                "prompt_version": "1",
                "visual_answer": "Bird",
                "audio_answer": "Bird",
            }

    def judges(self) -> list[str]:
        return []

    def fingerprint(self, condition: str) -> str:
        return "f"


class Budget:
    """Answers so many prompts, then stops."""

    name, revision, adapter, adapter_revision = "toy", "1", None, None
    modes: frozenset[Mode] = frozenset({"generate"})

    def __init__(self, left: int) -> None:
        self.left = left
        self.asked: list[str] = []

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        rows: list[list[Answer]] = []
        for task in tasks:
            rows.append([])
            for prompt in task.prompts:
                assert prompt.options == ("Bird", "Cat")
                if self.left:
                    self.left -= 1
                    self.asked.append(f"{task.id}/{prompt.key}")
                    rows[-1].append(Answer(prompt.key, text="Bird"))
        if not self.left:
            raise Stopped("spent", rows, hint="raise it")
        return rows

    def close(self) -> None:
        return


PLAN = Plan(("aligned",), (Protocol.FORCED_CHOICE, Protocol.LOGLIKELIHOOD), Sampling(), batch=2)


def test_what_was_answered_before_the_stop_is_kept_and_not_asked_again(tmp_path: Path) -> None:
    first = Budget(3)
    with pytest.raises(Stopped, match="spent"):
        infer(first, Two(), PLAN, tmp_path, settings={})
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == first.asked
    assert {line["status"] for line in lines} == {"ok"}
    second = Budget(9)
    infer(second, Two(), PLAN, tmp_path, settings={})
    assert sorted(first.asked + second.asked) == [
        f"{base}.aligned/{question}.forced_choice.0" for base in "ab" for question in ("audio", "visual")
    ]
