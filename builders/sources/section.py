"""Cuts a frame-exact section out of a video without re-encoding.

Packets are copied from the last key frame before the section; the MP4 file's edit list hides everything outside.
Every decoder that honours edit lists (FFmpeg's does) shows the section and nothing else, no frame is encoded twice, and
a cut takes milliseconds. `verify` checks it by decoding the file that was written.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol, cast

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Stream

from mma_bench.errors import InvalidInput
from mma_bench.faults import READABLE, quotes_system_error
from mma_bench.media.demux import DEMUXERS, MAX_PIXELS, MediaPacket, audio_stream, opened, packets_of, video_stream
from mma_bench.media.remux import MP4_OPTIONS

TOLERANCE_S: Final = 0.05
_EARLIER_S: Final = 0.25  # so that the sound before the section is read even if there is a key frame at its start
_PRIMING_S: Final = Fraction(1, 10)  # sound that the decoder needs before its output is valid
_CONTAINERS: Final = frozenset({b"moov", b"trak", b"edts"})


class Readable(Protocol):
    """A file as required by a demuxer."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, none at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position; returns it."""

    def tell(self) -> int:
        """The current position."""


@dataclass(frozen=True)
class Expected:
    """The expected content of the section; times from its start, in seconds."""

    frames: int
    frame_s: Fraction  # mean time between two frames
    video_end_s: Fraction
    audio_end_s: Fraction


def cut(sources: Sequence[Readable], target: Path, start_s: float, end_s: float, name: str) -> Expected:
    """Write the section from `start_s` to `end_s` to the MP4 file `target` and verify it.

    Args:
        sources: One file with video and audio, or one with video and one with audio. Their errors are not caught.
        target: Does not exist yet.
        start_s: In seconds of the video.
        end_s: Likewise; a video that ends before it gives a shorter section.
        name: The video's name in errors.

    Raises:
        InvalidInput: `unreadable`, `no_video_stream`, `no_audio_stream`, `unsupported_codec`, `section_past_end`,
            `inexact_cut`, `corrupt_stream`.
    """
    start, end = (Fraction(seconds).limit_denominator(1000) for seconds in (start_s, end_s))
    with ExitStack() as stack:
        inputs = [stack.enter_context(_open(source, name)) for source in sources]
        where = Path(name)
        video = video_stream(inputs[0], where)
        audio = audio_stream(inputs[-1], where)
        try:
            packets = _section(inputs[0], video, start, end)
            sound = _section(inputs[-1], audio, start, end)
        except FFmpegError as error:
            raise InvalidInput("corrupt_stream", _received(str(error.strerror)), subject=name) from None
        packets = packets[_last_key(packets, start) : _last_shown(packets, end) + 1]
        shown = sorted(begin for packet in packets if start <= (begin := _begin(packet)) < end)
        audible = [packet for packet in sound if start - _PRIMING_S <= _begin(packet)]
        if len(shown) < 2 or not audible:
            raise InvalidInput("section_past_end", f"no frames or no sound from {start_s:g} s on", subject=name)
        frame = (shown[-1] - shown[0]) / (len(shown) - 1)
        expected = Expected(
            frames=len(shown),
            frame_s=frame,
            video_end_s=min(shown[-1] + frame, end) - start,
            audio_end_s=min(max(_begin(packet) + _length(packet) for packet in audible), end) - start,
        )
        try:
            with av.open(str(target), "w", format="mp4", options=MP4_OPTIONS) as output:
                _mux(output, video, packets, start, audio, audible)
        except FFmpegError as error:
            raise InvalidInput(
                "unsupported_codec",
                f"MP4 cannot carry {video.codec_context.name} and {audio.codec_context.name} "
                f"({_received(str(error.strerror))})",
                subject=name,
            ) from None
    _end_edits(target, [expected.video_end_s, expected.audio_end_s])
    verify(target, expected, name)
    return expected


def _open(source: Readable, name: str) -> InputContainer:
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "", "max_pixels": str(MAX_PIXELS)}
    try:
        return cast(InputContainer, av.open(source, options=options, metadata_errors="replace"))
    except FFmpegError as error:
        problem = f"not a readable media file ({_received(str(error.strerror))})"
        raise InvalidInput("unreadable", problem, subject=name) from None


def _received(problem: str | None) -> str:
    """FFmpeg's message about bytes that were received, so that a message such as EIO's means the video."""
    problem = problem or "without a message"
    return f"{problem}; {READABLE}" if quotes_system_error(problem) else problem


def _section(container: InputContainer, stream: Stream, start: Fraction, end: Fraction) -> list[MediaPacket]:
    """The stream's packets from a key frame before `start` until all that start before `end` are read."""
    earlier = max(Fraction(0), start - Fraction(_EARLIER_S))
    container.seek(int(earlier / (stream.time_base or 1)), stream=stream, backward=True)
    packets = []
    for packet in container.demux(stream):
        if not packet.size or packet.pts is None:
            continue
        if packet.dts is not None and packet.dts * packet.time_base >= end:  # no packet is shown before it is decoded
            break
        packets.append(packet)
    _fill_decoding_times(packets)
    return packets


