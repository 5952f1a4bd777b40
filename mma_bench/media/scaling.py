"""Scales decoded frames: the pixels of PyAV's `VideoFrame.reformat`, for a small target in a fraction of its time."""

from typing import Literal

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter


class Scaler:
    """Scales the frames of a clip, one after the other.

    `VideoFrame.reformat` sets up a new scaler for every frame, with a thread for every core; this one is set up once,
    and uses one thread, since clips are spread over worker processes.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def scaled(
        self, frame: VideoFrame, width: int, height: int, pixel_format: str, method: Literal["AREA", "BICUBIC"]
    ) -> VideoFrame:
        """A frame of the given size in pixels and FFmpeg's `pixel_format`; the same one if it has them already."""
        return self._reformatter.reformat(frame, width, height, pixel_format, interpolation=method, threads=1)
