"""Variants whose sound comes earlier or later than its picture, without encoding either again.

The AAC packets are copied bit for bit and get other times: the shift is a whole number of AAC frames of 1024 samples
(23 ms at 44.1 kHz), the nearest to what was asked for. What the shift leaves empty is filled with packets of digital
silence; what it moves past the ends of the track is left out. The track keeps its beginning and its end, and the
picture its packets and their times. One packet before the first that is heard stays, without being presented, as the
decoder needs it for the overlap of two frames.

Errors of a source are `InvalidInput` and name its file; besides those of `mma_bench.media.edit`:

| reason | meaning |
|---|---|
| `not_aac` | the sound is in another codec, into which silent AAC packets do not fit |
| `shifted_away` | the sound is not longer than the shift, so that none of it would be heard |
| `shift_not_found` | the written file does not have one run of the base's packets |
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.packet import Packet

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import MediaPacket, audio_stream, opened, video_stream
from mma_bench.media.packets import PayloadHash
from mma_bench.media.tracks import (
    Track,
    copy_stream,
    dts_of,
    pts_of,
    read_tracks,
    time_base_of,
    writing_mp4,
)

VERSION: Final = "1"  # increased with any change to the bytes that this module writes, or to what it measures

AAC_FRAME: Final = 1024  # samples in a packet
_FIRST_STEADY: Final = 2  # packets before this one may contain the encoder's name and differ from later ones


@dataclass(frozen=True)
class Shifted:
    """What is to be known of a written clip.

    Attributes:
        audio_sha256: Of the packets that the file must carry, from the base's and the silent one, in order.
        shift_s: As found on the written file, in seconds; above 0 the sound comes late.
    """

    audio_sha256: str
    shift_s: float


@dataclass(frozen=True)
class _Plan:
    """The shifted track: `before` silent packets, the base's from `first` to `stop`, `after` silent ones."""

    before: int
    first: int
    stop: int
    after: int


def shift_sound(base: Path, out: Path, *, shift_s: float) -> Shifted:
    """Write `base` with its own sound `shift_s` seconds late, or early if it is below 0.

    Args:
        base: A clip with H.264 or another copyable picture, and AAC.
        out: The MP4 file to write.
        shift_s: In seconds; rounded to whole AAC frames.

    Raises:
        InvalidInput: See the top.
    """
    with opened(base) as source:
        picture, sound = video_stream(source, base), audio_stream(source, base)
        video, audio = read_tracks(source, base, picture, sound)
        codec = sound.codec_context
        if codec.codec.canonical_name != "aac" or not codec.sample_rate:
            raise InvalidInput("not_aac", f"its sound is in {codec.codec.canonical_name}", subject=base)
        rate = codec.sample_rate
        silent = _silent_payload(base, rate, codec.layout.name)
        units = round(Fraction(AAC_FRAME, rate) / time_base_of(sound))
        frames = round(shift_s * rate / AAC_FRAME)
        plan = _plan(base, audio, frames * units, units)
        digest = PayloadHash()
        fill = Packet(silent)
        kept = audio.packets[plan.first : plan.stop]
        for packet in (*[fill] * plan.before, *kept, *[fill] * plan.after):
            digest.add(packet)
        shifted = _shifted(audio, plan, silent, frames * units, units)
        with writing_mp4(out, time_base_of(picture)) as container:
            copy_stream(container, base, picture, video.packets)
            copy_stream(container, base, sound, shifted)
            container.mux(video.packets + shifted)
    return Shifted(digest.hexdigest(), measured_shift(base, out))


