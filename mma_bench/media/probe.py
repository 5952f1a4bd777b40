"""Header facts of a media file, checked against limits before anything is decoded."""

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Stream
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput
from mma_bench.faults import machine_fault
from mma_bench.media.demux import audio_stream, opened, video_stream

_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # the identity in a display matrix's fixed-point numbers


@dataclass(frozen=True)
class Probe:
    """The header's claims; only decoding shows whether they are true (`mma_bench.media.facts`).

    Attributes:
        duration_s: Length of the longer of picture and sound in seconds, whatever subtitles and data last; None if the
            header does not say.
        container: FFmpeg's names of the container, e.g. `mov,mp4,m4a,3gp,3g2,mj2`.
        width: Coded width in pixels.
        height: Coded height in pixels.
        fps: Mean frames per second; None if the header does not say.
        video_codec: FFmpeg's name, e.g. `h264`.
        pixel_format: FFmpeg's name, e.g. `yuv420p`; None if the header does not say.
        audio_codec: FFmpeg's name, e.g. `aac`.
        sample_rate: In Hz.
        channels: Audio channels.
        pixel_aspect: Width of a pixel over its height; 1 if the file does not say.
        rotated: Whether a player has to turn or mirror the picture, as its first frame says.
    """

    duration_s: float | None
    container: str
    width: int
    height: int
    fps: float | None
    video_codec: str
    pixel_format: str | None
    audio_codec: str
    sample_rate: int
    channels: int
    pixel_aspect: Fraction
    rotated: bool


def probe(
    path: Path, *, max_bytes: int | None = None, max_pixels: int | None = None, max_seconds: float | None = None
) -> Probe:
    """Read the header of `path`; no frame is decoded before the limits are checked.

    Args:
        path: A local file.
        max_bytes: Limit on the file size.
        max_pixels: Limit on width × height, after pixels that are not square are made so.
        max_seconds: Limit on the header's duration. A header without a duration passes.

    Raises:
        InvalidInput: See the table in `mma_bench.media`.
    """
    if max_bytes is not None and path.is_file() and (size := path.stat().st_size) > max_bytes:
        raise InvalidInput("too_many_bytes", f"{size} bytes, at most {max_bytes} are allowed", subject=path)
    with opened(path) as container:
        video = video_stream(container, path)
        audio = audio_stream(container, path)
        width, height = video.codec_context.width, video.codec_context.height
        if width <= 0 or height <= 0:
            raise InvalidInput(
                "no_picture_size", "the header gives no picture size that a decoder accepts", subject=path
            )
        aspect = Fraction(video.sample_aspect_ratio or 1)
        if max_pixels is not None and width * height * max(aspect, 1 / aspect) > max_pixels:
            shape = "" if aspect == 1 else f", each {aspect} times as wide as high"
            raise InvalidInput(
                "too_many_pixels", f"{width}×{height} pixels{shape}, at most {max_pixels} are allowed", subject=path
            )
        duration_s = _duration_s(container, video, audio)
        if max_seconds is not None and duration_s is not None and duration_s > max_seconds:
            raise InvalidInput(
                "too_long", f"{duration_s:.1f} s long, at most {max_seconds:g} s are allowed", subject=path
            )
        return Probe(
            duration_s=duration_s,
            container=container.format.name,
            width=width,
            height=height,
            fps=float(video.average_rate) if video.average_rate else None,
            video_codec=video.codec_context.name,
            pixel_format=video.codec_context.pix_fmt,
            audio_codec=audio.codec_context.name,
            sample_rate=audio.codec_context.sample_rate,
            channels=audio.codec_context.channels,
            pixel_aspect=aspect,
            rotated=_is_rotated(container, video),
        )


def _duration_s(container: InputContainer, *streams: Stream) -> float | None:
    if len(container.streams) == len(streams):  # no other stream is part of the container's own duration
        return container.duration / 1_000_000 if container.duration is not None else None
    known = [seconds for stream in streams if (seconds := _stream_s(stream)) is not None]
    return max(known) if len(known) == len(streams) else None


def _stream_s(stream: Stream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska's
    return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) if tag else None


def _is_rotated(container: InputContainer, video: VideoStream) -> bool:
    # PyAV exposes the header's display matrix only on decoded frames.
    try:
        frame = next(container.decode(video), None)
    except FFmpegError as error:
        if machine_fault(error) is not None:
            raise
        return False  # the full decoding reports a damaged first frame
    for data in frame.side_data if frame is not None else ():
        if isinstance(data, SideData) and data.type is SideDataType.DISPLAYMATRIX:
            return struct.unpack("=9i", bytes(data)) != _UPRIGHT
    return False
