"""How hard each clip and question is for several runs on the same clips, and how well it tells them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mma_bench.clusters import Array
from mma_bench.errors import ConfigError
from mma_bench.evaluation.cells import is_right
from mma_bench.evaluation.clip_choice.rasch import abilities, difficulty
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.protocols import refuse_unknown

Item: TypeAlias = tuple[str, str]  # row id, question


@dataclass(frozen=True)
class Outcomes:
    """The items that all runs answered under one protocol and condition.

    Attributes:
        items: Row id and question, sorted.
        bases: The base clip of each.
        donors: The donor of each, the base clip if there is none.
        right: 0 or 1, [runs, items]; of several seeds the majority, and wrong if undecided.
    """

    items: list[Item]
    bases: list[str]
    donors: list[str]
    right: Array


@dataclass(frozen=True)
class ItemFacts:
    """One item over all runs.

    Attributes:
        right: Share of the runs that are right.
        difficulty: In logits, above 0 for harder than the mean run is able to; None where all or no runs are right.
        standard_error: Of the difficulty.
        item_rest: Correlation over the runs of being right on it with the share right on all others; None if undefined.
    """

    id: str
    question: str
    base_id: str
    right: float
    difficulty: float | None
    standard_error: float | None
    item_rest: float | None


def outcomes_of(runs: Mapping[str, Sequence[Prediction]], protocol: str, condition: str) -> Outcomes:
    """What all runs answered.

    Raises:
        ConfigError: There is no such protocol or condition, there are fewer than two runs, they used different data, or
            no item was answered by all.
    """
    refuse_unknown(protocol, condition)
    if len(runs) < 2:
        raise ConfigError("one run tells nothing about clips", hint="give the folders of at least two runs")
    tables = []
    fingerprints: dict[str, str] = {}
    for name, rows in runs.items():
        votes: dict[Item, list[bool]] = {}
        for row in rows:
            if (row.protocol, row.condition) == (protocol, condition) and row.is_answered:
                votes.setdefault((row.id, row.question), []).append(is_right(row))
                fingerprints[row.dataset_fingerprint] = name
        tables.append({item: float(sum(votes[item]) > len(votes[item]) / 2) for item in votes})
    if len(fingerprints) > 1:
        raise ConfigError(
            f"the runs used different data under {condition}: {' and '.join(sorted(fingerprints.values()))}",
            hint="give runs on the same version of the dataset",
        )
    items = sorted(set.intersection(*(set(table) for table in tables)))
    if not items:
        raise ConfigError(
            f"no clip was answered by all runs in {protocol} under {condition}",
            hint="choose --protocol and --condition that all runs have",
        )
    known = {(row.id, row.question): row for rows in runs.values() for row in rows}
    return Outcomes(
        items,
        [known[item].base_id for item in items],
        [known[item].donor_id or known[item].base_id for item in items],
        np.array([[table[item] for item in items] for table in tables]),
    )


def item_facts(outcomes: Outcomes) -> list[ItemFacts]:
    """The facts of each item, in the order of `items`."""
    right = outcomes.right
    of_runs = abilities(right)
    finite = np.isfinite(of_runs)
    rests = (right.sum(axis=1, keepdims=True) - right) / max(right.shape[1] - 1, 1)
    found = []
    for number, ((row_id, question), base) in enumerate(zip(outcomes.items, outcomes.bases, strict=True)):
        own, rest = right[:, number], rests[:, number]
        varied = np.ptp(own) > 0 and np.ptp(rest) > 0
        found.append(
            ItemFacts(
                row_id,
                question,
                base,
                float(own.mean()),
                *difficulty(int(own[finite].sum()), of_runs[finite]),
                float(np.corrcoef(own, rest)[0, 1]) if varied else None,
            )
        )
    return found
