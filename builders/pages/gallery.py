"""The gallery of the dataset's page: a clip of every class, a few under all of the paper's conditions, playable.

In: rows of `variants.parquet` and the previews of their files. Out: plain records for the template. The page holds
previews (480 px, 5 s), whose size follows from how many there are, so that all of them stay within MAX_BYTES
whatever the clips weigh. A clip shared by several conditions (the false caption and the long context do not change the
media) is embedded once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mma_bench.builders.dataset.columns import packaged_row
from mma_bench.builders.pages.previews import Preview
from mma_bench.schema import PAPERS_CONDITIONS, TEXT_CONDITIONS, Condition, Split

COMPLETE_CLIPS: Final = 4  # shown under all of the paper's conditions; the others aligned and misaligned
MAX_BYTES: Final = 12_000_000  # of all media; as base64 a third more
MOST_BYTES: Final = 250_000  # of one preview with its poster


@dataclass(frozen=True)
class Exhibit:
    """One clip under one condition.

    Attributes:
        row: As packaged (see COLUMNS), without the media's bytes.
        preview: None if the condition uses the aligned clip's file.
    """

    row: Mapping[str, Any]
    preview: Preview | None


def choose(variants: pl.DataFrame) -> dict[str, tuple[Condition, ...]]:
    """Base id → the conditions to show it under: a clip of every class, by class.

    These are test clips, or train clips if the build has no others. Of a class it is the clip with the most conditions,
    then the first by id.

    Args:
        variants: Schema VARIANTS, of which `context` is not needed.
    """
    made = variants.filter((pl.col("status") == "ok") & pl.col("condition").is_in(PAPERS_CONDITIONS))
    tested = made.filter(pl.col("split") == Split.TEST)
    good = made if tested.is_empty() else tested
    best: dict[str, tuple[int, str]] = {}
    for (base,), rows in good.group_by("base_id"):
        rank = (-rows["condition"].n_unique(), str(base))
        name = rows["visual_class"][0]
        best[name] = min(rank, best.get(name, rank))
    shown: dict[str, tuple[Condition, ...]] = {}
    for _, (conditions, base) in sorted(best.items()):
        room = sum(len(shown_under) > 2 for shown_under in shown.values()) < COMPLETE_CLIPS
        complete = room and -conditions == good["condition"].n_unique()
        shown[base] = PAPERS_CONDITIONS if complete else (Condition.ALIGNED, Condition.MISALIGNED)
    return shown


def share_of(chosen: Mapping[str, Sequence[Condition]], others: int, max_bytes: int = MAX_BYTES) -> int:
    """The bytes of one preview with its poster, so that all of them together have at most `max_bytes`.

    Args:
        chosen: As `choose` gives them.
        others: How many previews the page has besides.
        max_bytes: Of all previews and posters, before base64.
    """
    media = sum(condition not in TEXT_CONDITIONS for conditions in chosen.values() for condition in conditions)
    return min(MOST_BYTES, max_bytes // max(1, media + others))


def rows_shown(variants: pl.DataFrame, chosen: Mapping[str, Sequence[Condition]]) -> list[list[dict[str, Any]]]:
    """Of each chosen clip a row for each of its conditions, with the first donor's sound if there are several.

    Args:
        variants: Schema VARIANTS; the rows of those clips are enough.
        chosen: As `choose` gives them.
    """
    good = variants.filter(pl.col("status") == "ok").sort("id")
    shown = []
    for base_id, conditions in chosen.items():
        rows = good.filter(pl.col("base_id") == base_id)
        first = {row["condition"]: row for row in rows.reverse().iter_rows(named=True)}
        shown.append([first[condition] for condition in conditions if condition in first])
    return [of_clip for of_clip in shown if of_clip]


def paths_shown(shown: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    """The files of those rows, each once: several conditions may use the aligned clip's."""
    return list(dict.fromkeys(row["path"] for of_clip in shown for row in of_clip))


def gallery(
    shown: Sequence[Sequence[Mapping[str, Any]]], options: Sequence[str], previews: Mapping[str, Preview]
) -> list[list[Exhibit]]:
    """The chosen clips.

    Args:
        shown: As `rows_shown` gives them.
        options: The classes to choose among.
        previews: Of `paths_shown`, by path.
    """
    return [
        [
            Exhibit(
                packaged_row(row, options, b""),
                None if row["condition"] in TEXT_CONDITIONS else previews[row["path"]],
            )
            for row in of_clip
        ]
        for of_clip in shown
    ]
