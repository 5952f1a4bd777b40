"""Cells: the answers of one protocol, condition and question, and what each of them counts.

An answer that names no class, or several, is an answer: it counts as wrong. A failed prompt has no answer.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import Condition
from mma_bench.stats import share

Cell: TypeAlias = tuple[str, str, str]  # protocol, condition, question


class Outcome(NamedTuple):
    """What one answer counts: 1.0 or 0.0. `donor` is the clip whose sound it is, in most conditions the base itself."""

    clip: str
    base: str
    donor: str
    value: float


def by_cell(predictions: Iterable[Prediction]) -> dict[Cell, list[Prediction]]:
    """The predictions of each cell, cells in the paper's order."""
    cells: dict[Cell, list[Prediction]] = defaultdict(list)
    order = {str(condition): rank for rank, condition in enumerate(Condition)}
    for row in sorted(predictions, key=lambda row: row.key):  # sums do not depend on the order given
        cells[row.protocol, row.condition, row.question].append(row)
    return dict(sorted(cells.items(), key=lambda item: (item[0][0], order[item[0][1]], item[0][2] != "visual")))


def labelled(cell: Cell, values: Mapping[str, Any]) -> dict[str, Any]:
    """A flat row of a table of scores."""
    protocol, condition, question = cell
    return {"protocol": protocol, "condition": condition, "question": question, **values}


def is_right(row: Prediction) -> bool:
    """Whether the answer is the right one."""
    return row.answer == row.expected


def asked_class(row: Prediction) -> str:
    """The class of the clip in the modality that is asked about."""
    return row.visual_class if row.question == "visual" else row.audio_class


def outcomes(rows: Iterable[Prediction], counts: Callable[[Prediction], bool] = is_right) -> list[Outcome]:
    """Of every answer, in the order given."""
    return [
        Outcome(row.id, row.base_id, row.donor_id or row.base_id, float(counts(row)))
        for row in rows
        if row.status != "failed"
    ]


def both_right(rows: Iterable[Prediction]) -> list[Outcome]:
    """Of every clip, and seed, of which both questions have an answer: whether both answers are right.

    Args:
        rows: Of one protocol and condition.
    """
    pairs: dict[tuple[str, int], list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.status != "failed":
            pairs[row.id, row.seed].append(row)
    return [
        Outcome(clip, pair[0].base_id, pair[0].donor_id or pair[0].base_id, float(all(map(is_right, pair))))
        for (clip, _), pair in sorted(pairs.items())
        if len(pair) == 2
    ]


def estimated(found: Sequence[Outcome], groups: Sequence[Hashable] | None = None) -> dict[str, Any]:
    """`stats.share` of outcomes as a dict, clustered by base clip and, where there are donors, by donor."""
    return asdict(share([each.value for each in found], clusters(found), groups))


def clusters(found: Sequence[Outcome]) -> list[list[str]]:
    """The keys of what answers may share: the base clip and, where there are donors, the donor."""
    bases, donors = [each.base for each in found], [each.donor for each in found]
    return [bases] if bases == donors else [bases, donors]


def chance(rows: Sequence[Prediction]) -> float:
    """How often a guess among the options names any given one of them."""
    return fmean(1 / len(row.options) for row in rows)
