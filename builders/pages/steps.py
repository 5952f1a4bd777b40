"""The steps of the conditions beyond the paper on the dataset's page: one clip blurred, darkened, in noise and so on.

In: rows of `variants.parquet` and the previews of their files. Out: records for the template, playable like those of
the gallery, each with the level that was asked for and what was measured on the written file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import polars as pl

from mma_bench.builders.dataset.columns import packaged_row
from mma_bench.builders.pages.gallery import Exhibit
from mma_bench.builders.pages.previews import Preview
from mma_bench.schema import ABSENT, STEPPED, Condition, Manipulation, Split

# Heading, what the level is, and its unit.
_LEVELS: Final[Mapping[str, tuple[str, str, str]]] = {
    Manipulation.PINK_NOISE: ("Noise over the sound", "signal-to-noise ratio: the lower, the louder the noise", "dB"),
    Manipulation.MIXTURE: (
        "Two sounds at once",
        "the other clip’s sound over the clip’s own: above 0 the other, which counts as heard, is louder",
        "dB",
    ),
    Manipulation.BLUR: ("Blurred picture", "standard deviation of the blur, in percent of the picture’s height", "%"),
    Manipulation.DARKNESS: ("Darkened picture", "percent of the brightness that is taken away", "%"),
    Manipulation.LOW_CONTRAST: ("Faded picture", "percent of the contrast that is taken away", "%"),
    Manipulation.SHIFT: ("Shifted sound", "seconds by which the sound is late; below 0 it is early", "s"),
}
_LIKENESS: Final = "likeness to the clip’s own {}: 1 for the same, about 0 if nothing of it is left"
_ABSENT: Final[Mapping[str, tuple[str, str, str]]] = {
    Condition.ABSENT_AUDIO: ("No sound", _LIKENESS.format("sound"), ""),
    Condition.ABSENT_VIDEO: (
        "No picture",
        _LIKENESS.format("picture") + ". “Frozen” is compared with the first frame, which it keeps",
        "",
    ),
}


@dataclass(frozen=True)
class Step:
    """One variant.

    Attributes:
        name: The level that was asked for with its unit, or the manipulation if it has no level.
        measured: The level on the written file; for a manipulation without a level the likeness (`base_likeness`).
    """

    exhibit: Exhibit
    name: str
    measured: str


@dataclass(frozen=True)
class Steps:
    """The steps of one manipulation, from little to much; of an absent sense, all ways to take it away."""

    heading: str
    unit: str
    condition: str
    steps: tuple[Step, ...]


def choose_steps(variants: pl.DataFrame, shown: Mapping[str, Sequence[Condition]]) -> pl.DataFrame:
    """The rows with a manipulation of one clip: that with most of them, then the one that the gallery shows most of.

    Args:
        variants: Schema VARIANTS, of which `context` is not needed.
        shown: What the gallery shows, as `gallery.choose` gives it.

    Returns:
        Those rows, in the order of the page; none if the build has no such condition.
    """
    made = variants.filter((pl.col("status") == "ok") & pl.col("manipulation").is_not_null())
    tested = made.filter(pl.col("split") == Split.TEST)
    good = made if tested.is_empty() else tested
    if good.is_empty():
        return good
    counted = good.group_by("base_id").len().iter_rows()
    _, _, base = min((-rows, -len(shown.get(base, ())), base) for base, rows in counted)
    order = {name: place for place, name in enumerate(name for names in STEPPED.values() for name in names)}
    # The signal-to-noise ratio is the only level that falls as more is done.
    strength = pl.when(pl.col("manipulation") == Manipulation.PINK_NOISE).then(-pl.col("level")).otherwise("level")
    own = good.filter(pl.col("base_id") == base)
    return own.sort(pl.col("manipulation").replace_strict(order, return_dtype=pl.Int64), strength, "id")


def step_gallery(rows: pl.DataFrame, options: Sequence[str], previews: Mapping[str, Preview]) -> list[Steps]:
    """The chosen rows as the page shows them.

    Args:
        rows: As `choose_steps` gives them.
        options: The classes to choose among.
        previews: Of all their files, by path.
    """
    found = []
    for (condition, key), group in groupby(rows.iter_rows(named=True), _group):
        heading, unit, symbol = _ABSENT[key] if condition in ABSENT else _LEVELS[key]
        steps = tuple(_step(row, options, previews[row["path"]], symbol) for row in group)
        found.append(Steps(heading, unit, condition, steps))
    return found


def _group(row: Mapping[str, Any]) -> tuple[str, str]:
    condition = str(row["condition"])
    return condition, condition if condition in ABSENT else str(row["manipulation"])


def _step(row: Mapping[str, Any], options: Sequence[str], preview: Preview, symbol: str) -> Step:
    shown = Exhibit(packaged_row({**row, "context": None}, options, b""), preview)
    if row["level"] is None:
        return Step(shown, row["manipulation"].replace("_", " "), _number(row["base_likeness"], ".2f"))
    return Step(shown, f"{_number(row['level'], 'g')} {symbol}", f"{_number(row['level_measured'], '.2f')} {symbol}")


def _number(value: float | None, form: str) -> str:
    """With a true minus sign, and no minus before zero; a dash if there is none."""
    return "–" if value is None else format(round(value, 2) + 0.0, form).replace("-", "−")
