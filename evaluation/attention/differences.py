"""How Cohen's d changes: under conflict, with tuning, and how much more tuning changes it under conflict.

These are the claims of Figures 9, 10, 16 and 18. The paper compares curves over layers; so here each layer (or head)
has a row, and the mean over layers is the headline. d has the sign of the paper's: on video tokens a larger d, on
audio tokens a smaller one is a stronger shift to the queried modality.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from mma_bench.clusters import Codes, codes_of
from mma_bench.evaluation.attention.contrast import contrasts
from mma_bench.evaluation.attention.summary import matrix, shares, token_sums
from mma_bench.evaluation.protocols import QUESTIONS
from mma_bench.schema import Condition, Schema
from mma_bench.stats import holm

Row: TypeAlias = dict[str, Any]
Cell: TypeAlias = tuple[str, str]  # state, condition

COLUMNS: Final[Schema] = {  # of differences.csv
    **dict.fromkeys(("samples", "by"), pl.String()),
    "place": pl.Int64(),  # layer or head, from 1; null for the mean over layers
    **dict.fromkeys(("group", "contrast", "state", "condition"), pl.String()),
    **dict.fromkeys(("difference", "low", "high", "p", "p_holm"), pl.Float64()),
    **dict.fromkeys(("clips", "clusters"), pl.Int64()),
}
_ALIGNED: Final = str(Condition.ALIGNED)


@dataclass(frozen=True)
class Kind:
    """A contrast of cells.

    Attributes:
        contrast: `conflict` (condition minus aligned), `tuning` (after minus before) or `conflict_by_tuning`, the
            difference of these differences.
        state: None if the contrast is over both states.
        condition: The condition, of which d is compared.
        signs: The weight of each cell's d.
    """

    contrast: str
    state: str | None
    condition: str
    signs: Mapping[Cell, int]


def kinds(cells: Sequence[Cell]) -> list[Kind]:
    """All contrasts of the cells of a run."""
    there = dict.fromkeys(cells)
    states, conditions = dict.fromkeys(state for state, _ in there), dict.fromkeys(name for _, name in there)
    conflicts = [name for name in conditions if name != _ALIGNED]
    found = [
        Kind("conflict", state, name, {(state, name): 1, (state, _ALIGNED): -1})
        for state in states
        for name in conflicts
    ]
    found += [Kind("tuning", None, name, {("after", name): 1, ("before", name): -1}) for name in conditions]
    for name in conflicts:
        signs = {("after", name): 1, ("after", _ALIGNED): -1, ("before", name): -1, ("before", _ALIGNED): 1}
        found.append(Kind("conflict_by_tuning", None, name, signs))
    return [kind for kind in found if kind.signs.keys() <= there.keys()]


def difference_rows(attention: pl.DataFrame, donors: pl.DataFrame) -> list[Row]:
    """Every contrast of d, over clips by layer and by head, and over tokens by layer.

    Over clips, audio tokens mirror video tokens and have no rows of their own.

    Args:
        attention: `attention.parquet`.
        donors: `donors.parquet`.

    Returns:
        Rows of COLUMNS; `place` is None for the mean over layers. `p_holm` is corrected within three families: the
        means over layers of all contrasts and samples; all layers of all contrasts, over clips and over tokens; all
        heads of all contrasts.
    """
    rows: list[Row] = []
    for (samples, by, group), table in _tables(attention):
        places, cells = table[by].unique().sort().to_list(), _sums(table, by)
        for kind in kinds(list(cells)):
            clips = sorted(set.intersection(*(set(cells[cell]) for cell in kind.signs)))
            if not clips:
                continue
            sums = np.array([[cells[cell][clip] for clip in clips] for cell in kind.signs])  # [cells, clips, places, 6]
            signs = np.array(list(kind.signs.values()), dtype=float)
            found = contrasts(sums.transpose(2, 0, 3, 1), signs, clusters_of(clips, donors, kind))
            about = {"contrast": kind.contrast, "state": kind.state, "condition": kind.condition}
            for place, one in zip((*places, None), found, strict=True):
                if place is not None or by == "layer":
                    rows.append({"samples": samples, "by": by, "place": place, "group": group, **about, **vars(one)})
    for family in (
        [row for row in rows if row["place"] is None],
        [row for row in rows if row["place"] is not None and row["by"] == "layer"],
        [row for row in rows if row["by"] == "head"],
    ):
        tested = [row for row in family if row["p"] is not None]
        for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
            row["p_holm"] = p
    return [{name: row.get(name) for name in COLUMNS} for row in rows]


def clusters_of(clips: Sequence[str], donors: pl.DataFrame, kind: Kind) -> Codes:
    """The cluster of each base clip: its donor, if every clip has exactly one under the contrast's conditions.

    With several variants of a base clip, whose mean is its sample, it is the base clip itself.
    """
    conditions = {condition for _, condition in kind.signs}
    pairs = donors.filter(pl.col("condition").is_in(conditions) & pl.col("donor").is_not_null())
    of = dict(pairs.select("base", "donor").iter_rows())
    single = pairs.select("base", "donor").n_unique() == len(of)
    return codes_of([of.get(clip, clip) if single else clip for clip in clips])


def _tables(attention: pl.DataFrame) -> Iterator[tuple[tuple[str, str, str], pl.DataFrame]]:
    """Samples, `layer` or `head`, and group, with the number, sum and sum of squares of each clip's samples."""
    for by in ("layer", "head"):
        one = (pl.lit(1.0).alias("n"), pl.col("share").alias("s"), (pl.col("share") ** 2).alias("q"))
        yield ("clips", by, "video"), shares(attention, by).with_columns(one)
    for (group,), table in token_sums(attention).partition_by("group", as_dict=True, maintain_order=True).items():
        yield ("tokens", "layer", str(group)), table


def _sums(table: pl.DataFrame, by: str) -> dict[Cell, dict[str, npt.NDArray[np.float64]]]:
    """For each cell and base clip, [places, 6]."""
    cells = {}
    for (state, condition), cell in table.partition_by("state", "condition", as_dict=True, maintain_order=True).items():
        cell = cell.filter(pl.col("question").n_unique().over("base") == len(QUESTIONS))
        sides = [
            matrix(cell.filter(pl.col("question") == question), by, value)
            for question in QUESTIONS
            for value in ("n", "s", "q")
        ]
        bases = cell["base"].unique().sort().to_list()
        cells[str(state), str(condition)] = dict(zip(bases, np.stack(sides, axis=-1).swapaxes(0, 1), strict=True))
    return cells
