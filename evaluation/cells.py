"""Cells: the answers of one protocol, condition and question, and the outcome of each.

An answer that names no class or several counts as wrong. A failed prompt has no answer.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any, Final, NamedTuple, TypeAlias, get_args

from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import Question
from mma_bench.stats import share

Cell: TypeAlias = tuple[str, str, str]  # protocol, condition, question
PEOPLE: Final = "people"  # the engine of runs that people answered; in one of several people, each has a seed

TIME: Final = "time"  # the question whether sound and picture fit in time, which names no class

_ASKED: Final[tuple[str, ...]] = get_args(Question)  # the order of questions


class Outcome(NamedTuple):
    """The outcome of one answer: 1.0 or 0.0. `donor` is the clip that the audio comes from, usually the base clip;
    `person` is the seed of a run of several people, else None."""

    clip: str
    base: str
    donor: str
    value: float
    person: int | None = None


def by_cell(predictions: Iterable[Prediction]) -> dict[Cell, list[Prediction]]:
    """The predictions by cell, in the paper's order."""
    cells: dict[Cell, list[Prediction]] = defaultdict(list)
    order = {condition: rank for rank, condition in enumerate(CONDITIONS)}
    for row in sorted(predictions, key=lambda row: row.key):  # makes sums independent of the input order
        cells[row.protocol, row.condition, row.question].append(row)
    return dict(sorted(cells.items(), key=lambda item: (item[0][0], order[item[0][1]], _ASKED.index(item[0][2]))))


def labelled(cell: Cell, values: Mapping[str, Any]) -> dict[str, Any]:
    """A flat row of a table of scores."""
    protocol, condition, question = cell
    return {"protocol": protocol, "condition": condition, "question": question, **values}


def is_right(row: Prediction) -> bool:
    """Whether the answer is correct."""
    return row.answer == row.expected


def asked_class(row: Prediction) -> str:
    """The clip's class in the queried modality; the right answer where another question is asked."""
    if row.question in ("text", "time"):
        return row.expected
    return row.visual_class if row.question == "visual" else row.audio_class


def outcomes(rows: Iterable[Prediction], counts: Callable[[Prediction], bool] = is_right) -> list[Outcome]:
    """The outcome of every answer, in input order."""
    return [_outcome(row, counts(row)) for row in rows if row.is_answered]


def _outcome(row: Prediction, counts: bool) -> Outcome:
    person = row.seed if row.settings.get("engine") == PEOPLE else None
    return Outcome(row.id, row.base_id, row.donor_id or row.base_id, float(counts), person)


def both_right(rows: Iterable[Prediction]) -> list[Outcome]:
    """For every clip and seed with an answer to both questions: whether both are correct.

    Args:
        rows: Predictions of one protocol and condition.
    """
    pairs: dict[tuple[str, int], list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.is_answered:
            pairs[row.id, row.seed].append(row)
    return [_outcome(pair[0], all(map(is_right, pair))) for _, pair in sorted(pairs.items()) if len(pair) == 2]


def estimated(found: Sequence[Outcome], groups: Sequence[Hashable] | None = None) -> dict[str, Any]:
    """`stats.share` of the outcomes as a dict, clustered by `clusters`."""
    return asdict(share([each.value for each in found], clusters(found), groups))


def clusters(found: Sequence[Outcome]) -> list[list[Hashable]]:
    """Cluster keys of the answers: the base clip; the donor, if there are donors or people; and the person, if there
    are several."""
    bases: list[Hashable] = [each.base for each in found]
    donors: list[Hashable] = [each.donor for each in found]
    if len({each.person for each in found}) > 1:
        return [bases, donors, [each.person for each in found]]
    return [bases] if bases == donors else [bases, donors]


def chance(rows: Sequence[Prediction]) -> float:
    """The probability that a random guess picks a given option."""
    return fmean(1 / len(row.options) for row in rows)
