"""Facts about variants, joined with their base and donor, for the promises in `mma_bench.validation.variants`."""

from hashlib import sha256

import polars as pl

from mma_bench.config import Params
from mma_bench.irrelevant_text import irrelevant_text
from mma_bench.schema import DONATED, Condition, step_name
from mma_bench.validation.accounts import differs_in
from mma_bench.validation.clips import clip_facts
from mma_bench.validation.steps import step_facts

OF_BASE = ("split", "video_id", "start_s", "end_s", "label_ids")  # what a variant inherits from its base
OF_BOTH = ("source", "licence", "judge")  # name both base and donor if they differ

_MISALIGNED = str(Condition.MISALIGNED)
_SOURCE_FAULTS = ("source_missing", "source_changed")


def ids_due(aligned: pl.DataFrame, pairs: pl.DataFrame, params: Params) -> pl.Series:
    """The ids of all variants of the configured conditions: one per clip, for misaligned one per pair, for others with
    a donor one per clip that has one, and of each one per step.
    """
    ids = []
    for split, conditions in params.conditions().items():
        clips = aligned.filter(pl.col("split") == split)["clip_id"].to_list()
        chosen = pairs.filter(pl.col("split") == split)
        for condition in conditions:
            due = chosen if condition == _MISALIGNED else chosen.filter(pl.col("rank") == 0)
            pairs_due = [f"{base}.{condition}.{donor}" for base, donor in due.select("base_id", "donor_id").iter_rows()]
            starts = pairs_due if condition in DONATED else [f"{clip}.{condition}" for clip in clips]
            steps = [f".{step_name(*step)}" for step in params.conflicts.steps_of(condition)] or [""]
            ids += [f"{start}{step}" for start in starts for step in steps]
    return pl.Series("id", ids, dtype=pl.String())


def misaligned_per_clip(
    variants: pl.DataFrame, aligned: pl.DataFrame, pairs: pl.DataFrame, params: Params
) -> pl.DataFrame:
    """One row per aligned clip: its good misaligned variants, their distinct audio classes, and how many pairs it has.

    None are expected of a clip that was dropped from every condition.
    """
    misaligned = [split for split, conditions in params.conditions().items() if _MISALIGNED in conditions]
    due = pairs.filter(pl.col("split").is_in(misaligned)).group_by("split", "base_id").agg(pl.len().alias("pairs"))
    good = variants.filter(pl.col("status") == "ok")
    used = good["base_id"].unique().to_list()
    made = (
        good.filter(pl.col("condition") == _MISALIGNED)
        .group_by("split", "base_id")
        .agg(pl.len().alias("misaligned"), pl.col("audio_class").n_unique().alias("sounds_like"))
    )
    return (
        aligned.select("clip_id", "split")
        .join(made, left_on=["split", "clip_id"], right_on=["split", "base_id"], how="left")
        .join(due, left_on=["split", "clip_id"], right_on=["split", "base_id"], how="left")
        .select(
            "clip_id",
            "split",
            pl.col("misaligned", "sounds_like").fill_null(0),
            pl.when(pl.col("clip_id").is_in(used)).then(pl.col("pairs").fill_null(0)).otherwise(0).alias("due"),
        )
        .sort("clip_id")
    )


