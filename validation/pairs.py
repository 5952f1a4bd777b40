"""Invariants of `pairs.parquet`: the donors of sound for each aligned clip's misaligned variants."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl

from mma_bench import layout
from mma_bench.classes import ClassTable, load_classes
from mma_bench.config import Params
from mma_bench.pair_list import read_pairs
from mma_bench.schema import ALIGNED, PAIRS
from mma_bench.validation.accounts import counts_beside
from mma_bench.validation.expect import at_least, equal, holds
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.promises import Frames, Promise

TABLE = layout.PAIRS

_ROUNDING_S = 1e-6


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the tables and compute the facts."""
    aligned = inputs.table(layout.ALIGNED, ALIGNED)
    pairs = inputs.table(layout.PAIRS, PAIRS)
    classes = load_classes(inputs.note(layout.CLASSES))
    metric = inputs.json(layout.metrics("pair"))
    rows = pair_facts(pairs, aligned, classes)
    return {
        "rows": rows if params.pair.given is None else with_given(rows, inputs.note(Path(params.pair.given))),
        "bases": base_facts(pairs, aligned, donors_due(params)),
        "counts": pair_counts(metric, pairs),
    }


def donors_due(params: Params) -> dict[str, int] | None:
    """Split → donors of each clip; None if the pairs are given."""
    return None if params.pair.given else {str(split): count for split, count in params.pair.donors.items()}


def pair_facts(pairs: pl.DataFrame, aligned: pl.DataFrame, classes: ClassTable) -> pl.DataFrame:
    """One row per pair, joined with `aligned` for both clips; null where a clip is not aligned in that split.

    `pair` is its id; `spare_s`: length of the donor's sound minus that of the base's video.
    """
    clips = aligned.select("split", "clip_id", "video_id", "class_name", "video_duration_s", "audio_duration_s")
    base = clips.select("split", "clip_id", base_video="video_id", base_class="class_name", seen_s="video_duration_s")
    donor = clips.select(
        "split", "clip_id", donor_video="video_id", donor_class="class_name", heard_s="audio_duration_s"
    )
    distances = [{"visual_class": a, "audio_class": b, "edges": edges} for (a, b), edges in classes.distances.items()]
    schema = {"visual_class": pl.String(), "audio_class": pl.String(), "edges": pl.Int64()}
    return (
        pairs.join(base, left_on=["split", "base_id"], right_on=["split", "clip_id"], how="left")
        .join(donor, left_on=["split", "donor_id"], right_on=["split", "clip_id"], how="left")
        .join(pl.DataFrame(distances, schema=schema), on=["visual_class", "audio_class"], how="left")
        .select(
            (pl.col("base_id") + " with the sound of " + pl.col("donor_id")).alias("pair"),
            pl.exclude("pair"),
            (pl.col("heard_s") - pl.col("seen_s")).alias("spare_s"),
            (pl.col("base_id") != pl.col("donor_id")).alias("donor_is_another_clip"),
            (pl.col("base_video") != pl.col("donor_video")).alias("donor_is_of_another_video"),
            (pl.col("visual_class") != pl.col("audio_class")).alias("classes_differ"),
        )
        .sort("pair")
    )


