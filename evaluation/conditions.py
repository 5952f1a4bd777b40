"""The conditions under which a model is asked: those of the dataset, and variants that put the same rows otherwise.

A variant reads another condition's rows, so the dataset holds no clip twice. It is asked on request only
(`--conditions`, `--silence`); in predictions, scores and reports it is a condition like the others.

Where the sound is removed, the paper replaces it by silence (section 4.1.2, Table 2, Figure 4) and once speaks of
stripping it (section 4.1.1). Under `audio_removed` a model hears digital silence, which takes as many audio tokens as
any sound; under `audio_dropped` it gets no audio track, so no audio tokens at all.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

from mma_bench.errors import DataError
from mma_bench.irrelevant_text import LONG_CONTEXT_WORDS, irrelevant_text
from mma_bench.prompts import context_after, context_before, with_short_answer
from mma_bench.schema import Condition, Modality

Silence: TypeAlias = Literal["keep", "drop", "both"]


class Variant(StrEnum):
    """A condition with the rows of another one."""

    MISLEADING_CAPTION_SHORT_ANSWER = "misleading_caption_short_answer"  # Figure 20 with Figure 5's last sentence
    LONG_CONTEXT_BEFORE = "long_context_before"  # appendix I.4
    AUDIO_DROPPED = "audio_dropped"  # section 4.1.1: no track instead of silence
    NO_CLIP = "no_clip"  # beyond the paper: the questions about the aligned clip without any clip
    OTHER_CLIP = "other_clip"  # beyond the paper: the same with the clip of another class


CONFIGS: Final[Mapping[str, Condition]] = {
    **{str(condition): condition for condition in Condition},
    Variant.MISLEADING_CAPTION_SHORT_ANSWER: Condition.MISLEADING_CAPTION,
    Variant.LONG_CONTEXT_BEFORE: Condition.LONG_CONTEXT,
    Variant.AUDIO_DROPPED: Condition.AUDIO_REMOVED,
    Variant.NO_CLIP: Condition.ALIGNED,
    Variant.OTHER_CLIP: Condition.ALIGNED,
}
"""Condition → the dataset's config that has its rows."""

# In the paper's order, each variant after the condition whose rows it reads.
CONDITIONS: Final = tuple(
    str(name) for condition in Condition for name, config in CONFIGS.items() if config is condition
)
_WITH_CONTEXT: Final = {Condition.LONG_CONTEXT: context_after, Variant.LONG_CONTEXT_BEFORE: context_before}


def question_of(row: Mapping[str, Any], question: Modality) -> str:
    """The complete question under the row's condition.

    In an older dataset without the columns for it, the irrelevant text is made from its seed, and the short-answer
    sentence is appended to the question.

    Args:
        row: A row of the dataset, renamed by `as_asked` if the condition is a variant.
        question: The queried modality.

    Raises:
        DataError: The row has no question, or no context where one is due; names the row.
    """
    text = row[f"{question}_question"]
    if not text:
        raise DataError(f"{row['id']}: no {question}_question", hint="use a dataset that `mma-bench build` packaged")
    condition = row["condition"]
    if condition == Variant.MISLEADING_CAPTION_SHORT_ANSWER:
        return str(row.get(f"{question}_question_short_answer") or with_short_answer(text))
    if condition in _WITH_CONTEXT:
        return _WITH_CONTEXT[condition](str(text), _context(row))
    return str(text)


def hears(condition: str) -> bool:
    """Whether a model gets the clip's audio track under this condition."""
    return condition not in (Variant.AUDIO_DROPPED, Variant.NO_CLIP)


def sees(condition: str) -> bool:
    """Whether a model gets the clip's picture under this condition."""
    return condition != Variant.NO_CLIP


def with_silence(conditions: Sequence[str], silence: Silence) -> tuple[str, ...]:
    """The conditions with what becomes of the silent track of `audio_removed`: kept, dropped, or asked both ways."""
    put = {
        "keep": (Condition.AUDIO_REMOVED,),
        "drop": (Variant.AUDIO_DROPPED,),
        "both": (Condition.AUDIO_REMOVED, Variant.AUDIO_DROPPED),
    }
    found = (put[silence] if each == Condition.AUDIO_REMOVED else (each,) for each in conditions)
    return tuple(dict.fromkeys(str(name) for names in found for name in names))


def as_asked(row: Mapping[str, Any], condition: str) -> dict[str, Any]:
    """A row of the dataset under a condition: a variant has its own condition and id, since ids are unique."""
    if condition not in list(Variant):
        return dict(row)
    renamed = {"condition": condition, "id": f"{row['base_id']}.{condition}"}
    return {**row, **{name: value for name, value in renamed.items() if name in row}}


def _context(row: Mapping[str, Any]) -> str:
    if row.get("context"):
        return str(row["context"])
    if row["context_seed"] is None:
        raise DataError(f"{row['id']}: no context", hint="use a dataset that `mma-bench build` packaged")
    return irrelevant_text(row["context_seed"], LONG_CONTEXT_WORDS)
