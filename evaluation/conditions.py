"""The conditions under which a model is asked: those of the dataset, and two with a different prompt.

A prompt variant reads another condition's rows, so the dataset holds no clip twice. It is asked on request only
(`--conditions`); in predictions, scores and reports it is a condition like the others.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from mma_bench.errors import DataError
from mma_bench.irrelevant_text import LONG_CONTEXT_WORDS, irrelevant_text
from mma_bench.prompts import context_after, context_before, with_short_answer
from mma_bench.schema import Condition, Modality


class PromptVariant(StrEnum):
    """A condition with the rows of another one."""

    MISLEADING_CAPTION_SHORT_ANSWER = "misleading_caption_short_answer"  # Figure 20 with Figure 5's last sentence
    LONG_CONTEXT_BEFORE = "long_context_before"  # appendix I.4


CONFIGS: Final[Mapping[str, Condition]] = {
    **{str(condition): condition for condition in Condition},
    PromptVariant.MISLEADING_CAPTION_SHORT_ANSWER: Condition.MISLEADING_CAPTION,
    PromptVariant.LONG_CONTEXT_BEFORE: Condition.LONG_CONTEXT,
}
"""Condition → the dataset's config that has its rows."""

# In the paper's order, each prompt variant after the condition whose rows it reads.
CONDITIONS: Final = tuple(
    str(name) for condition in Condition for name, config in CONFIGS.items() if config is condition
)
_WITH_CONTEXT: Final = {Condition.LONG_CONTEXT: context_after, PromptVariant.LONG_CONTEXT_BEFORE: context_before}


def question_of(row: Mapping[str, Any], question: Modality) -> str:
    """The complete question under the row's condition.

    In an older dataset without the columns for it, the irrelevant text is made from its seed, and the short-answer
    sentence is appended to the question.

    Args:
        row: A row of the dataset, renamed by `as_asked` if the condition is a prompt variant.
        question: The queried modality.

    Raises:
        DataError: The row has no question, or no context where one is due; names the row.
    """
    text = row[f"{question}_question"]
    if not text:
        raise DataError(f"{row['id']}: no {question}_question", hint="use a dataset that `mma-bench build` packaged")
    condition = row["condition"]
    if condition == PromptVariant.MISLEADING_CAPTION_SHORT_ANSWER:
        return str(row.get(f"{question}_question_short_answer") or with_short_answer(text))
    if condition in _WITH_CONTEXT:
        return _WITH_CONTEXT[condition](str(text), _context(row))
    return str(text)


def as_asked(row: Mapping[str, Any], condition: str) -> dict[str, Any]:
    """A row of the dataset under a condition: a prompt variant has its own condition and id, since ids are unique."""
    if condition not in list(PromptVariant):
        return dict(row)
    renamed = {"condition": condition, "id": f"{row['base_id']}.{condition}"}
    return {**row, **{name: value for name, value in renamed.items() if name in row}}


def _context(row: Mapping[str, Any]) -> str:
    if row.get("context"):
        return str(row["context"])
    if row["context_seed"] is None:
        raise DataError(f"{row['id']}: no context", hint="use a dataset that `mma-bench build` packaged")
    return irrelevant_text(row["context_seed"], LONG_CONTEXT_WORDS)
