"""The build's facts about the dataset, for the metadata files that are published with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from mma_bench import layout
from mma_bench.builders.dataset.card import COUNTED_STAGES
from mma_bench.classes import load_classes
from mma_bench.schema import ALIGNED, VARIANTS
from mma_bench.tables import read_json, read_table


@dataclass(frozen=True)
class BuildFacts:
    """The tables and counts of the build that is published.

    Attributes:
        variants: Schema VARIANTS without `context`, refused rows included.
        aligned: Schema ALIGNED.
        classes: How many classes the pruned ontology keeps.
        funnel: Subset → {"segments": n, drop reason: n, ..., "candidates": n}.
        stages: Stage → split → {"in": n, reason: n, ..., "ok": n}.
    """

    variants: pl.DataFrame
    aligned: pl.DataFrame
    classes: int
    funnel: Mapping[str, Mapping[str, int]]
    stages: Mapping[str, Mapping[str, Mapping[str, int]]]

    @property
    def packaged(self) -> pl.DataFrame:
        """The variants in the dataset."""
        return self.variants.filter(pl.col("status") == "ok")

    @property
    def judges(self) -> list[str]:
        return [str(name) for name in self.aligned["judge"].unique().sort()]


def build_facts() -> BuildFacts:
    """Read them from the project in the current folder.

    Raises:
        DataError: A table or count is missing; names it.
    """
    stages: dict[str, Any] = {stage: read_json(layout.metrics(stage)) for stage in (*COUNTED_STAGES, "package")}
    return BuildFacts(
        variants=read_table(layout.VARIANTS, VARIANTS, without=["context"]),
        aligned=read_table(layout.ALIGNED, ALIGNED),
        classes=len(load_classes(layout.CLASSES).names),
        funnel=read_json(layout.FUNNEL),
        stages=stages,
    )
