"""Exact media operations: from aligned clips to the variants whose sight and sound conflict (Table 2 of the paper).

The kept stream is copied packet by packet, bit for bit and with its timestamps, and never decoded. The replaced stream
consists of short, constant packets, so a variant takes milliseconds. Files are MP4, written atomically, and the same
sources give the same bytes on every run.

Errors of a source are `InvalidInput` and name its file (see the table in `mma_bench.media`); an output that cannot be
written, e.g. on a full disk, is an `OSError`, since a retry can help.
"""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import MediaPacket, audio_stream, opened, video_stream
from mma_bench.media.tracks import (
    copy_stream,
    covering_packets,
    frame_times,
    opened_to_copy,
    read_tracks,
    shift_packets,
    time_base_of,
    writing_mp4,
)
from mma_bench.media.x264 import x264_params

VERSION = "2"  # increased with any change to the bytes that this module writes

_AAC_FRAME = 1024  # samples in a packet
_FIRST_STEADY = 2  # packets before this one may contain the encoder's name and differ from later ones
# Intra only. A quantiser coarser than 1 may not give exact black; black is no larger at 1.
_X264 = {"preset": "veryfast", "x264-params": x264_params(keyint=1, qp=1)}


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
    with opened_to_copy(base) as base_container:
        (video,) = read_tracks(base_container, base, video_stream(base_container, base))
        length = video.end - video.begin
        with opened_to_copy(donor) as donor_container:
            (audio,) = read_tracks(donor_container, donor, audio_stream(donor_container, donor))
            taken = covering_packets(donor, audio, base, length, slack_s)
            shift_packets(video.packets, -video.begin)
            shift_packets(taken, -audio.begin)
            with writing_mp4(out, time_base_of(video.stream)) as container:
                copy_stream(container, base, video.stream, video.packets)
                copy_stream(container, donor, audio.stream, taken)
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
        video, audio = read_tracks(source, base, picture, sound)
        with writing_mp4(out, time_base_of(picture)) as container:
            copy_stream(container, base, picture, video.packets)
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
        video, audio = read_tracks(source, base, picture, sound)
        with writing_mp4(out, time_base_of(picture)) as container:
            track = container.add_stream("libx264", options=dict(_X264))
            black = _black(track, base, picture, video.packets)
            copy_stream(container, base, sound, audio.packets)
            container.mux(black + audio.packets)


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
    codec, time_base = track.codec_context, time_base_of(source)
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
    return [
        _packet(pair[number % 2], track, begin, duration, time_base)
        for number, (begin, duration) in enumerate(frame_times(path, packets))
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
