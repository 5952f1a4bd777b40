"""Previews of the clips on the dataset's page: a short film, a still and the loudness of each file.

In: the paths of clips. Out: a `Preview` for each, made by the build's workers, as encoding is what the page waits for.
"""

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mma_bench.config import Params
from mma_bench.errors import ClipError, DataError
from mma_bench.executor.results import results
from mma_bench.executor.task import Payload
from mma_bench.page import data_uri
from mma_bench.progress import Progress

POSTER_WIDTH: Final = 240  # px
_BINS: Final = 120


@dataclass(frozen=True)
class Preview:
    """What a page embeds of one clip.

    Attributes:
        video: A short, small copy (`mma_bench.media.preview`) as a data URI; None if not even the smallest fits.
        poster: The clip's middle frame as a data URI; None likewise.
        peaks: Loudness over time, 0 to 1, for drawing.
    """

    video: str | None
    poster: str | None
    peaks: tuple[float, ...]


def previews(paths: Collection[str], share: int, params: Params) -> dict[str, Preview]:
    """Path → the preview of that clip.

    Args:
        paths: Of local media files.
        share: Bytes of one preview with its poster, before base64.
        params: Say how many workers there are, and where.

    Raises:
        DataError: A file is missing or cannot be decoded; names it.
    """
    parts = {path: {"path": path, "share": share} for path in paths}
    made = results(parts, preview_of, workers=params.workers, title="previews", ray=params.on_ray())
    found = {}
    with Progress("previews", len(parts)) as progress:
        for path, preview in zip(parts, made, strict=True):
            found[path] = preview
            progress.advance(1)
    return found


def preview_of(payload: Payload) -> Preview:
    """The preview of one clip, whose poster is taken from its share of bytes; runs in the workers.

    Raises:
        DataError: See `previews`.
    """
    from mma_bench.media.preview import preview

    path, share = Path(payload["path"]), payload["share"]
    try:
        poster = _poster(path, share // 4)
        video = preview(path, share - len(poster or b""))
        loudness = peaks(path)
    except (ClipError, FileNotFoundError) as error:
        raise DataError(f"{path}: this clip of the page cannot be read: {error}", hint="run `dvc repro`") from None
    return Preview(
        None if video is None else data_uri(video, "video/mp4"),
        None if poster is None else data_uri(poster, "image/jpeg"),
        loudness,
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
