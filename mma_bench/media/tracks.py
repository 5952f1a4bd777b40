"""The packets of a clip's streams, to be copied bit for bit, and the MP4 files that they are copied into."""

import bisect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Discard
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput
from mma_bench.files import atomic_path
from mma_bench.media.demux import MediaPacket, opened

_DESCRIBED = frozenset({"h264", "hevc", "av1", "aac", "mp3", "opus"})  # fully described by the container's header


@dataclass(frozen=True)
class Track:
    """A stream's packets in decoding order.

    Attributes:
        begin: When the first frame or sample is presented, in seconds; packets that only prime the decoder come before.
        end: When the last one ends, in seconds.
    """

    stream: VideoStream | AudioStream
    packets: list[MediaPacket]
    begin: Fraction
    end: Fraction


@contextmanager
def opened_to_copy(path: Path) -> Iterator[InputContainer]:
    """Open `path` without decoders, in a fifth of the time, if its codecs can be copied without them."""
    with opened(path, decoders=False) as container:
        contexts = [stream.codec_context for stream in container.streams]
        if all(context is not None and context.codec.canonical_name in _DESCRIBED for context in contexts):
            yield container
            return
    with opened(path) as container:
        yield container


def read_tracks(container: InputContainer, path: Path, *streams: VideoStream | AudioStream) -> list[Track]:
    """All packets of some streams of the open file `path`.

    Raises:
        InvalidInput: `truncated`, `packet_without_time`, `no_frames`, `no_audio_samples`.
    """
    for stream in container.streams:
        if stream not in streams:
            stream.discard = Discard.all  # saves reading its packets from the file
    found: dict[int, list[MediaPacket]] = {stream.index: [] for stream in streams}
    for packet in container.demux(*streams):
        if not packet.size:
            continue  # ends a stream
        if packet.is_corrupt:
            raise InvalidInput("truncated", "the file ends in the middle of a packet", subject=path)
        if packet.pts is None or packet.dts is None or not packet.duration:
            raise InvalidInput(
                "packet_without_time", f"a packet of stream {packet.stream_index} has no time", subject=path
            )
        found[packet.stream_index].append(packet)
    return [_track(path, stream, found[stream.index]) for stream in streams]


def _track(path: Path, stream: VideoStream | AudioStream, packets: list[MediaPacket]) -> Track:
    if len(packets) < len(stream.index_entries):
        raise InvalidInput(
            "truncated", f"ends after {len(packets)} of {len(stream.index_entries)} packets", subject=path
        )
    # A discarded packet is before the edit list's start: decoded, because others need it, but not presented.
    shown = [packet for packet in packets if not packet.is_discard]
    if not shown:
        reason = "no_frames" if isinstance(stream, VideoStream) else "no_audio_samples"
        raise InvalidInput(reason, f"stream {stream.index} has no packets to present", subject=path)
    times = [pts_of(packet) for packet in shown]
    begin = min(times)
    if isinstance(stream, AudioStream) and stream.start_time is not None:
        begin = stream.start_time  # priming may end within a packet
    # With B-frames and a variable frame rate, other packets' durations are not the display times of their frames.
    last = shown[times.index(max(times))]
    end = pts_of(last) + (last.duration or 0)
    return Track(stream, packets, begin * time_base_of(stream), end * time_base_of(stream))


def covering_packets(donor: Path, audio: Track, base: Path, length: Fraction, slack_s: float) -> list[MediaPacket]:
    """The first packets of the donor's sound, priming included, as many as needed to cover the base's picture.

    Args:
        donor: For messages, as `base`.
        audio: The donor's sound.
        base: Whose picture it is.
        length: Of the picture, in seconds.
        slack_s: The sound may end this much (in seconds) before the picture.

    Raises:
        InvalidInput: `donor_too_short`.
    """
    if audio.end - audio.begin < length - Fraction(slack_s):
        raise InvalidInput(
            "donor_too_short",
            f"{float(audio.end - audio.begin):.3f} s of sound; the picture of {base} lasts "
            f"{float(length):.3f} s and may be {slack_s:g} s longer",
            subject=donor,
        )
    last = math.ceil((audio.begin + length) / time_base_of(audio.stream))  # packets from here on are not needed
    return audio.packets[: bisect.bisect_left(audio.packets, last, key=pts_of)]


def frame_times(path: Path, packets: Sequence[MediaPacket]) -> list[tuple[int, int]]:
    """Begin and duration of each presented frame of a video stream of `path`, in units of its time base, in order.

    Raises:
        InvalidInput: `frame_times_repeat`.
    """
    times = sorted((pts_of(packet), packet.duration or 0) for packet in packets if not packet.is_discard)
    begins = [begin for begin, _ in times]
    if len(set(begins)) < len(begins):
        raise InvalidInput("frame_times_repeat", f"two of its {len(begins)} frames have the same time", subject=path)
    ends = [*begins[1:], sum(times[-1])]
    return [(begin, end - begin) for begin, end in zip(begins, ends, strict=True)]


@contextmanager
def writing_mp4(out: Path, time_base: Fraction) -> Iterator[OutputContainer]:
    """An MP4 container whose bytes depend only on its packets, renamed to `out` when it is complete."""
    options = {
        "fflags": "+bitexact",  # no creation time, no library versions
        "movflags": "+faststart",  # index first, for players that stream
        "max_interleave_delta": "0",  # the muxer gets one stream after the other and interleaves all of them
        "movie_timescale": str(math.lcm(1000, time_base.denominator)),  # otherwise a later start is rounded to 1 ms
    }
    with atomic_path(out) as staged:
        try:
            with av.open(f"file:{staged}", "w", format="mp4", options=options) as container:
                yield container
        except FFmpegError as error:
            raise OSError(error.errno, f"cannot be written ({error.strerror})", str(out)) from error


def copy_stream(
    container: OutputContainer, path: Path, source: VideoStream | AudioStream, packets: list[MediaPacket]
) -> None:
    """Add a stream for unchanged packets of `source`, a stream of `path`.

    Raises:
        InvalidInput: `codec_not_in_mp4`.
    """
    try:
        stream = container.add_stream_from_template(source, opaque=True)
    except ValueError:
        name = source.codec_context.name
        raise InvalidInput("codec_not_in_mp4", f"MP4 cannot carry its {source.type} in {name}", subject=path) from None
    if isinstance(source, VideoStream) and isinstance(stream, VideoStream) and source.sample_aspect_ratio:
        stream.codec_context.sample_aspect_ratio = source.sample_aspect_ratio  # the container's, which may differ
    for packet in packets:
        packet.stream = stream


def shift_packets(packets: list[MediaPacket], seconds: Fraction) -> None:
    """Shift packets in time by a whole number of time base units."""
    if units := round(seconds / packets[0].time_base):
        for packet in packets:
            packet.pts, packet.dts = pts_of(packet) + units, dts_of(packet) + units


def time_base_of(stream: VideoStream | AudioStream) -> Fraction:
    """Of an open stream, which has one."""
    assert stream.time_base is not None
    return stream.time_base


def pts_of(packet: MediaPacket) -> int:
    """Of a packet that `read_tracks` let pass."""
    assert packet.pts is not None
    return packet.pts


def dts_of(packet: MediaPacket) -> int:
    """Likewise."""
    assert packet.dts is not None
    return packet.dts
