"""Precision and recall of the label filter and of judges, with human labels (VGGSounder) as ground truth.

A clip is correct for a class if VGGSounder confirms it: annotators saw and heard the class and every other label of the
clip, with nothing flagged. Only clips with the class among their VGGSounder labels count. Intervals are exact binomial
intervals, since each clip counts once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from mma_bench.builders.labels.vggsounder import join_labels
from mma_bench.stats import Estimate, estimate


@dataclass(frozen=True)
class Measure:
    """Precision and recall for one class, or for all (None).

    Attributes:
        precision: The share of correct clips among those kept.
        recall: The share of kept clips among the correct ones.
        other: Kept, labelled clips whose labels do not include their class; not counted.
    """

    class_name: str | None
    precision: Estimate
    recall: Estimate
    other: int


@dataclass(frozen=True)
class FilterAudit:
    """The label filter measured against VGGSounder.

    Attributes:
        labelled: Candidates with VGGSounder labels.
        clean: Those of them whose labels are all seen and heard, with no flag.
        dropped_labelled: Segments with VGGSounder labels that the filter drops.
        dropped_clean: Those of them whose labels are all seen and heard, with no flag.
    """

    labelled: int
    clean: int
    dropped_labelled: int
    dropped_clean: int
    measures: list[Measure]


def audit_filter(segments: pl.DataFrame, candidates: pl.DataFrame, people: pl.DataFrame) -> FilterAudit:
    """Measure the label filter alone.

    Args:
        segments: The filter's input: clip_id, video_id, start_s.
        candidates: The segments that it kept, with class_name.
        people: LABELLED of `mma_bench.builders.labels.vggsounder`.
    """
    shown = segments.join(people, on=["video_id", "start_s"], how="inner")
    kept = join_labels(candidates, people)
    dropped = shown.join(candidates, on="clip_id", how="anti")
    # The correct segments are the clean ones of exactly one of our classes, whatever class the filter assigns.
    right = shown.filter(pl.col("clean") & (pl.col("classes").list.len() == 1)).select(
        "clip_id", class_name=pl.col("classes").list.first()
    )
    found = right.join(candidates.select("clip_id", "class_name"), on=["clip_id", "class_name"], how="semi")
    return FilterAudit(
        labelled=kept.height,
        clean=int(kept["clean"].sum()),
        dropped_labelled=dropped.height,
        dropped_clean=int(dropped["clean"].sum()),
        measures=_measures(kept, right, frozenset(found["clip_id"])),
    )


def audit_judge(verdicts: pl.DataFrame, labelled: pl.DataFrame) -> list[Measure]:
    """Measure a judge on the clips with both a verdict and VGGSounder labels; empty if there are none.

    Args:
        verdicts: Schema VERDICTS.
        labelled: Normalised clips as returned by `mma_bench.builders.labels.vggsounder.join_labels`.
    """
    judged = verdicts.filter(pl.col("status").is_in(["ok", "rejected"]))
    both = labelled.select("clip_id", "class_name", "vote").join(judged.select("clip_id", "status"), on="clip_id")
    if both.is_empty():
        return []
    kept = both.filter(pl.col("status") == "ok")
    return _measures(kept, both.filter(pl.col("vote")), frozenset(kept["clip_id"]))


def _measures(kept: pl.DataFrame, right: pl.DataFrame, found: frozenset[str]) -> list[Measure]:
    """All classes together, then each; `kept` has the column `vote`, `found` the ids in `right` kept for that class."""
    classes: list[str | None] = [None, *sorted(set(kept["class_name"]) | set(right["class_name"]))]

    def of(table: pl.DataFrame, class_name: str | None) -> pl.DataFrame:
        return table if class_name is None else table.filter(pl.col("class_name") == class_name)

    return [
        Measure(
            name,
            precision=_share(of(kept, name).drop_nulls("vote"), lambda row: bool(row["vote"])),
            recall=_share(of(right, name), lambda row: row["clip_id"] in found),
            other=of(kept, name)["vote"].null_count(),
        )
        for name in classes
    ]


def _share(clips: pl.DataFrame, counts: Callable[[dict[str, Any]], bool]) -> Estimate:
    return estimate({row["clip_id"]: [1.0 if counts(row) else 0.0] for row in clips.rows(named=True)})