def measured_shift(base: Path, shifted: Path) -> float:
    """By how much (in seconds) the sound of one clip comes later than the same sound in another; found by its packets.

    Only packets that occur once in each file count, since silence repeats. All of them must agree, in time and in
    their place in the sequence: what was kept is one run of the base's packets.

    Raises:
        InvalidInput: `shift_not_found`; others: see the table in `mma_bench.media`.
    """
    ours, theirs = _places(base), _places(shifted)
    common = [(ours[payload], theirs[payload]) for payload in ours.keys() & theirs.keys()]
    steps = {(there[0] - here[0], there[1] - here[1]) for here, there in common}
    if len(steps) != 1 or len(common) < 2:  # clips of one encoder may share their first packet
        raise InvalidInput(
            "shift_not_found",
            f"{len(common)} packets of {base} are in it, moved by {len(steps)} steps",
            subject=shifted,
        )
    return float(steps.pop()[1])


def _plan(base: Path, audio: Track, moved: int, units: int) -> _Plan:
    """Which packets are heard after a shift by `moved` units of the time base; a frame has `units`."""
    time_base = time_base_of(audio.stream)
    begin, end = round(audio.begin / time_base), round(audio.end / time_base)
    times = [pts_of(packet) + moved for packet in audio.packets]
    heard = [at for at, time in enumerate(times) if time + units > begin and time < end]
    originals = [at for at in heard if pts_of(audio.packets[at]) + units > begin]
    if not originals:
        raise InvalidInput(
            "shifted_away",
            f"a shift by {float(moved * time_base):+.3f} s leaves none of its {float(audio.end - audio.begin):.3f} s "
            "of sound",
            subject=base,
        )
    first, stop = max(heard[0] - 1, 0), heard[-1] + 1
    before = max(0, -(-(times[first] - begin) // units))
    after = max(0, -(-(end - (times[stop - 1] + units)) // units))
    return _Plan(before, first, stop, after)


def _shifted(audio: Track, plan: _Plan, silent: bytes, moved: int, units: int) -> list[MediaPacket]:
    """The track's packets with their new times; those of the base are changed in place."""
    time_base = time_base_of(audio.stream)
    end = round(audio.end / time_base)
    kept = audio.packets[plan.first : plan.stop]
    for packet in kept:
        packet.pts, packet.dts = pts_of(packet) + moved, dts_of(packet) + moved
        packet.duration = min(units, end - pts_of(packet))
    first, last = pts_of(kept[0]), pts_of(kept[-1])
    before = [first - units * number for number in range(plan.before, 0, -1)]
    after = [last + units * number for number in range(1, plan.after + 1)]
    return [
        *(_packet(silent, at, units, time_base) for at in before),
        *kept,
        *(_packet(silent, at, min(units, end - at), time_base) for at in after),
    ]


def _packet(payload: bytes, pts: int, duration: int, time_base: Fraction) -> MediaPacket:
    packet = Packet(payload)
    packet.pts = packet.dts = pts
    packet.duration, packet.time_base, packet.is_keyframe = duration, time_base, True
    return packet


def _silent_payload(path: Path, rate: int, layout: str) -> bytes:
    """A packet of digital silence, which decodes to it after any other."""
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, "fltp"
    frame = AudioFrame(format="fltp", layout=layout, samples=AAC_FRAME)
    frame.sample_rate = rate
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    packets: list[bytes] = []
    at = 0
    try:
        while len(packets) <= _FIRST_STEADY:
            frame.pts = at
            at += AAC_FRAME
            packets += [bytes(packet) for packet in encoder.encode(frame)]
    except FFmpegError as error:
        raise InvalidInput("no_silent_aac", f"no AAC at {rate} Hz, {layout} ({error.strerror})", subject=path) from None
    return packets[_FIRST_STEADY]


def _places(path: Path) -> dict[bytes, tuple[int, Fraction]]:
    """Place and time, from the begin of the track, of each audio packet that occurs once."""
    with opened(path) as container:
        (audio,) = read_tracks(container, path, audio_stream(container, path))
        payloads = [bytes(packet) for packet in audio.packets]
        counts = Counter(payloads)
        time_base = time_base_of(audio.stream)
        return {
            payload: (place, pts_of(packet) * time_base - audio.begin)
            for place, (payload, packet) in enumerate(zip(payloads, audio.packets, strict=True))
            if counts[payload] == 1
        }