def _fill_decoding_times(packets: Sequence[MediaPacket]) -> None:
    """Fill in decoding times that Matroska omits after a seek: those packets are decoded just before the others."""
    known = [(place, packet.dts) for place, packet in enumerate(packets) if packet.dts is not None]
    if not known:
        return
    place, dts = known[0]
    for packet in reversed(packets[:place]):
        dts -= max(1, packet.duration or 1)
        packet.dts = dts


def _begin(packet: MediaPacket) -> Fraction:
    assert packet.pts is not None
    return packet.pts * packet.time_base


def _length(packet: MediaPacket) -> Fraction:
    return (packet.duration or 0) * packet.time_base


def _last_key(packets: Sequence[MediaPacket], start: Fraction) -> int:
    """Index of the last key frame shown by `start`; earlier packets are not needed."""
    return max(
        (place for place, packet in enumerate(packets) if packet.is_keyframe and _begin(packet) <= start), default=0
    )


def _last_shown(packets: Sequence[MediaPacket], end: Fraction) -> int:
    """Index of the last packet shown before `end`; earlier packets may be shown later but be needed for it."""
    return max((place for place, packet in enumerate(packets) if _begin(packet) < end), default=-1)


def _mux(
    output: OutputContainer,
    video: Stream,
    packets: Sequence[MediaPacket],
    start: Fraction,
    audio: Stream,
    audible: Sequence[MediaPacket],
) -> None:
    """Interleave both streams by decoding time, with 0 at the section's start."""
    tracks = {id(video): output.add_stream_from_template(video), id(audio): output.add_stream_from_template(audio)}
    for track in tracks.values():
        track.metadata.clear()
    both = [(packet, video) for packet in packets] + [(packet, audio) for packet in audible]
    for packet, stream in sorted(both, key=lambda item: (item[0].dts or 0) * item[0].time_base):
        assert packet.pts is not None
        assert packet.dts is not None
        shift = round(start / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = tracks[id(stream)]
        output.mux(packet)


def _boxes(data: memoryview, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the payload of each MP4 box between `begin` and `end`."""
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        payload = begin + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, payload)
            payload += 8
        yield kind, payload, begin + size
        begin += size


def _end_edits(path: Path, seconds: Sequence[Fraction]) -> None:
    """Make the edit list of each track end at `seconds`; the muxer lets it run to the last packet."""
    data = bytearray(path.read_bytes())
    view, tracks = memoryview(data), iter(seconds)

    def visit(begin: int, end: int) -> None:
        for kind, payload, stop in _boxes(view, begin, end):
            if kind in _CONTAINERS:
                visit(payload, stop)
            elif kind == b"elst":
                version, count = view[payload], struct.unpack_from(">I", view, payload + 4)[0]
                form = ">Q" if version else ">I"
                place = payload + 8 + (count - 1) * (20 if version else 12)  # earlier entries delay the start
                delay_ms = sum(
                    struct.unpack_from(form, view, payload + 8 + entry * (20 if version else 12))[0]
                    for entry in range(count - 1)
                )
                struct.pack_into(form, view, place, round(next(tracks) * 1000) - delay_ms)

    visit(0, len(data))
    view.release()
    path.write_bytes(data)


def verify(path: Path, expected: Expected, name: str) -> None:
    """Check on the decoded file that the cut is exact: frames, start and end.

    Raises:
        InvalidInput: `inexact_cut` if a start or an end is off by more than a frame and 0.05 s, or a frame is missing
            or extra; `corrupt_stream` if it does not decode.
    """
    shown: list[Fraction] = []
    sound_start: Fraction | None = None
    sound_end = Fraction(0)
    try:
        with opened(path) as container:
            video, audio = video_stream(container, path), audio_stream(container, path)
            # Only the frames' times are needed; `normalise` decodes them fully.
            video.codec_context.options = {**video.codec_context.options, "skip_loop_filter": "all"}
            for packet in packets_of(container, path):
                if packet.stream.index == video.index:
                    shown += [f.pts * f.time_base for f in video.decode(packet) if f.pts is not None and f.time_base]
                elif packet.stream.index == audio.index:
                    for block in audio.decode(packet):
                        begin = (block.pts or 0) * (block.time_base or Fraction(0))
                        sound_start = begin if sound_start is None else sound_start
                        sound_end = begin + Fraction(block.samples, block.sample_rate)
    except InvalidInput as error:
        error.subject = name
        raise
    if len(shown) != expected.frames:
        raise InvalidInput(
            "inexact_cut", f"{len(shown)} frames decode, the section has {expected.frames}", subject=name
        )
    late_sound = Fraction(TOLERANCE_S) if sound_start is None else abs(sound_start)
    off: dict[str, Fraction] = {
        "the first frame": min(shown),
        "the last frame's end": abs(max(shown) + expected.frame_s - expected.video_end_s),
        "the sound's start": late_sound,
        "the sound's end": abs(sound_end - expected.audio_end_s),
    }
    for what, seconds in off.items():
        if seconds > expected.frame_s + Fraction(TOLERANCE_S):
            raise InvalidInput("inexact_cut", f"{what} is off by {float(seconds):.3f} s", subject=name)
