"""Invariants of the clips of conditions with steps: what was asked for is in the written file, by measurement."""

from collections.abc import Callable
from typing import Final

import polars as pl

from mma_bench.schema import ABSENT, MEASURED, Condition, Manipulation
from mma_bench.validation.expect import Column, Where, at_least, at_most, between, given, holds
from mma_bench.validation.promises import Promise

# How far the measured level may be from the stated one, in the level's unit. A blur's is in percent of the level, and
# at least 0.1: the filter only approximates a Gaussian.
DECIBELS: Final = 0.5
PERCENT: Final = 2.0
SHIFT_SAMPLES: Final = 512.001  # half an AAC frame; the rest is for the arithmetic of floats
BLUR_SHARE: Final = 0.1

_UNLIKE: Final = 0.1  # of 1
_LIKE: Final = 0.95
_STILL: Final = 0.2  # motion, of 255
_GREY: Final = (126.0, 130.0)  # luma 126 on the limited range, ± 2 levels, on the scale of 255
_NOISE_DBFS: Final = ((Manipulation.WHITE_NOISE, -20.0), (Manipulation.ROOM_TONE, -50.0))
_FULL_SCALE: Final = 0.999

_TOLERANCE = (
    pl.when(pl.col("manipulation").is_in([Manipulation.PINK_NOISE, Manipulation.MIXTURE]))
    .then(DECIBELS)
    .when(pl.col("manipulation") == Manipulation.SHIFT)
    .then(SHIFT_SAMPLES / pl.col("sample_rate"))
    .when(pl.col("manipulation") == Manipulation.BLUR)
    .then(pl.max_horizontal(pl.lit(0.1), pl.col("level") * BLUR_SHARE))
    .otherwise(PERCENT)
)
# One clip, one manipulation.
_SERIES = ("split", "base_id", "condition", "donor_id", "manipulation")


def step_facts(variants: pl.DataFrame) -> list[pl.Series]:
    """`off_by`: the distance of the measured level from the stated one, in tolerances; `in_order`: whether the measured
    level is above that of the next lower step of the same clip. Null where no level was measured.

    Args:
        variants: Schema VARIANTS.
    """
    series = [pl.col(name).fill_null("") for name in _SERIES]
    facts = variants.with_row_index().sort("level", maintain_order=True, nulls_last=True)
    before = pl.col("level_measured").shift(1).over(series)
    measured = facts.select(
        "index",
        ((pl.col("level_measured") - pl.col("level")).abs() / _TOLERANCE).alias("off_by"),
        pl.when(pl.col("level_measured").is_not_null())
        .then((pl.col("level_measured") > before).fill_null(True))
        .alias("in_order"),
    ).sort("index")
    return [measured["off_by"], measured["in_order"]]


def step_promises(rule: Callable[..., Promise]) -> list[Promise]:
    """In page order.

    Args:
        rule: Makes a promise about made clips.
    """
    measured, absent = _any_of(*MEASURED), _any_of(*ABSENT)
    noises = (Manipulation.WHITE_NOISE, Manipulation.ROOM_TONE, Manipulation.GREY, Manipulation.PIXEL_NOISE)
    return [
        rule(
            "level_was_measured",
            "The level of noise, mixture, blur, darkness, contrast and shift was measured on the written file.",
            "docs/beyond.md",
            given("level_measured", measured),
        ),
        rule(
            "level_is_as_stated",
            f"It is the stated one, ± {DECIBELS:g} dB, ± {PERCENT:g} points of a percentage, for blur "
            f"± {BLUR_SHARE:.0%} of it, and for a shift ± half an AAC frame (512 samples).",
            "docs/beyond.md",
            at_most("off_by", 1, measured),
            show=("level", "level_measured"),
        ),
        rule(
            "levels_are_in_order",
            "Of two steps of a clip, the higher one has the higher measured level.",
            "docs/beyond.md",
            holds("in_order", measured),
            show=("level", "level_measured"),
        ),
        rule(
            "sound_is_not_clipped",
            "A mixture of two sounds stays below full scale.",
            "docs/beyond.md",
            at_most("audio_peak", _FULL_SCALE, _any_of(Condition.DEGRADED_AUDIO, Condition.MIXED_AUDIO)),
        ),
        rule(
            "likeness_was_measured",
            "How much a replaced stream resembles the base's was measured on the written file.",
            "docs/beyond.md",
            given("base_likeness", absent),
        ),
        rule(
            "replaced_stream_is_unlike_the_base",
            f"Noise and grey resemble the base's stream by less than ± {_UNLIKE:g} of 1.",
            "docs/beyond.md",
            between("base_likeness", -_UNLIKE, _UNLIKE, _steps(*noises)),
            show=("manipulation",),
        ),
        *(
            rule(
                f"{noise}_has_its_level",
                f"The RMS of {noise.replace('_', ' ')} is {level:g} dBFS, ± {DECIBELS:g} dB.",
                "docs/beyond.md",
                between("rms_dbfs", level - DECIBELS, level + DECIBELS, _steps(noise)),
            )
            for noise, level in _NOISE_DBFS
        ),
        rule(
            "grey_is_grey",
            "The brightest pixel of a grey picture is of the middle brightness.",
            "docs/beyond.md",
            between("luma_max", *_GREY, _steps(Manipulation.GREY)),
        ),
        rule(
            "still_picture_stands_still",
            "A grey or frozen picture does not move.",
            "docs/beyond.md",
            at_most("motion", _STILL, _steps(Manipulation.GREY, Manipulation.FROZEN)),
        ),
        rule(
            "pixel_noise_moves",
            "Noise is drawn anew for every frame.",
            "docs/beyond.md",
            at_least("motion", 1, _steps(Manipulation.PIXEL_NOISE)),
        ),
        rule(
            "frozen_picture_is_the_first_frame",
            f"A frozen picture resembles the base's first frame by at least {_LIKE:g} of 1.",
            "docs/beyond.md",
            at_least("base_likeness", _LIKE, _steps(Manipulation.FROZEN)),
        ),
    ]


def _any_of(*conditions: Condition) -> Where:
    return Column("condition").is_in(map(str, conditions))


def _steps(*manipulations: Manipulation) -> Where:
    return Column("manipulation").is_in(map(str, manipulations))
