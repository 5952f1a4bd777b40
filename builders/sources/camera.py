"""A moving camera over a photograph, which makes the frames of a composed clip.

The camera circles once every few seconds while it slowly zooms, so that no two frames are alike and the object never
leaves the picture. Where it starts, which way it turns and whether it zooms in depend on the clip's id. A cut-out
photograph (one with transparency) lies on a plain background and fills most of the picture.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from PIL import Image, ImageOps

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import described

Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

LONGER_SIDE: Final = 640  # pixels of a frame
_NARROWEST, _WIDEST = 3 / 4, 4 / 3  # aspect ratios for cut-outs: a long thin object gets background at its sides
_OBJECT_SHARE: Final = 0.74  # of the canvas: the part that always stays in view
_GROUND: Final = (208, 208, 208)  # light grey, like a studio backdrop
_NEAR, _FAR = 0.84, 0.90  # the camera's window as a fraction of the canvas
_RADIUS: Final = 0.05  # of its circle, as a fraction of the canvas: the margin of the widest window
_PERIOD_S: Final = 5.0


@dataclass(frozen=True)
class Scene:
    """What the camera films.

    Attributes:
        planes: Luma and two chroma planes of the canvas (mode L; BT.601, 16–235; chroma at half size).
        size: (width, height) of the frames, even.
    """

    planes: tuple[Image.Image, Image.Image, Image.Image]
    size: tuple[int, int]


def read_photo(path: Path) -> Image.Image:
    """The photograph upright, as RGB or RGBA.

    Raises:
        InvalidInput: `unreadable_photo`.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        problem = f"{path} is not a readable image ({described(str(error), path)})"
        raise InvalidInput("unreadable_photo", problem) from None


def scene(photo: Image.Image) -> Scene:
    """Prepare a photograph for the camera: RGB as it is, RGBA cut out on a background."""
    cut_out = _trimmed(photo) if photo.mode == "RGBA" else None
    aspect = photo.width / photo.height
    if cut_out:
        aspect = min(max(cut_out.width / cut_out.height, _NARROWEST), _WIDEST)
    # The smallest window has as many pixels as a frame, so that nothing is upscaled twice.
    size = _even(LONGER_SIDE / _NEAR, aspect)
    canvas = _on_ground(cut_out, size) if cut_out else photo.resize(size, Image.Resampling.LANCZOS)
    return Scene(planes=_planes(canvas), size=_even(LONGER_SIDE, aspect))


def _even(longer: float, aspect: float) -> tuple[int, int]:
    """(width, height), both even and at least 16, as yuv420p and the encoder require."""
    sides = (longer, longer / aspect) if aspect >= 1 else (longer * aspect, longer)
    width, height = (max(2 * round(side / 2), 16) for side in sides)
    return width, height


def _trimmed(cut_out: Image.Image) -> Image.Image:
    box = cut_out.getchannel("A").getbbox()
    return cut_out.crop(box) if box else cut_out


def _on_ground(cut_out: Image.Image, size: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size, _GROUND)
    scale = _OBJECT_SHARE * min(canvas.width / cut_out.width, canvas.height / cut_out.height)
    fitted_size = (max(round(cut_out.width * scale), 1), max(round(cut_out.height * scale), 1))
    fitted = cut_out.resize(fitted_size, Image.Resampling.LANCZOS)
    canvas.paste(fitted, ((canvas.width - fitted.width) // 2, (canvas.height - fitted.height) // 2), fitted)
    return canvas


def _planes(canvas: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image]:
    width, height = canvas.size
    yuv = VideoFrame.from_ndarray(np.asarray(canvas), format="rgb24").reformat(format="yuv420p").to_ndarray().ravel()
    luma, chroma = width * height, width * height // 4
    half = (height // 2, width // 2)
    return (
        Image.fromarray(yuv[:luma].reshape(height, width)),
        Image.fromarray(yuv[luma : luma + chroma].reshape(half)),
        Image.fromarray(yuv[luma + chroma :].reshape(half)),
    )


def windows(clip_id: str, frames: int, fps: int) -> Iterator[Box]:
    """The camera's window for each frame, in fractions of the canvas (0 to 1), always inside it."""
    seed = hashlib.sha256(clip_id.encode("utf-8", "surrogatepass")).digest()
    start = math.tau * seed[0] / 256
    turn = 1 if seed[1] % 2 else -1
    near, far = (_NEAR, _FAR) if seed[2] % 2 else (_FAR, _NEAR)
    for index in range(frames):
        angle = start + turn * math.tau * index / (fps * _PERIOD_S)
        half = (near + (far - near) * index / max(frames - 1, 1)) / 2
        x, y = 0.5 + _RADIUS * math.cos(angle), 0.5 + _RADIUS * math.sin(angle)
        # Rounded, so that math libraries that differ in the last digit give the same pixels.
        yield round(x - half, 6), round(y - half, 6), round(x + half, 6), round(y + half, 6)


def film(what: Scene, clip_id: str, frames: int, fps: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Frames in FFmpeg's yuv420p layout: uint8 [height × 3 / 2, width]."""
    width, height = what.size
    sizes = ((width, height), (width // 2, height // 2), (width // 2, height // 2))
    for window in windows(clip_id, frames, fps):
        planes = [
            np.asarray(plane.resize(size, Image.Resampling.BILINEAR, box=_in_pixels(window, plane.size)))
            for plane, size in zip(what.planes, sizes, strict=True)
        ]
        yield np.concatenate([plane.ravel() for plane in planes]).reshape(height * 3 // 2, width)


def _in_pixels(window: Box, size: tuple[int, int]) -> Box:
    left, top, right, bottom = window
    return left * size[0], top * size[1], right * size[0], bottom * size[1]
