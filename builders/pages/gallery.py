"""The gallery of the dataset's page: a few clips under every condition, playable inline.

In: rows of `variants.parquet` with their files. Out: plain records for the template, media as `data:` URIs. A clip
    shared by several conditions (the false caption and the long context do not change the media) is embedded once.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from mma_bench.builders.dataset.columns import packaged_row
from mma_bench.page import data_uri, file_uri
from mma_bench.schema import TEXT_CONDITIONS, Condition, Split

MAX_CLIPS: Final = 4
MAX_BYTES: Final = 10_000_000  # of all media; as base64 a third more
POSTER_WIDTH: Final = 480  # px
_BINS: Final = 120


@dataclass(frozen=True)
class Exhibit:
    """One clip under one condition.

    Attributes:
        row: As packaged (see COLUMNS), without the media's bytes.
        video: The clip as a data URI; None if the condition uses the aligned clip's file.
        poster: Its middle frame as a data URI; None likewise.
        peaks: Loudness over time, 0 to 1, for drawing; empty likewise.
    """

    row: Mapping[str, Any]
    video: str | None
    poster: str | None
    peaks: tuple[float, ...]


def choose(variants: pl.DataFrame, sizes: Mapping[str, int]) -> list[str]:
    """Base ids to show: of the clips that exist under every condition, the smallest, each of a different class.

    These are test clips, or train clips if the build has no others.

    Args:
        variants: Schema VARIANTS.
        sizes: Path → bytes.
    """
    made = variants.filter(pl.col("status") == "ok")
    tested = made.filter(pl.col("split") == Split.TEST)
    good = made if tested.is_empty() else tested
    complete = good["condition"].n_unique()
    clips = []
    for (base,), rows in good.group_by("base_id"):
        if rows["condition"].n_unique() == complete:
            clips.append((sum(sizes[path] for path in rows["path"].unique()), base, rows["visual_class"][0]))
    chosen: dict[str, str] = {}
    total = 0
    for size, base, name in sorted(clips):
        if name not in chosen and len(chosen) < MAX_CLIPS and total + size <= MAX_BYTES:
            chosen[name] = base
            total += size
    return list(chosen.values())


def exhibits(variants: pl.DataFrame, base_id: str, options: Sequence[str]) -> list[Exhibit]:
    """One clip under each of its conditions, with the first donor's sound if there are several.

    Raises:
        InvalidInput: A file cannot be decoded; names it.
    """
    shown = []
    rows = variants.filter((pl.col("base_id") == base_id) & (pl.col("status") == "ok")).sort("id")
    for condition in Condition:
        of_condition = rows.filter(pl.col("condition") == condition)
        if of_condition.is_empty():
            continue
        variant = of_condition.row(0, named=True)
        row = packaged_row(variant, options, b"")
        if condition in TEXT_CONDITIONS:
            shown.append(Exhibit(row, None, None, ()))
        else:
            path = Path(variant["path"])
            shown.append(Exhibit(row, file_uri(path, "video/mp4"), _poster(path), peaks(path)))
    return shown


def peaks(path: Path, bins: int = _BINS) -> tuple[float, ...]:
    """The loudest sample of each of `bins` equal parts of the clip's sound, 0.0 (digital silence) to 1.0."""
    from mma_bench.media.decode import audio

    parts = np.array_split(np.abs(audio(path)), bins)
    return tuple(min(1.0, float(part.max(initial=0.0))) for part in parts)


def _poster(path: Path) -> str:
    from PIL import Image

    from mma_bench.media.decode import frames

    frame: npt.NDArray[np.uint8] = frames(path, 1)[0]
    picture = Image.fromarray(frame)
    picture.thumbnail((POSTER_WIDTH, POSTER_WIDTH))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return data_uri(stream.getvalue(), "image/jpeg")
