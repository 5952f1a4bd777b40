"""Drops a clip from every condition if one of its variants cannot be used: conditions are compared clip by clip.

| reason | meaning |
|---|---|
| `silent` | the peak of the sound that the variant uses is below `normalise.min_rms_dbfs` |
| `uncovered` | a donor's sound alone is heard, and it ends, or has gaps, for too long during the picture |
| `incomplete` | another variant of the clip is refused; the detail names it |
"""

from typing import Final

import polars as pl

from mma_bench.config import Params
from mma_bench.schema import DONATED, FACTS, FILE, Condition

# Not the clip's fault: its other variants stay, and the gate stops the build.
SOURCE_FAULTS: Final = ("source_missing", "source_changed")
_OK: Final = pl.col("status") == "ok"
_MADE: Final = (*FILE, *FACTS, "base_video_sha256", "source_audio_sha256", "level_measured", "base_likeness")
# Conditions whose sound need not be heard (a shift may leave only a silent part), and those in which the donor's is
# heard alone.
_SOUNDLESS: Final = (Condition.AUDIO_REMOVED, Condition.ABSENT_AUDIO, Condition.SHIFTED_AUDIO)
_DONORS_ALONE: Final = tuple(condition for condition in DONATED if condition != Condition.MIXED_AUDIO)


def without_incomplete(variants: pl.DataFrame, params: Params) -> pl.DataFrame:
    """The table (schema VARIANTS) with every variant refused of a clip of which one is, for a reason of its own."""
    least, slack_s = params.normalise.min_peak, params.pair.slack_s + params.validate_.duration_tolerance_s
    quiet = ~pl.col("condition").is_in(_SOUNDLESS) & (pl.col("audio_peak") < least)
    level = pl.format(
        "its peak is {} dBFS, at least {} are needed",
        (20 * pl.col("audio_peak").log10()).round(1),
        pl.lit(params.normalise.min_rms_dbfs),
    )
    checked = _refused(variants, quiet, "silent", level)
    without_sound_s = pl.col("video_duration_s") - pl.col("audio_duration_s")
    uncovered = pl.col("condition").is_in(_DONORS_ALONE) & (without_sound_s > slack_s)
    length = pl.format("{} s of the picture have no sound, {} are allowed", without_sound_s.round(3), pl.lit(slack_s))
    checked = _refused(checked, uncovered, "uncovered", length)

    faults = checked.filter(~_OK & ~pl.col("reason").is_in(SOURCE_FAULTS))
    first = faults.group_by("split", "base_id", maintain_order=True).agg(
        fault=pl.format("{}: {}", pl.first("id"), pl.first("reason"))
    )
    both = checked.join(first, on=["split", "base_id"], how="left", maintain_order="left")
    return _refused(both, pl.col("fault").is_not_null(), "incomplete", pl.col("fault")).drop("fault")


def _refused(variants: pl.DataFrame, where: pl.Expr, reason: str, detail: pl.Expr) -> pl.DataFrame:
    """The table with its good rows `where` refused, without file and facts."""
    outcome = {"status": pl.lit("refused"), "reason": pl.lit(reason), "detail": detail}
    marked = variants.with_columns(refused=(_OK & where).fill_null(value=False))
    return marked.with_columns(
        *(pl.when("refused").then(value).otherwise(name).alias(name) for name, value in outcome.items()),
        *(pl.when(~pl.col("refused")).then(name).alias(name) for name in _MADE),
    ).drop("refused")
