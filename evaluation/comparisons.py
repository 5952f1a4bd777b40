"""Paired differences: every condition against aligned, and one run against another, each clip against itself.

Under `misaligned` a clip has the picture of its base and the sound of its donor. What conflict does to hearing is
seen by comparing with the answer about that sound under `aligned`, which is that of the donor's own clip; what it does
to seeing, by comparing with the base clip.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from mma_bench.errors import ConfigError
from mma_bench.evaluation.cells import Cell, Outcome, both_right, by_cell, clusters, labelled, outcomes
from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import Condition
from mma_bench.stats import holm, paired

Rows = list[dict[str, Any]]


def drops(cells: Mapping[Cell, Sequence[Prediction]]) -> Rows:
    """Each condition against aligned, over clips, p values corrected over all of them (Holm).

    Returns:
        Rows of `stats.Difference` with `compared_with` (`base` or `donor`: whose aligned clip) and `unpaired`, the
        clips left out because an answer is missing on one side.
    """
    rows = []
    for (protocol, condition, question), asked in cells.items():
        aligned = cells.get((protocol, str(Condition.ALIGNED), question))
        if aligned is None or condition == Condition.ALIGNED:
            continue
        by_donor = condition == Condition.MISALIGNED and question == "audio"
        reference = {clip.base: clip.value for clip in _by_clip(outcomes(aligned))}
        clips = _by_clip(outcomes(asked))
        matched = [
            clip._replace(value=clip.value - reference[of])
            for clip in clips
            if (of := clip.donor if by_donor else clip.base) in reference
        ]
        counts = {
            "compared_with": "donor" if by_donor else "base",
            "unpaired": len({row.id for row in asked}) - len(matched),
        }
        rows.append(labelled((protocol, condition, question), {**_difference(matched), **counts}))
    return corrected(rows)


def compare_runs(first: Sequence[Prediction], second: Sequence[Prediction], *, both: bool = False) -> Rows:
    """The second run against the first, cell by cell over their common clips, corrected over all cells (Holm).

    Args:
        first: A run.
        second: Another.
        both: With rows for both questions right on the same misaligned clip (question `both`).

    Raises:
        ConfigError: The runs saw different data in a condition that both have.
    """
    sides = by_cell(first), by_cell(second)
    rows = []
    for cell in sides[0]:
        if cell not in sides[1]:
            continue
        if len({row.dataset_fingerprint for side in sides for row in side[cell]}) > 1:
            raise ConfigError(
                f"the runs saw different data under {cell[1]}", hint="compare runs on the same version of the dataset"
            )
        rows.append(labelled(cell, _against(*(outcomes(side[cell]) for side in sides))))
    if both:
        for protocol in dict.fromkeys(row["protocol"] for row in rows if row["condition"] == Condition.MISALIGNED):
            cell = (protocol, str(Condition.MISALIGNED), "both")
            found = [both_right(_misaligned(side, protocol)) for side in sides]
            rows.append(labelled(cell, _against(*found)))
    return corrected(rows)


def corrected(rows: Rows) -> Rows:
    """The rows, with `p_holm` over all that have a p value."""
    tested = [row for row in rows if row["p"] is not None]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return rows


def _misaligned(cells: Mapping[Cell, Sequence[Prediction]], protocol: str) -> list[Prediction]:
    return [
        row for question in ("visual", "audio") for row in cells.get((protocol, Condition.MISALIGNED, question), ())
    ]


def _against(first: Sequence[Outcome], second: Sequence[Outcome]) -> dict[str, Any]:
    before = {clip.clip: clip.value for clip in _by_clip(first)}
    common = [clip for clip in _by_clip(second) if clip.clip in before]
    return _difference([clip._replace(value=clip.value - before[clip.clip]) for clip in common])


def _by_clip(found: Sequence[Outcome]) -> list[Outcome]:
    """One outcome for each clip: the mean over its seeds."""
    seeds: dict[str, list[Outcome]] = defaultdict(list)
    for each in found:
        seeds[each.clip].append(each)
    return [own[0]._replace(value=fmean(each.value for each in own)) for _, own in sorted(seeds.items())]


def _difference(changes: Sequence[Outcome]) -> dict[str, Any]:
    return asdict(paired([clip.value for clip in changes], clusters(changes)))
