"""Re-encodes a clip to H.264 yuv420p and AAC in MP4, through the FFmpeg program: the same bytes on every run.

One thread, bit-exact scaling and muxing, no metadata. FFmpeg stops at the first damaged packet or frame instead of
hiding it.
"""

import ctypes
import errno
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import ffmpeg

from mma_bench.errors import InvalidInput, Retryable
from mma_bench.faults import CRASHES
from mma_bench.media.demux import DEMUXERS, MAX_PIXELS, PROTOCOLS, audio_stream, described, opened, video_stream
from mma_bench.media.x264 import x264_params

CPU_LIMIT_S = 600  # a 10 s clip takes 1 to 20 s
_WALL_LIMIT_S = 6 * CPU_LIMIT_S
_STOPPED = 255  # FFmpeg's status after it has handled a signal
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SCALER = "bicubic+accurate_rnd+full_chroma_int+bitexact"
_CRF = 18  # visually lossless
_AUDIO_BITS_PER_S = 128_000
# The rates that AAC and all its decoders support; others are resampled to the default.
_SAMPLE_RATES = frozenset({16_000, 22_050, 24_000, 32_000, 44_100, 48_000})
_USUAL_SAMPLE_RATE = 44_100


@dataclass(frozen=True)
class Shape:
    """The target format of the written clip.

    Attributes:
        fps: Constant frames per second.
        frames: At most this many.
        seconds: End of the sound.
        square: Side of a square picture (cover-scale and centre crop), in pixels; None keeps the picture as it is,
            except an odd last row or column, which yuv420p does not allow, and pixels that are not square.
        fill: At most this many missing frames at the end are copies of the last one, and missing sound is padded with
            silence; 0 fills neither.
        preset: Of x264: a faster one makes larger files.
        stretch: Whether the source's pixels are not square, so that a picture that keeps its shape is scaled.
        sample_rate: Of the source, in Hz.
        channels: Of the source.
    """

    fps: Fraction
    frames: int
    seconds: float
    square: int | None
    fill: int
    sample_rate: int
    channels: int
    stretch: bool = False
    preset: str = "fast"


def encode(source: Path, target: Path, shape: Shape) -> None:
    """Write `source` to `target` in the given shape.

    Raises:
        InvalidInput: `corrupt_stream` if FFmpeg finds damage, `decoder_crashed` if it crashes, `encode_timed_out` after
            600 s of CPU time.
        Retryable: `encoder_stopped` if FFmpeg was killed from outside or did not end within an hour; `out_of_memory`.
        MachineFault: See `mma_bench.faults`.
    """
    with opened(source) as container:
        streams = video_stream(container, source).index, audio_stream(container, source).index
    spent_before = _children_cpu_s()
    try:
        run = subprocess.run(
            command(source, target, shape, streams),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_WALL_LIMIT_S,
            check=False,
            preexec_fn=_end_with_parent,
        )
    except subprocess.TimeoutExpired:
        raise Retryable("encoder_stopped", f"FFmpeg did not end within {_WALL_LIMIT_S} s", subject=source) from None
    if run.returncode in CRASHES:
        raise InvalidInput("decoder_crashed", f"FFmpeg was ended by {CRASHES[run.returncode]}", subject=source)
    if run.returncode == -signal.SIGXFSZ:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(target))
    if run.returncode < 0 or run.returncode == _STOPPED:
        # FFmpeg's own limit ends it by a signal, as does anything else that stops it from outside.
        if _children_cpu_s() - spent_before >= CPU_LIMIT_S:
            raise InvalidInput("encode_timed_out", f"not encoded within {CPU_LIMIT_S} s of CPU time", subject=source)
        raise Retryable("encoder_stopped", f"FFmpeg was stopped by a signal (status {run.returncode})", subject=source)
    if run.returncode:
        _raise_complaint(run.stderr.decode(errors="replace"), source)


def _end_with_parent() -> None:
    """Runs in the child: a worker killed by force leaves no FFmpeg that writes on. Linux only."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _children_cpu_s() -> float:
    """User plus system time, as the limit counts it."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def command(source: Path, target: Path, shape: Shape, streams: tuple[int, int] = (0, 1)) -> list[str]:
    """FFmpeg's argument list; `streams` are the indices of picture and sound in the source."""
    # With more than one decoding thread, -xerror misses most damage inside frames.
    given = ffmpeg.input(
        f"file:{source}",
        protocol_whitelist=PROTOCOLS,
        format_whitelist=DEMUXERS,
        max_pixels=MAX_PIXELS,
        threads=1,
    )
    picture = given[str(streams[0])].filter("fps", fps=str(shape.fps), start_time=0)
    if shape.square is not None:
        # Crop first, then scale: the same picture as scaling first, whatever the source's shape, but a source of 8×4096
        # pixels does not grow to 2 million rows. `sar` is the sample aspect ratio.
        picture = picture.filter("crop", w="min(iw,ih/sar)", h="min(ih,iw*sar)")
        picture = _scaled(picture, w=shape.square, h=shape.square).filter("setsar", 1)
    elif shape.stretch:
        wide, high = "trunc(iw*max(sar,1)/2)*2", "trunc(ih*max(1/sar,1)/2)*2"  # enlarges one side, so nothing is lost
        picture = _scaled(picture, w=wide, h=high).filter("setsar", 1)
    else:
        picture = _scaled(picture.filter("crop", w="trunc(iw/2)*2", h="trunc(ih/2)*2"))
    sound = given[str(streams[1])].filter("aresample", **{"async": 1, "first_pts": 0})  # gaps become silence
    if shape.fill:
        picture = picture.filter("tpad", stop=shape.fill, stop_mode="clone")
        sound = sound.filter("apad")
    # Cut by filters: the option -frames:v would also drop the last packet of the sound.
    output = ffmpeg.output(
        picture.filter("trim", end_frame=shape.frames).filter("format", "yuv420p"),
        sound.filter("atrim", duration=shape.seconds),
        f"file:{target}",
        format="mp4",
        vcodec="libx264",
        acodec="aac",
        preset=shape.preset,
        crf=_CRF,
        pix_fmt="yuv420p",
        audio_bitrate=_AUDIO_BITS_PER_S,
        ar=shape.sample_rate if shape.sample_rate in _SAMPLE_RATES else _USUAL_SAMPLE_RATE,
        ac=min(shape.channels, 2),
        map_metadata=-1,
        map_chapters=-1,
        movflags="+faststart",
        fflags="+bitexact",
        **{"flags:v": "+bitexact", "flags:a": "+bitexact", "x264-params": x264_params()},
    )
    arguments: list[str] = output.global_args(
        "-y", "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror",
        "-timelimit", str(CPU_LIMIT_S), "-filter_threads", "1", "-filter_complex_threads", "1",
    ).compile()  # fmt: skip
    return arguments


def _scaled(picture: Any, **size: int | str) -> Any:
    return picture.filter("scale", flags=_SCALER, out_range="tv", **size)


def _raise_complaint(messages: str, source: Path) -> NoReturn:
    """Raise what FFmpeg's messages mean."""
    described(messages, source)  # raises if the machine is at fault
    lines = messages.strip().splitlines()
    # Without the logging object's address, which differs between runs.
    first = re.sub(r" @ 0x[0-9a-f]+", "", lines[0]) if lines else "FFmpeg failed and gave no message"
    raise InvalidInput("corrupt_stream", described(first, source), subject=source)