def with_given(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The pairs with `is_given`: the file lists the donor, or only a class, which the donor has."""
    listed: set[tuple[str, str]] = set()
    for pair in read_pairs(path):
        listed.add((pair.base_id, pair.donor_id or pair.donor_class))
    found = [
        (base, donor) in listed or (base, sound) in listed
        for base, donor, sound in rows.select("base_id", "donor_id", "audio_class").iter_rows()
    ]
    return rows.with_columns(pl.Series("is_given", found, dtype=pl.Boolean()))


def base_facts(pairs: pl.DataFrame, aligned: pl.DataFrame, donors: dict[str, int] | None) -> pl.DataFrame:
    """One row per aligned clip: its pairs, their donors' classes, whether ranks start at 0, and the expected number.

    Args:
        donors: Split → donors of each clip; None: as many as there are.
    """
    of_base = pairs.group_by("split", "base_id").agg(
        pl.len().alias("pairs"),
        pl.col("audio_class").n_unique().alias("donor_classes"),
        (pl.col("rank").sort() == pl.int_range(pl.len())).all().alias("ranks_run_from_0"),
    )
    return (
        aligned.select("clip_id", "split")
        .join(of_base, left_on=["split", "clip_id"], right_on=["split", "base_id"], how="left")
        .with_columns(
            pl.col("pairs", "donor_classes").fill_null(0),
            pl.col("ranks_run_from_0").fill_null(True),
            (
                pl.col("pairs").fill_null(0)
                if donors is None
                else pl.col("split").replace_strict(donors, default=0, return_dtype=pl.Int64())
            ).alias("due"),
        )
        .sort("clip_id")
    )


def pair_counts(metric: Mapping[str, Mapping[str, int]], pairs: pl.DataFrame) -> pl.DataFrame:
    """The bases and pairs of each split, as reported by the stage and as counted."""
    said = {f"{split}.{key}": counts[key] for split, counts in metric.items() for key in ("bases", "pairs")}
    counted: dict[str, int] = {}
    for (split,), rows in pairs.group_by("split"):
        counted |= {f"{split}.bases": rows["base_id"].n_unique(), f"{split}.pairs": rows.height}
    return counts_beside(said, counted)


_rule = partial(Promise, hint="run `mma-bench build pair` again, then `dvc repro`")


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    return [
        *(_as_given(params.pair.given) if params.pair.given else _as_many_as_set(params)),
        _rule(
            "donors_are_of_distinct_classes",
            "The donors of a clip have distinct classes.",
            "section 5.1",
            equal("donor_classes", "due"),
            frame="bases",
        ),
        _rule(
            "ranks_run_from_0",
            "A clip's donors are numbered from 0 without gaps, so that the first n give a smaller dataset.",
            "the build",
            holds("ranks_run_from_0"),
            frame="bases",
        ),
        _rule(
            "counts_add_up",
            "The counts of bases and pairs that the stage reports match its table.",
            "Table 1",
            equal("reported", "counted"),
            frame="counts",
        ),
        _rule(
            "base_is_aligned_and_of_its_class",
            "The base is an aligned clip of the split, and `visual_class` is its class.",
            "section 3",
            equal("visual_class", "base_class"),
        ),
        _rule(
            "donor_is_aligned_and_of_its_class",
            "The donor is an aligned clip of the same split, and `audio_class` is its class.",
            "section 3",
            equal("audio_class", "donor_class"),
        ),
        _rule("donor_is_another_clip", "No clip is its own donor.", "section 3", holds("donor_is_another_clip")),
        _rule(
            "donor_is_of_another_video",
            "Base and donor are from different source videos.",
            "section 3",
            holds("donor_is_of_another_video"),
            show=("base_video",),
        ),
        _rule(
            "donor_is_of_another_class",
            "The sound and the picture have different classes.",
            "section 3",
            holds("classes_differ"),
            show=("visual_class", "audio_class"),
        ),
        _rule(
            "donor_is_long_enough",
            f"The donor's sound is at most {params.pair.slack_s:g} s shorter than the base's video.",
            "section 3",
            at_least("spare_s", -params.pair.slack_s - _ROUNDING_S),
        ),
        _rule(
            "distance_is_that_of_the_ontology",
            "`class_distance` is the number of ontology edges between the two classes.",
            "the build",
            equal("class_distance", "edges"),
        ),
    ]


def _as_many_as_set(params: Params) -> list[Promise]:
    donors = ", ".join(f"{count} in {split}" for split, count in sorted(params.pair.donors.items()))
    return [
        _rule(
            "every_clip_has_its_donors",
            f"Each aligned clip has exactly as many donors as pair.donors sets: {donors}.",
            "section 3, section 5.1",
            equal("pairs", "due"),
            frame="bases",
        )
    ]


def _as_given(path: str) -> list[Promise]:
    return [
        _rule(
            "pair_is_given",
            f"Each pair is one of {path}: its base with its donor, or with a donor of its class.",
            "section 3",
            holds("is_given"),
        )
    ]
