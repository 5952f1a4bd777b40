"""Exact media operations: from aligned clips to the variants whose sight and sound conflict (Table 2 of the paper).

The kept stream is copied packet by packet, bit for bit and with its timestamps, and never decoded. The replaced stream
consists of short, constant packets, so a variant takes milliseconds. Files are MP4, written atomically, and the same
sources give the same bytes on every run.

Errors of a source are `InvalidInput` and name its file (see the table in `mma_bench.media`); an output that cannot be
written, e.g. on a full disk, is an `OSError`, since a retry can help.
"""

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput
from mma_bench.files import atomic_path
from mma_bench.media.demux import MediaPacket, audio_stream, opened, video_stream

VERSION = "1"  # increased with any change to the bytes that this module writes

_AAC_FRAME = 1024  # samples in a packet
_FIRST_STEADY = 2  # packets before this one may contain the encoder's name and differ from later ones
_DESCRIBED = frozenset({"h264", "hevc", "av1", "aac", "mp3", "opus"})  # fully described by the container's header
# Intra only. A quantiser coarser than 1 may not give exact black; black is no larger at 1.
_X264 = {"preset": "veryfast", "x264-params": "keyint=1:qp=1:threads=1"}


@dataclass(frozen=True)
class _Track:
    """A stream's packets in decoding order.

    Attributes:
        begin: When the first frame or sample is presented, in seconds; packets that only prime the decoder come before.
        end: When the last one ends, in seconds.
    """

    stream: VideoStream | AudioStream
    packets: list[MediaPacket]
    begin: Fraction
    end: Fraction


def misalign(base: Path, donor: Path, out: Path, *, slack_s: float = 0.0) -> int:
    """Write the picture of `base` with the sound of `donor`.

    The video packets are the base's. The audio packets are the donor's first ones, priming included, as many as needed
    to cover the base's picture. Both keep their timestamps except for a shift that presents the first frame and the
    first sample at 0.

    Args:
        base: A clip with a video stream; its sound is not read.
        donor: A clip with an audio stream; its picture is not read.
        out: The MP4 file to write.
        slack_s: The donor's sound may end this much (in seconds) before the base's picture.

    Returns:
        The number of audio packets taken from the donor.

    Raises:
        InvalidInput: `donor_too_short`, `codec_not_in_mp4`, `packet_without_time`, `truncated`; for others see the top.
    """
    with _opened_to_copy(base) as base_container:
        (video,) = _tracks(base_container, base, video_stream(base_container, base))
        length = video.end - video.begin
        with _opened_to_copy(donor) as donor_container:
            (audio,) = _tracks(donor_container, donor, audio_stream(donor_container, donor))
            if audio.end - audio.begin < length - Fraction(slack_s):
                raise InvalidInput(
                    "donor_too_short",
                    f"{float(audio.end - audio.begin):.3f} s of sound; the picture of {base} lasts "
                    f"{float(length):.3f} s and may be {slack_s:g} s longer",
                    subject=donor,
                )
            last = math.ceil((audio.begin + length) / _time_base(audio.stream))  # packets from here on are not needed
            taken = audio.packets[: bisect.bisect_left(audio.packets, last, key=_pts)]
            _shift(video.packets, -video.begin)
            _shift(taken, -audio.begin)
            with _writing(out, _time_base(video.stream)) as container:
                _copy(container, base, video.stream, video.packets)
                _copy(container, donor, audio.stream, taken)
                container.mux(video.packets + taken)
    return len(taken)


def remove_audio(base: Path, out: Path) -> None:
    """Write `base` with digital silence as its sound: AAC with the same start, length, sample rate and channels.

    The video packets and their times are the base's. The track stays because some consumers fail on a clip without
    one.

    Raises:
        InvalidInput: `no_silent_aac` if AAC does not support the sample rate or channel layout; else as `misalign`.
    """
    with opened(base) as source:
        picture, sound = video_stream(source, base), audio_stream(source, base)
        video, audio = _tracks(source, base, picture, sound)
        with _writing(out, _time_base(picture)) as container:
            _copy(container, base, picture, video.packets)
            track = container.add_stream("aac", rate=sound.codec_context.sample_rate, layout=sound.codec_context.layout)
            container.mux(video.packets + _silence(track, base, audio.begin, audio.end))


def zero_frames(base: Path, out: Path) -> None:
    """Write `base` with a black frame for each of its frames: H.264 of the same geometry, times and time base.

    The audio packets and their times are the base's. Black is luma 16, chroma 128, in limited range.

    Raises:
        InvalidInput: `frame_times_repeat` if two frames of the base have the same time; else as `misalign`.
    """
    with opened(base) as source:
        picture, sound = video_stream(source, base), audio_stream(source, base)
        video, audio = _tracks(source, base, picture, sound)
        with _writing(out, _time_base(picture)) as container:
            track = container.add_stream("libx264", options=dict(_X264))
            black = _black(track, base, picture, video.packets)
            _copy(container, base, sound, audio.packets)
            container.mux(black + audio.packets)


@contextmanager
def _opened_to_copy(path: Path) -> Iterator[InputContainer]:
    """Open `path` without decoders, in a fifth of the time, if its codecs can be copied without them."""
    with opened(path, decoders=False) as container:
        contexts = [stream.codec_context for stream in container.streams]
        if all(context is not None and context.codec.canonical_name in _DESCRIBED for context in contexts):
            yield container
            return
    with opened(path) as container:
        yield container


def _tracks(container: InputContainer, path: Path, *streams: VideoStream | AudioStream) -> list[_Track]:
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


