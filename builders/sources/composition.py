"""Composes a clip from a photograph and a sound of the same object.

In: an image file and a sound file. Out: an MP4 of exactly 10 s (H.264 yuv420p at 25 frames/s, AAC mono at 44.1 kHz),
the same bytes on every run. Such a clip is "photo + sound", never a recording: picture and sound did not happen
together.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from mma_bench.builders.sources.camera import film, read_photo, scene
from mma_bench.builders.sources.soundtrack import Wave, audible, read_sound, repeated
from mma_bench.media.x264 import x264_params

SECONDS: Final = 10
FPS: Final = 25
SAMPLE_RATE: Final = 44_100
_X264: Final = {"preset": "superfast", "crf": "23", "flags": "+bitexact", "x264-params": x264_params()}


def compose(photo: Path, sound: Path, clip_id: str, into: Path) -> None:
    """Write the clip `clip_id` to `into`, an MP4 file.

    Args:
        photo: An image that Pillow can read, with or without transparency.
        sound: A sound that FFmpeg can read.
        clip_id: Decides the camera's path.
        into: The file to write.

    Raises:
        InvalidInput: `unreadable_photo`, `unreadable_sound`, `silent_sound`.
    """
    what = scene(read_photo(photo))
    wave = audible(read_sound(sound, SAMPLE_RATE), SAMPLE_RATE, sound)
    track = repeated(wave, SECONDS * SAMPLE_RATE, SAMPLE_RATE)
    write_clip(into, film(what, clip_id, SECONDS * FPS, FPS), what.size, track)


def write_clip(into: Path, frames: Iterable[npt.NDArray[np.uint8]], size: tuple[int, int], track: Wave) -> None:
    """Encode yuv420p frames and mono sound; equal input gives equal bytes.

    Args:
        into: The MP4 file to write.
        frames: uint8 [height × 3 / 2, width] each.
        size: (width, height).
        track: float32 [samples] at `SAMPLE_RATE`, within -1 to 1.
    """
    # "bitexact" leaves out the writing library's version; there is no creation time unless one is given.
    with av.open(f"file:{into}", "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}) as out:
        video = out.add_stream("libx264", rate=FPS, options=_X264)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.gop_size = 2 * FPS
        video.codec_context.max_b_frames = 0  # so that decoding order is display order and the first timestamp is 0
        audio = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"flags": "+bitexact"})
        audio.bit_rate = 128_000
        for index, planes in enumerate(frames):
            picture = VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        heard = AudioFrame.from_ndarray(track[np.newaxis], format="fltp", layout="mono")
        heard.pts, heard.sample_rate, heard.time_base = 0, SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        out.mux(audio.encode(heard))
        out.mux(audio.encode(None))
