"""Paired differences on the same clips: every condition against aligned, and one run against another.

Under `misaligned` and the conditions made from it (`schema.DONATED`) a clip has the video of its base and the audio of
its donor. Its answer to the audio question is compared with the aligned answer for the donor's own clip, its answer to
the visual question with that for the base clip.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any, Final, NamedTuple

from mma_bench.errors import ConfigError
from mma_bench.evaluation.cells import Cell, Outcome, both_right, clusters, labelled, outcomes
from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import DONATED, Condition
from mma_bench.stats import holm, paired

Rows = list[dict[str, Any]]

# Settings that may differ between runs of one model: they name the model, whose hash is compared, or the device.
MODEL_SETTINGS: Final = frozenset({"checkpoint", "revision", "device_map"})


class Clips(NamedTuple):
    """The clips of one cell of a run: the data fingerprint, and each clip's outcome, averaged over seeds."""

    fingerprints: frozenset[str]
    outcomes: dict[str, Outcome]


def clips_of(cells: Mapping[Cell, Sequence[Prediction]]) -> dict[Cell, Clips]:
    """The clips of every cell; question `both` is whether both answers about a misaligned clip are correct."""
    found = {cell: Clips(_data(rows), by_clip(outcomes(rows))) for cell, rows in cells.items()}
    for protocol in dict.fromkeys(protocol for protocol, _, _ in cells):
        sides = [cells.get((protocol, str(Condition.MISALIGNED), question)) for question in ("visual", "audio")]
        rows = [row for side in sides for row in side or ()]
        if all(sides):
            found[protocol, str(Condition.MISALIGNED), "both"] = Clips(_data(rows), by_clip(both_right(rows)))
    return found


def drops(cells: Mapping[Cell, Sequence[Prediction]]) -> Rows:
    """Each condition against aligned, paired by clip, with p values Holm-corrected over all rows.

    Returns:
        Rows of `stats.Difference` with `compared_with` (`base` or `donor`: whose aligned clip) and `unpaired`, the
        number of clips excluded because one side has no answer.
    """
    rows = []
    for (protocol, condition, question), asked in cells.items():
        aligned = cells.get((protocol, str(Condition.ALIGNED), question))
        if aligned is None or condition == Condition.ALIGNED:
            continue
        by_donor = condition in DONATED and question == "audio"
        reference = {clip.base: clip.value for clip in by_clip(outcomes(aligned)).values()}
        matched = [
            clip._replace(value=clip.value - reference[of])
            for clip in by_clip(outcomes(asked)).values()
            if (of := clip.donor if by_donor else clip.base) in reference
        ]
        counts = {
            "compared_with": "donor" if by_donor else "base",
            "unpaired": len({row.id for row in asked}) - len(matched),
        }
        rows.append(labelled((protocol, condition, question), {**_difference(matched), **counts}))
    return corrected(rows)


def compare_runs(first: Mapping[Cell, Clips], second: Mapping[Cell, Clips]) -> Rows:
    """The second run against the first, per cell over their common clips, Holm-corrected over all cells.

    Raises:
        ConfigError: The runs used different data in a shared condition.
    """
    rows = []
    for cell in (cell for cell in first if cell in second):
        if first[cell].fingerprints != second[cell].fingerprints:
            raise ConfigError(
                f"the runs used different data under {cell[1]}", hint="compare runs on the same version of the dataset"
            )
        before, after = first[cell].outcomes, second[cell].outcomes
        changes = [
            after[clip]._replace(value=after[clip].value - before[clip].value) for clip in after if clip in before
        ]
        rows.append(labelled(cell, _difference(changes)))
    return corrected(rows)


def corrected(rows: Rows) -> Rows:
    """The rows with `p_holm`, corrected over all that have a p value."""
    tested = [row for row in rows if row["p"] is not None]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return rows


def by_clip(found: Sequence[Outcome]) -> dict[str, Outcome]:
    """One outcome per clip, averaged over seeds, ordered by clip id."""
    seeds: dict[str, list[Outcome]] = defaultdict(list)
    for each in found:
        seeds[each.clip].append(each)
    return {
        clip: own[0] if len(own) == 1 else own[0]._replace(value=fmean(each.value for each in own))
        for clip, own in sorted(seeds.items())
    }


def _data(rows: Sequence[Prediction]) -> frozenset[str]:
    return frozenset(row.dataset_fingerprint for row in rows)


def _difference(changes: Sequence[Outcome]) -> dict[str, Any]:
    return asdict(paired([clip.value for clip in changes], clusters(changes)))