def _track(path: Path, stream: VideoStream | AudioStream, packets: list[MediaPacket]) -> _Track:
    if len(packets) < len(stream.index_entries):
        raise InvalidInput(
            "truncated", f"ends after {len(packets)} of {len(stream.index_entries)} packets", subject=path
        )
    # A discarded packet is before the edit list's start: decoded, because others need it, but not presented.
    shown = [packet for packet in packets if not packet.is_discard]
    if not shown:
        reason = "no_frames" if isinstance(stream, VideoStream) else "no_audio_samples"
        raise InvalidInput(reason, f"stream {stream.index} has no packets to present", subject=path)
    times = [_pts(packet) for packet in shown]
    begin = min(times)
    if isinstance(stream, AudioStream) and stream.start_time is not None:
        begin = stream.start_time  # priming may end within a packet
    # With B-frames and a variable frame rate, other packets' durations are not the display times of their frames.
    last = shown[times.index(max(times))]
    end = _pts(last) + (last.duration or 0)
    return _Track(stream, packets, begin * _time_base(stream), end * _time_base(stream))


@contextmanager
def _writing(out: Path, time_base: Fraction) -> Iterator[OutputContainer]:
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


def _copy(
    container: OutputContainer, path: Path, source: VideoStream | AudioStream, packets: list[MediaPacket]
) -> None:
    """Add a stream for unchanged packets of `source`, a stream of `path`."""
    try:
        stream = container.add_stream_from_template(source, opaque=True)
    except ValueError:
        name = source.codec_context.name
        raise InvalidInput("codec_not_in_mp4", f"MP4 cannot carry its {source.type} in {name}", subject=path) from None
    if isinstance(source, VideoStream) and isinstance(stream, VideoStream) and source.sample_aspect_ratio:
        stream.codec_context.sample_aspect_ratio = source.sample_aspect_ratio  # the container's, which may differ
    for packet in packets:
        packet.stream = stream


def _shift(packets: list[MediaPacket], seconds: Fraction) -> None:
    """Shift packets in time by a whole number of time base units."""
    if units := round(seconds / packets[0].time_base):
        for packet in packets:
            packet.pts, packet.dts = _pts(packet) + units, _dts(packet) + units


def _silence(track: AudioStream, path: Path, begin: Fraction, end: Fraction) -> list[MediaPacket]:
    """Silent AAC packets from `begin` to `end`; all have the same bytes, and none needs priming."""
    codec = track.codec_context
    rate, layout = codec.sample_rate, codec.layout.name
    frame = AudioFrame(format="fltp", layout=layout, samples=_AAC_FRAME)
    frame.sample_rate = rate
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    try:
        steady = bytes(_encoded(track, frame, _FIRST_STEADY + 1)[_FIRST_STEADY])
    except FFmpegError as error:
        raise InvalidInput("no_silent_aac", f"no AAC at {rate} Hz, {layout} ({error.strerror})", subject=path) from None
    first, samples = round(begin * rate), round((end - begin) * rate)
    return [
        _packet(steady, track, first + at, min(_AAC_FRAME, samples - at), Fraction(1, rate))
        for at in range(0, samples, _AAC_FRAME)
    ]


def _black(track: VideoStream, path: Path, source: VideoStream, packets: Sequence[MediaPacket]) -> list[MediaPacket]:
    """A black packet for each presented packet of `source`, in presentation order.

    Every frame is a keyframe (IDR). Two consecutive ones must differ only in their identifier, so a clip of any length
    alternates between the same two packets.
    """
    codec, time_base = track.codec_context, _time_base(source)
    codec.width, codec.height = source.codec_context.width, source.codec_context.height
    # Half-resolution chroma needs even sides.
    codec.pix_fmt = "yuv444p" if codec.width % 2 or codec.height % 2 else "yuv420p"
    if source.sample_aspect_ratio:
        codec.sample_aspect_ratio = source.sample_aspect_ratio
    codec.framerate = source.average_rate or Fraction(25)
    codec.time_base = track.time_base = time_base
    frame = VideoFrame(codec.width, codec.height, codec.pix_fmt)
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    pair = [bytes(packet) for packet in _encoded(track, frame, _FIRST_STEADY + 2)[_FIRST_STEADY:]]
    times = sorted((_pts(packet), packet.duration or 0) for packet in packets if not packet.is_discard)
    begins = [begin for begin, _ in times]
    if len(set(begins)) < len(begins):
        raise InvalidInput("frame_times_repeat", f"two of its {len(begins)} frames have the same time", subject=path)
    ends = [*begins[1:], sum(times[-1])]
    return [
        _packet(pair[number % 2], track, begin, end - begin, time_base)
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True))
    ]


def _encoded(track: VideoStream | AudioStream, frame: VideoFrame | AudioFrame, count: int) -> list[MediaPacket]:
    """The first `count` packets of an endless repetition of `frame`; the encoder buffers some frames."""
    step = frame.samples if isinstance(frame, AudioFrame) else 1
    packets: list[MediaPacket] = []
    for time in itertools.count(0, step):
        if len(packets) >= count:
            break
        frame.pts = time
        packets += track.encode(frame)  # type: ignore[arg-type]
    return packets[:count]


def _packet(
    payload: bytes, stream: VideoStream | AudioStream, pts: int, duration: int, time_base: Fraction
) -> MediaPacket:
    packet = Packet(payload)
    packet.stream = stream
    packet.pts = packet.dts = pts
    packet.duration = duration
    packet.time_base = time_base
    packet.is_keyframe = True
    return packet


def _time_base(stream: VideoStream | AudioStream) -> Fraction:
    assert stream.time_base is not None
    return stream.time_base


def _pts(packet: MediaPacket) -> int:
    assert packet.pts is not None
    return packet.pts


def _dts(packet: MediaPacket) -> int:
    assert packet.dts is not None
    return packet.dts
