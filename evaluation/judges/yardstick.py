"""Precision and recall of the label filter and of judges, with people's labels (VGGSounder) as the truth.

A clip is right for a class if VGGSounder votes for it: people saw and heard the class, and saw and heard every other
label of the clip too, with nothing flagged. Clips count where VGGSounder has a vote: one of their labels is the class.
Intervals are exact binomial ones, since each clip counts once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from mma_bench.builders.labels.vggsounder import join_labels
from mma_bench.stats import Estimate, estimate


@dataclass(frozen=True)
class Measure:
    """Of one class, or of all (None).

    Attributes:
        precision: Of the clips that are kept, the share that is right.
        recall: Of the clips that are right, the share that is kept.
        other: Clips that are kept and that people labelled, but with no label of their class; not counted.
    """

    class_name: str | None
    precision: Estimate
    recall: Estimate
    other: int


@dataclass(frozen=True)
class FilterAudit:
    """What VGGSounder says of the label filter.

    Attributes:
        labelled: Candidates that VGGSounder has labelled.
        clean: Of these, seen and heard on every label with no flag.
        dropped_labelled: Segments that the filter drops and VGGSounder has labelled.
        dropped_clean: Of these, seen and heard on every label with no flag.
    """

    labelled: int
    clean: int
    dropped_labelled: int
    dropped_clean: int
    measures: list[Measure]


def audit_filter(segments: pl.DataFrame, candidates: pl.DataFrame, people: pl.DataFrame) -> FilterAudit:
    """The label filter alone.

    Args:
        segments: All segments that it was shown: clip_id, video_id, start_s.
        candidates: Those that it kept, with class_name.
        people: LABELLED of `mma_bench.builders.labels.vggsounder`.
    """
    shown = segments.join(people, on=["video_id", "start_s"], how="inner")
    kept = join_labels(candidates, people)
    dropped = shown.join(candidates, on="clip_id", how="anti")
    # Right are the clean segments of exactly one of our classes, whichever class the filter takes them for.
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
    """A judge on the clips that both it judged and VGGSounder labelled; none if there are none.

    Args:
        verdicts: Schema VERDICTS.
        labelled: Normalised clips as `mma_bench.builders.labels.vggsounder.join_labels` gives them.
    """
    judged = verdicts.filter(pl.col("status").is_in(["ok", "rejected"]))
    both = labelled.select("clip_id", "class_name", "vote").join(judged.select("clip_id", "status"), on="clip_id")
    if both.is_empty():
        return []
    kept = both.filter(pl.col("status") == "ok")
    return _measures(kept, both.filter(pl.col("vote")), frozenset(kept["clip_id"]))


def _measures(kept: pl.DataFrame, right: pl.DataFrame, found: frozenset[str]) -> list[Measure]:
    """All classes together, then each; `kept` has `vote`, `found` are the ids of `right` that were kept as such."""
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
