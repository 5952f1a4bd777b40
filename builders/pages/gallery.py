"""The gallery of the dataset's page: a clip of every class, a few under all of the paper's conditions, playable.

In: rows of `variants.parquet` with their files. Out: plain records for the template, media as `data:` URIs. The page
holds previews (480 px, 5 s), whose size follows from how many there are, so that all of them stay within MAX_BYTES
whatever the clips weigh. A clip shared by several conditions (the false caption and the long context do not change the
media) is embedded once.
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
from mma_bench.page import data_uri
from mma_bench.schema import PAPERS_CONDITIONS, TEXT_CONDITIONS, Condition, Split

COMPLETE_CLIPS: Final = 4  # shown under all of the paper's conditions; the others aligned and misaligned
MAX_BYTES: Final = 12_000_000  # of all media; as base64 a third more
MOST_BYTES: Final = 250_000  # of one preview with its poster
POSTER_WIDTH: Final = 240  # px
_BINS: Final = 120


@dataclass(frozen=True)
class Exhibit:
    """One clip under one condition.

    Attributes:
        row: As packaged (see COLUMNS), without the media's bytes.
        video: A preview as a data URI; None if the condition uses the aligned clip's file, or not even the smallest
            preview fits.
        poster: Its middle frame as a data URI; None likewise.
        peaks: Loudness over time, 0 to 1, for drawing; empty likewise.
    """

    row: Mapping[str, Any]
    video: str | None
    poster: str | None
    peaks: tuple[float, ...]


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


def gallery(
    variants: pl.DataFrame,
    chosen: Mapping[str, Sequence[Condition]],
    options: Sequence[str],
    share: int,
) -> list[list[Exhibit]]:
    """The chosen clips.

    Args:
        variants: Schema VARIANTS; the rows of those clips are enough.
        chosen: As `choose` gives them.
        options: The classes to choose among.
        share: Bytes of one preview with its poster, before base64.

    Raises:
        InvalidInput: A file cannot be decoded; names it.
    """
    shown = [exhibits(variants, base, options, conditions, share) for base, conditions in chosen.items()]
    return [of_clip for of_clip in shown if of_clip]


def exhibits(
    variants: pl.DataFrame, base_id: str, options: Sequence[str], conditions: Sequence[Condition], share: int
) -> list[Exhibit]:
    """One clip under each of the conditions that it has, with the first donor's sound if there are several.

    Args:
        variants: Schema VARIANTS.
        base_id: The clip.
        options: The classes to choose among.
        conditions: Those to show.
        share: Bytes of one preview with its poster.

    Raises:
        InvalidInput: A file cannot be decoded; names it.
    """
    shown = []
    rows = variants.filter((pl.col("base_id") == base_id) & (pl.col("status") == "ok")).sort("id")
    for condition in conditions:
        of_condition = rows.filter(pl.col("condition") == condition)
        if of_condition.is_empty():
            continue
        variant = of_condition.row(0, named=True)
        row = packaged_row(variant, options, b"")
        if condition in TEXT_CONDITIONS:
            shown.append(Exhibit(row, None, None, ()))
        else:
            shown.append(exhibit(row, Path(variant["path"]), share))
    return shown


def exhibit(row: Mapping[str, Any], path: Path, share: int) -> Exhibit:
    """A packaged row with a preview of its file, whose poster is taken from its share of bytes.

    Raises:
        InvalidInput: The file cannot be decoded; names it.
    """
    from mma_bench.media.preview import preview

    poster = _poster(path, share // 4)
    video = preview(path, share - len(poster or b""))
    return Exhibit(
        row,
        None if video is None else data_uri(video, "video/mp4"),
        None if poster is None else data_uri(poster, "image/jpeg"),
        peaks(path),
    )


def peaks(path: Path, bins: int = _BINS) -> tuple[float, ...]:
    """The loudest sample of each of `bins` equal parts of the clip's sound, 0.0 (digital silence) to 1.0."""
    from mma_bench.media.decode import audio

    parts = np.array_split(np.abs(audio(path)), bins)
    return tuple(min(1.0, float(part.max(initial=0.0))) for part in parts)


def _poster(path: Path, max_bytes: int) -> bytes | None:
    """The middle frame as JPEG; None if it does not fit."""
    from PIL import Image

    from mma_bench.media.decode import frames

    frame: npt.NDArray[np.uint8] = frames(path, 1)[0]
    picture = Image.fromarray(frame)
    picture.thumbnail((POSTER_WIDTH, POSTER_WIDTH))
    for quality in (75, 40, 15):
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        if stream.tell() <= max_bytes:
            return stream.getvalue()
    return None
