"""What a prediction must hold so that it can be scored, beyond its types."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple, get_args
from typing import Protocol as Shape

from mma_bench.evaluation.conditions import CONDITIONS, CONFIGS
from mma_bench.evaluation.protocols import Protocol
from mma_bench.names import choose
from mma_bench.schema import STEPPED, WITHOUT_LEVEL, Question

_WRITE_ANEW: Final = "correct the line, or delete it and run the same `mma-bench infer` again"


class Checked(Shape):
    """What is looked at of a prediction (`predictions.Prediction`, which imports this module)."""

    @property
    def condition(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def manipulation(self) -> str | None: ...
    @property
    def level(self) -> float | None: ...
    @property
    def options(self) -> list[str]: ...
    @property
    def logprobs(self) -> dict[str, float] | None: ...
    @property
    def prior_logprobs(self) -> dict[str, float] | None: ...
    @property
    def option_tokens(self) -> dict[str, int] | None: ...


class Problem(NamedTuple):
    """What is wrong with a prediction, and what to do about it."""

    said: str
    hint: str


def problem_of(row: Checked) -> Problem | None:
    """The first value that cannot be scored; None if all can."""
    found = _of_names(row.condition, row.protocol, row.question, row.manipulation)
    if found is not None:
        return found
    stepped = CONFIGS[row.condition] in STEPPED and row.manipulation not in WITHOUT_LEVEL
    if stepped and (row.level is None or not math.isfinite(row.level)):
        return Problem(f"{row.manipulation} has no finite `level`", _WRITE_ANEW)
    if not row.options or not all(row.options):
        said = "an option without a name" if row.options else "no options"
        return Problem(said, f"{_WRITE_ANEW}: `options` are the classes that the prompt listed")
    if row.logprobs is not None:
        return _of_scores(row)
    return None


@cache
def _of_names(condition: str, protocol: str, question: str, manipulation: str | None) -> Problem | None:
    for name, value, known in (
        ("condition", condition, CONDITIONS),
        ("protocol", protocol, tuple(Protocol)),
        ("question", question, get_args(Question)),
    ):
        if value not in known:
            return Problem(f"unknown {name} {value!r}", choose(value, known, f"the {name}s are"))
    known = STEPPED.get(CONFIGS[condition], ())
    if not known or manipulation in known:
        return None
    if manipulation is None:
        return Problem(f"no manipulation under {condition}", choose("", known, "those of this condition are"))
    return Problem(
        f"unknown manipulation {manipulation!r} under {condition}",
        choose(manipulation, known, "those of this condition are"),
    )


def _of_scores(row: Checked) -> Problem | None:
    """A likelihood or length that is missing for an option, or cannot be computed with."""
    for name, scores in (("logprobs", row.logprobs), ("prior_logprobs", row.prior_logprobs)):
        if scores is not None and not _is_of_each(row.options, scores):
            return Problem(f"`{name}` is not a finite number for each option", _WRITE_ANEW)
    tokens = row.option_tokens
    if tokens is not None and not (_is_of_each(row.options, tokens) and min(tokens.values()) > 0):
        return Problem("`option_tokens` is not a number above 0 for each option", _WRITE_ANEW)
    return None


def _is_of_each(options: Sequence[str], scores: Mapping[str, float]) -> bool:
    return scores.keys() == set(options) and all(map(math.isfinite, scores.values()))
