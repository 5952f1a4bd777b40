"""Writes a rendered clip as an MP4 file, H.264 and AAC, as the benchmark's clips are; equal clips give equal bytes."""

from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from mma_bench.media import SAMPLE_RATE
from mma_bench.media.remux import MP4_OPTIONS
from mma_bench.media.x264 import x264_params
from mma_bench.training.miniature.world import FPS, SIDE, Clip

_X264: Final = {"preset": "superfast", "crf": "23", "flags": "+bitexact", "x264-params": x264_params()}


def write_clip(into: Path, clip: Clip) -> None:
    """Encode `clip` to the file `into`, yuv420p and mono."""
    with av.open(f"file:{into}", "w", format="mp4", options=MP4_OPTIONS) as out:
        video = out.add_stream("libx264", rate=FPS, options=_X264)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        video.codec_context.max_b_frames = 0  # so that decoding order is display order and the first timestamp is 0
        audio = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"flags": "+bitexact"})
        audio.bit_rate = 64_000
        for index, pixels in enumerate(clip.frames):
            picture = VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        heard = AudioFrame.from_ndarray(clip.sound[np.newaxis], format="fltp", layout="mono")
        heard.pts, heard.sample_rate, heard.time_base = 0, SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        out.mux(audio.encode(heard))
        out.mux(audio.encode(None))
