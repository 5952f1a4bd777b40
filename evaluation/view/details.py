"""All about one clip: the prompts to the letter, and what each run answered."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.evaluation.predictions import Prediction, option_order
from mma_bench.evaluation.protocols import QUESTIONS, OptionOrder, Protocol, expected, listed_classes, text_of
from mma_bench.evaluation.view.rows import Record, Run, kind_of

_LIKELIEST: Final = 5


def details(row: Mapping[str, Any], runs: Sequence[Run]) -> Record:
    """The record of a row of the dataset.

    Args:
        row: With all columns but the clip.
        runs: Their answers to prompts that this release words in another way are shown without the prompt.

    Returns:
        `id` and `prompts`: for each protocol, question and seed that was asked (without runs: the forced choice)
        `protocol`, `question`, `seed`, `expected`, `text` (None if this release words it in another way) and
        `answers`, one per run or None.
    """
    own = [{(each.protocol, each.question, each.seed): each for each in run.answers.get(row["id"], ())} for run in runs]
    order = list(map(str, Protocol))
    asked = sorted(
        {key for answers in own for key in answers},
        key=lambda key: (order.index(key[0]), key[1] != "visual", key[2]),
    )
    if not runs:
        asked = [(str(Protocol.FORCED_CHOICE), question, 0) for question in QUESTIONS]
    return {"id": row["id"], "prompts": [_prompt(row, key, [answers.get(key) for answers in own]) for key in asked]}


def _prompt(row: Mapping[str, Any], key: tuple[str, str, int], answers: Sequence[Prediction | None]) -> Record:
    protocol, question, seed = Protocol(key[0]), key[1], key[2]
    return {
        "protocol": key[0],
        "question": question,
        "seed": seed,
        "expected": expected(protocol, row, question),  # type: ignore[arg-type]
        "text": _text(row, protocol, question, [each for each in answers if each is not None]),
        "answers": [None if each is None else _answer(each) for each in answers],
    }


def _text(row: Mapping[str, Any], protocol: Protocol, question: str, answers: Sequence[Prediction]) -> str | None:
    """The prompt, if it is the one that every run was given."""
    order = OptionOrder(option_order(answers[0])) if answers else OptionOrder.SORTED
    text = text_of(protocol, row, question, listed_classes(row, order))  # type: ignore[arg-type]
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text if all(each.prompt_sha256 == digest for each in answers) else None


def _answer(row: Prediction) -> Record:
    likeliest = sorted((row.logprobs or {}).items(), key=lambda item: -item[1])[:_LIKELIEST]
    found = {
        "kind": kind_of(row),
        "answer": row.answer,
        "raw": row.raw,
        "error": row.error,
        "likeliest": [[name, round(value, 3)] for name, value in likeliest],
    }
    return {name: value for name, value in found.items() if value not in (None, [])}
