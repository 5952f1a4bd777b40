"""Previews for pages: five seconds of a clip, small enough to embed many of them, whatever the clip weighs.

The same bytes on every run: one thread, bit-exact muxing, no metadata.
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame

from mma_bench.media import SAMPLE_RATE
from mma_bench.media.decode import Sound, audio, decoded_frames
from mma_bench.media.probe import probe
from mma_bench.media.scaling import Scaler
from mma_bench.media.x264 import x264_params

SECONDS: Final = 5.0
SIDES: Final = (480, 320, 200, 120)  # px, of the longer side: smaller ones if the bytes do not suffice
FPS: Final = 15
_MOST_BITS_PER_S: Final = 400_000  # of the picture: more would not be seen at this size
_AUDIO_BITS_PER_S: Final = 32_000
_CONTAINER_BYTES: Final = 6_000


@dataclass(frozen=True)
class Excerpt:
    """The middle of a clip, or all of a shorter one.

    Attributes:
        frames: By the number of their slot of 1 / FPS seconds.
        sound: Mono, SAMPLE_RATE.
    """

    frames: list[tuple[int, VideoFrame]]
    sound: Sound


def preview(path: Path, max_bytes: int) -> bytes | None:
    """An MP4 file of the clip's middle: at most 480 px wide or high, 15 frames/s, 5 s, mono sound at 16 kHz.

    Args:
        path: A local media file.
        max_bytes: Of the preview.

    Returns:
        None if not even the smallest preview fits.

    Raises:
        InvalidInput: The clip cannot be decoded.
    """
    excerpt = excerpt_of(path)
    for side in SIDES:
        made = _encoded(excerpt, side, max_bytes)
        if len(made) <= max_bytes:
            return made
    return None


def excerpt_of(path: Path) -> Excerpt:
    """Decode the middle of a clip.

    Raises:
        InvalidInput: See the table in `mma_bench.media`.
    """
    heard = audio(path)
    duration_s = probe(path).duration_s or len(heard) / SAMPLE_RATE
    start_s = max(0.0, (duration_s - SECONDS) / 2)
    frames: list[tuple[int, VideoFrame]] = []
    scaler = Scaler()
    for frame in decoded_frames(path):
        slot = int((float(frame.time or 0.0) - start_s) * FPS + 1e-6)
        if slot >= SECONDS * FPS:
            break
        if slot >= 0 and float(frame.time or 0.0) >= start_s and (not frames or slot > frames[-1][0]):
            frames.append((slot, scaler.scaled(frame, *_size(frame, SIDES[0]), "yuv420p", "BICUBIC")))
    first = round(start_s * SAMPLE_RATE)
    return Excerpt(frames, heard[first : first + round(SECONDS * SAMPLE_RATE)])


def _size(frame: VideoFrame, side: int) -> tuple[int, int]:
    """Width and height, even, with the longer side at most `side`."""
    scale = min(1.0, side / max(frame.width, frame.height))
    return max(2, round(frame.width * scale / 2) * 2), max(2, round(frame.height * scale / 2) * 2)


def _encoded(excerpt: Excerpt, side: int, max_bytes: int) -> bytes:
    per_second = max(0, max_bytes - _CONTAINER_BYTES) * 8 / SECONDS
    sound_rate = int(min(_AUDIO_BITS_PER_S, max(12_000, per_second / 4)))
    picture_rate = int(min(_MOST_BITS_PER_S, max(8_000, 0.85 * (per_second - sound_rate))))
    file = io.BytesIO()
    # The decoder's buffer model bounds the size; the quality may be better only where the picture is simple.
    limits = {"maxrate": str(picture_rate), "bufsize": str(picture_rate // 2)}
    options = {"preset": "veryfast", "crf": "28", "x264-params": x264_params(), **limits}
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        video = out.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height = _size(excerpt.frames[0][1], side) if excerpt.frames else (2, 2)
        video.pix_fmt = "yuv420p"
        video.codec_context.flags |= Flags.bitexact
        sound = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        sound.bit_rate = sound_rate
        sound.codec_context.flags |= Flags.bitexact
        scaler = Scaler()
        for slot, frame in excerpt.frames:
            scaled = scaler.scaled(frame, video.width, video.height, "yuv420p", "BICUBIC")
            scaled.pts, scaled.time_base = slot, Fraction(1, FPS)
            out.mux(video.encode(scaled))
        out.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(excerpt.sound[None]), format="fltp", layout="mono")
        block.sample_rate, block.pts = SAMPLE_RATE, 0
        out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    return file.getvalue()