def variant_facts(variants: pl.DataFrame, aligned: pl.DataFrame, params: Params) -> pl.DataFrame:
    """The table, with checked contexts, without its labels and joined with `aligned` for base and donor; null where a
    clip is not aligned.

    `altered`: the first column that differs from the base; `resized`: the same for geometry and number of frames;
    `made_or_dropped`: the variant is good, or none of its clip's is, for a reason that is the clip's.
    """
    clips = aligned.unique("clip_id", keep="first", maintain_order=True)
    base = clips.select(
        base_id="clip_id",
        base_class="class_name",
        base_file="sha256",
        base_video="video_sha256",
        base_audio="audio_sha256",
        base_s="duration_s",
        base_audio_s="audio_duration_s",
        base_verified="human_verified",
        **{f"base_{column}": column for column in OF_BOTH},
    )
    donor = clips.select(
        donor_id="clip_id",
        donor_split="split",
        donor_class="class_name",
        donor_verified="human_verified",
        **{f"donor_{column}": column for column in OF_BOTH},
    )
    by_base = clips.rename({"clip_id": "base_id"})
    classes = aligned.group_by("split").agg(pl.col("class_name").unique().alias("classes"))
    misaligned = (
        variants.filter(pl.col("condition") == _MISALIGNED)
        .select("split", "base_id", "donor_id", misaligned_file="sha256")
        .unique(["split", "base_id", "donor_id"], keep="first", maintain_order=True)
    )
    heard = pl.coalesce("donor_class", "base_class")
    ok = pl.col("status") == "ok"
    return (
        clip_facts(variants, "validate_variants", params)
        .with_columns(
            differs_in(variants, by_base, "base_id", OF_BASE).alias("altered"),
            differs_in(variants, by_base, "base_id", ["width", "height", "frames"]).alias("resized"),
            *step_facts(variants),
            (ok | (~ok.any().over("split", "base_id") & ~pl.col("reason").is_in(_SOURCE_FAULTS))).alias(
                "made_or_dropped"
            ),
        )
        .join(base, on="base_id", how="left", maintain_order="left")
        .join(donor, on="donor_id", how="left", maintain_order="left")
        .join(classes, on="split", how="left", maintain_order="left")
        .join(misaligned, on=["split", "base_id", "donor_id"], how="left", maintain_order="left")
        .with_columns(
            pl.concat_str("base_id", "condition", "donor_id", _step(variants), separator=".", ignore_nulls=True).alias(
                "due_id"
            ),
            heard.alias("class_of_the_sound"),
            (pl.col("base_verified") & pl.col("donor_verified").fill_null(True)).alias("verified"),
            pl.col("classes").list.contains(pl.col("caption")).alias("caption_is_an_option"),
            (pl.col("caption") != pl.col("visual_class")).alias("caption_misleads"),
            ((pl.col("caption") != pl.col("visual_class")) & (pl.col("caption") != pl.col("audio_class"))).alias(
                "caption_is_a_third_class"
            ),
            (pl.col("visual_class") != pl.col("audio_class")).alias("conflict"),
            (pl.col("donor_split") == pl.col("split")).alias("donor_is_of_the_split"),
            (pl.col("video_sha256") != pl.col("base_video")).alias("picture_replaced"),
            (pl.col("audio_sha256") != pl.col("base_audio")).alias("sound_replaced"),
            (pl.col("duration_s") - pl.col("base_s")).alias("longer_by_s"),
            (pl.col("audio_duration_s") - pl.col("base_audio_s")).alias("sound_longer_by_s"),
            (pl.col("video_duration_s") - pl.col("audio_duration_s")).alias("without_sound_s"),
            *(_names_both(column).alias(f"{column}_is_complete") for column in OF_BOTH),
        )
        .drop("classes")
    )


def _step(variants: pl.DataFrame) -> pl.Series:
    """The step in each row's id; null if the row has none."""
    names = [
        None if manipulation is None else step_name(manipulation, level)
        for manipulation, level in variants.select("manipulation", "level").iter_rows()
    ]
    return pl.Series("step", names, dtype=pl.String())


def with_checked_context(variants: pl.DataFrame, words: int) -> pl.DataFrame:
    """The rows with `context_is_that_of_its_seed`, null if the row lacks either, and `context` replaced by its hash.

    One text after the other: each has tens of kilobytes.
    """
    agrees, hashes = [], []
    for seed, context in variants.select("context_seed", "context").iter_rows():
        agrees.append(None if seed is None or context is None else context == irrelevant_text(seed, words))
        hashes.append(None if context is None else sha256(context.encode()).hexdigest())
    return variants.with_columns(
        pl.Series("context_is_that_of_its_seed", agrees, dtype=pl.Boolean()),
        pl.Series("context", hashes, dtype=pl.String()),
    )


def _names_both(column: str) -> pl.Expr:
    """The column equals the base's, or names both base and donor if they differ."""
    ours, theirs = pl.col(f"base_{column}"), pl.coalesce(f"donor_{column}", f"base_{column}")
    both = pl.col(column).str.contains(ours, literal=True) & pl.col(column).str.contains(theirs, literal=True)
    return pl.when(ours == theirs).then(pl.col(column) == ours).otherwise(both)
