"""How much a picture was blurred, darkened or faded, measured on the written clip against its source.

Pictures are compared by luma on the limited range of 8 bits (16 is black, 235 white), frame by frame, at the size of
the file.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.fft
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from scipy.optimize import minimize_scalar

from mma_bench.errors import InvalidInput
from mma_bench.media.decode import decoded_frames

Plane: TypeAlias = npt.NDArray[np.uint8]  # [height, width]
Pair: TypeAlias = tuple[Plane, Plane]  # luma of the source and of the written clip

WIDEST_BLUR: Final = 20.0  # percent; what is left of a picture beyond is its lowest frequencies
_FRAMES: Final = 8  # evenly spread
_FLAT: Final = 0.01  # variance of luma


def limited_range(frame: VideoFrame) -> VideoFrame:
    """The frame in 8 bits of limited range: yuv420p, or yuv444p if a side is odd, as chroma of half the size needs."""
    wanted = "yuv444p" if frame.width % 2 or frame.height % 2 else "yuv420p"
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    if frame.format.name == wanted and not full:
        return frame
    came = ColorRange.JPEG if full else ColorRange.MPEG
    return frame.reformat(format=wanted, src_color_range=came, dst_color_range=ColorRange.MPEG)


def planes(frame: VideoFrame) -> list[Plane]:
    """Luma and both chroma planes, without copying."""
    rows = [np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    return [each[: plane.height, : plane.width] for each, plane in zip(rows, frame.planes, strict=True)]


def noted(frames: Iterable[VideoFrame], count: int, into: list[Plane]) -> Iterator[VideoFrame]:
    """The same frames; the luma of 8 of them, evenly spread, or of all if there are fewer, is put into a list.

    Args:
        frames: In limited range.
        count: How many.
        into: Filled with arrays of their own.
    """
    step = max(1, count // _FRAMES)
    for index, frame in enumerate(frames):
        if index % step == step // 2:
            into.append(planes(frame)[0].copy())
        yield frame


def noted_lumas(path: Path, count: int) -> list[Plane]:
    """The same of a file of so many frames.

    Raises:
        InvalidInput: See the table in `mma_bench.media`.
    """
    lumas: list[Plane] = []
    for _ in noted(map(limited_range, decoded_frames(path)), count, lumas):
        pass
    return lumas


def first_luma(path: Path) -> Plane:
    """Of the first frame."""
    frames = decoded_frames(path)
    luma = planes(limited_range(next(frames)))[0].copy()
    frames.close()
    return luma


def mean_luma(path: Path) -> float:
    """The mean over all pixels of all frames."""
    means = [float(planes(limited_range(frame))[0].mean()) for frame in decoded_frames(path)]
    return float(np.mean(means))


def require_contrast(path: Path, lumas: Iterable[Plane]) -> None:
    """See that a change of the picture can be measured.

    Raises:
        InvalidInput: `flat_picture`.
    """
    if max(float(luma.var()) for luma in lumas) < _FLAT:
        raise InvalidInput("flat_picture", "each frame has one brightness, so no change can be measured", subject=path)


def faded_percent(pairs: Sequence[Pair], anchor: float) -> float:
    """By how much luma was moved towards `anchor`, in percent: the slope of the written luma on the source's through
    this point, by least squares over all pixels.

    Args:
        pairs: Of which one has other luma than `anchor`.
        anchor: The luma that stays: 16 if darkened, the mean if contrast was taken.
    """
    squares = products = 0.0
    for source, written in _floats(pairs):
        squares += float(np.vdot(source - anchor, source - anchor))
        products += float(np.vdot(source - anchor, written - anchor))
    return 100 * (1 - products / squares)


def blur_percent(pairs: Sequence[Pair]) -> float:
    """The standard deviation of the Gaussian, in percent of the height, that makes the written frames of the source's.

    A Gaussian over a picture that is mirrored at its borders multiplies each coefficient of its cosine transform by
    a known factor; the standard deviation is the one for which the source's coefficients, so multiplied, come nearest
    to the written ones in the sum of squares. The mean is left out.

    Args:
        pairs: Of which one is not of one brightness.
    """
    height, width = pairs[0][0].shape
    squares = products = np.zeros((height, width))
    for source, written in _floats(pairs):
        before, after = scipy.fft.dctn(source, norm="ortho"), scipy.fft.dctn(written, norm="ortho")
        squares, products = squares + before**2, products + before * after
    squares[0, 0] = products[0, 0] = 0
    rows, columns = np.arange(height)[:, np.newaxis] / height, np.arange(width) / width
    exponent = -((np.pi * height / 100) ** 2) * (rows**2 + columns**2) / 2

    def misfit(percent: float) -> float:
        factor = np.exp(exponent * percent**2)
        return float((factor * (factor * squares - 2 * products)).sum())

    found = minimize_scalar(misfit, bounds=(0, 2 * WIDEST_BLUR), method="bounded", options={"xatol": 1e-3})
    return float(found.x)


def correlation(pairs: Sequence[Pair]) -> float:
    """Pearson's correlation of the written luma with the source's over all pixels, -1 to 1; 0 if either is constant."""
    source, written = (np.stack(lumas).astype(np.float64) for lumas in zip(*pairs, strict=True))
    source, written = source - source.mean(), written - written.mean()
    size = float(np.linalg.norm(source) * np.linalg.norm(written))
    return float(np.vdot(source, written)) / size if size else 0.0


def _floats(pairs: Sequence[Pair]) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    for source, written in pairs:
        yield source.astype(np.float64), written.astype(np.float64)
