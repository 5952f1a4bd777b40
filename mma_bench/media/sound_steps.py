"""Variants whose sound is degraded, mixed or replaced by noise; the picture's packets are copied.

The sound is decoded, changed and encoded again as AAC at a rate that leaves the change dominant. What was asked for is
measured on the written file: each function returns the level that it found there. The same sources and the same seed
give the same bytes.

A level in decibels is a ratio of root mean squares (RMS) over all samples and all channels, over the length of the
picture, pauses included. The same noise is in every channel, so that a model that averages the channels of a recording
whose channels are alike hears the same ratio.

Errors of a source are `InvalidInput` and name its file; besides those of `mma_bench.media.edit`:

| reason | meaning |
|---|---|
| `silent_base`, `silent_donor` | the sound has an RMS below -120 dBFS, so that no ratio to it exists |
| `sounds_alike` | the two sounds of a mixture are nearly the same, so that their ratio cannot be measured |
| `level_lost` | one of the two sounds is not in the written file |
| `no_aac` | AAC does not support the sample rate or the channel layout |
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
import scipy.fft
from av.audio.frame import AudioFrame
from av.container import OutputContainer
from av.error import FFmpegError

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import MediaPacket, audio_stream, opened, video_stream
from mma_bench.media.facts import FLOOR_DBFS
from mma_bench.media.sound_levels import Samples, Sound, ratio_db, resemblance, rms, sound_of
from mma_bench.media.tracks import (
    copy_stream,
    covering_packets,
    opened_to_copy,
    read_tracks,
    shift_packets,
    time_base_of,
    writing_mp4,
)
from mma_bench.schema import Manipulation

VERSION: Final = "1"  # increased with any change to the bytes that this module writes, or to what it measures

WHITE_NOISE_DBFS: Final = -20.0  # RMS, about that of the sample's clips
ROOM_TONE_DBFS: Final = -50.0
# Power over frequency falls by so many dB per octave. Of the room: the RC curves of Blazier (1981), on which a neutral
# background noise falls by 5 dB from one octave band to the next, each of which is twice as wide.
_SLOPES_DB: Final = {Manipulation.PINK_NOISE: 3.0, Manipulation.WHITE_NOISE: 0.0, Manipulation.ROOM_TONE: 8.0}
# Of all noise: what lies below would count in a ratio and is not heard, what lies above is lost in AAC.
_LOWEST_HZ: Final = 20.0
_HIGHEST_HZ: Final = 18_000.0
_PEAK: Final = 10 ** (-1 / 20)  # of the sound before it is encoded; AAC may overshoot a little
_BITS_PER_S: Final = 192_000  # of each channel: at 128,000, noise loses 0.3 dB
_MOST_BITS: Final = 0.9 * 6144 / 1024  # per sample and channel; AAC allows 6144 bits for 1024 samples
_AAC_FRAME: Final = 1024
_ALIKE: Final = 0.99  # correlation of two sounds


@dataclass(frozen=True)
class _Parts:
    """The two sounds of a mixture, before they are brought to their ratio."""

    over: Samples
    under: Samples
    rate: int
    layout: str


def degrade_audio(base: Path, donor: Path, out: Path, *, snr_db: float, seed: int, slack_s: float = 0.0) -> float:
    """Write the picture of `base` with the sound of `donor` in pink noise.

    The sound is that of `misalign`: the donor's first seconds, as long as the base's picture. It keeps its level and
    noise is added, unless the sum would exceed -1 dBFS: then both are scaled down alike.

    Args:
        base: A clip with a video stream; its sound is not read.
        donor: A clip with an audio stream; its picture is not read.
        out: The MP4 file to write.
        snr_db: RMS of the donor's sound over that of the noise, in dB.
        seed: Of the noise.
        slack_s: The donor's sound may end this much (in seconds) before the base's picture; there is noise alone then.

    Returns:
        The ratio in dB, measured on the written file.

    Raises:
        InvalidInput: `silent_donor`, `donor_too_short`, `level_lost`, `no_aac`; for others see the top.
    """

    def parts(length: Fraction, _: Fraction) -> _Parts:
        with opened_to_copy(donor) as container:
            (audio,) = read_tracks(container, donor, audio_stream(container, donor))
            covering_packets(donor, audio, base, length, slack_s)
        heard = sound_of(donor, audio.begin, length)
        _require_sound(heard.values, "silent_donor", donor)
        noise = coloured_noise(heard.values.shape[1], heard.rate, Manipulation.PINK_NOISE, seed)
        return _Parts(heard.values, np.broadcast_to(noise, heard.values.shape), heard.rate, heard.layout)

    def mixed(both: _Parts) -> Samples:
        return both.over + both.under * (rms(both.over) / rms(both.under) * _factor(-snr_db))

    return _write_mixture(base, out, parts, mixed)


def mix_audio(base: Path, donor: Path, out: Path, *, level_db: float, slack_s: float = 0.0) -> float:
    """Write the picture of `base` with its own sound and that of `donor` at the same time.

    The louder of the two keeps its level and the other is brought to the ratio, unless the sum would exceed -1 dBFS:
    then both are scaled down alike. Sample rate and channels are the base's.

    Args:
        base: A clip with picture and sound.
        donor: A clip with an audio stream; its picture is not read.
        out: The MP4 file to write.
        level_db: RMS of the donor's sound over that of the base's own, in dB.
        slack_s: The donor's sound may end this much (in seconds) before the base's picture.

    Returns:
        The ratio in dB, measured on the written file.

    Raises:
        InvalidInput: `silent_base`, `silent_donor`, `sounds_alike`, `donor_too_short`, `level_lost`, `no_aac`; for
            others see the top.
    """

    def parts(length: Fraction, begin: Fraction) -> _Parts:
        own = sound_of(base, begin, length)
        with opened_to_copy(donor) as container:
            (audio,) = read_tracks(container, donor, audio_stream(container, donor))
            covering_packets(donor, audio, base, length, slack_s)
        other = sound_of(donor, audio.begin, length, own.rate, own.layout)
        _require_sound(own.values, "silent_base", base)
        _require_sound(other.values, "silent_donor", donor)
        alike = abs(float(np.vdot(own.values, other.values))) / (own.values.size * rms(own.values) * rms(other.values))
        if alike > _ALIKE:
            raise InvalidInput("sounds_alike", f"its sound is nearly that of {base}", subject=donor)
        return _Parts(other.values, own.values, own.rate, own.layout)

    def mixed(both: _Parts) -> Samples:
        gain = rms(both.over) / rms(both.under) * _factor(-level_db)  # of the base's own sound
        return both.over + gain * both.under if level_db >= 0 else both.over / gain + both.under

    return _write_mixture(base, out, parts, mixed)


def replace_audio(base: Path, out: Path, *, manipulation: Manipulation, seed: int) -> float:
    """Write `base` with noise as its sound: white noise at -20 dBFS, or room tone, which falls by 8 dB per octave, at
    -50 dBFS, with the start, length, sample rate and channels of the base's sound.

    Args:
        base: A clip with picture and sound.
        out: The MP4 file to write.
        manipulation: WHITE_NOISE or ROOM_TONE.
        seed: Of the noise.

    Returns:
        How much the written sound resembles the base's: see `sound_levels.resemblance`.

    Raises:
        InvalidInput: `no_aac`; for others see the top.
    """
    with opened(base) as container:
        picture, sound = video_stream(container, base), audio_stream(container, base)
        video, audio = read_tracks(container, base, picture, sound)
        own = sound_of(base, audio.begin, audio.end - audio.begin)
        level = WHITE_NOISE_DBFS if manipulation == Manipulation.WHITE_NOISE else ROOM_TONE_DBFS
        noise = _factor(level) * coloured_noise(own.values.shape[1], own.rate, manipulation, seed)
        with writing_mp4(out, time_base_of(picture)) as target:
            copy_stream(target, base, picture, video.packets)
            written = Sound(np.broadcast_to(noise, own.values.shape), own.rate, own.layout)
            target.mux(video.packets + _encoded(target, base, written, audio.begin))
    return resemblance(sound_of(out, audio.begin, audio.end - audio.begin).values, own.values)


def coloured_noise(samples: int, rate: int, colour: Manipulation, seed: int) -> Samples:
    """Gaussian noise from 20 Hz to 18 kHz or half the sample rate.

    Args:
        samples: How many.
        rate: In Hz.
        colour: PINK_NOISE falls by 3 dB per octave, WHITE_NOISE by 0, ROOM_TONE by 8.
        seed: The same seed gives the same noise.

    Returns:
        float64 [samples], RMS 1.
    """
    length = scipy.fft.next_fast_len(samples, real=True)
    frequencies = scipy.fft.rfftfreq(length, 1 / rate)
    drawn = np.random.default_rng(seed).standard_normal((2, frequencies.size))
    heard = (frequencies >= _LOWEST_HZ) & (frequencies <= _HIGHEST_HZ)
    octaves = np.log2(np.where(heard, frequencies, _LOWEST_HZ) / _LOWEST_HZ)
    spectrum = heard * 10 ** (-_SLOPES_DB[colour] * octaves / 20) * (drawn[0] + 1j * drawn[1])
    noise: Samples = scipy.fft.irfft(spectrum, length)[:samples]
    return noise / rms(noise)


def _write_mixture(
    base: Path, out: Path, parts: Callable[[Fraction, Fraction], _Parts], mixed: Callable[[_Parts], Samples]
) -> float:
    """Write the base's picture with a mixture of two sounds from its first frame on, and measure the ratio.

    Args:
        parts: Gives the two sounds, from the length of the picture and its begin.
        mixed: The sum of both at the wanted ratio.
    """
    with opened_to_copy(base) as container:
        (video,) = read_tracks(container, base, video_stream(container, base))
        begin, length = video.begin, video.end - video.begin
        both = parts(length, begin)
        total = mixed(both)
        total *= min(1.0, _PEAK / float(np.abs(total).max()))
        shift_packets(video.packets, -begin)
        with writing_mp4(out, time_base_of(video.stream)) as target:
            copy_stream(target, base, video.stream, video.packets)
            target.mux(video.packets + _encoded(target, base, Sound(total, both.rate, both.layout), Fraction(0)))
    level = ratio_db(sound_of(out, Fraction(0), length).values, both.over, both.under)
    if math.isnan(level):
        raise InvalidInput("level_lost", "one of its two sounds is not left in the written file", subject=base)
    return level


def _encoded(container: OutputContainer, path: Path, sound: Sound, begin: Fraction) -> list[MediaPacket]:
    """AAC packets of a sound that begins at `begin`, priming included, in a new stream of the container."""
    options = {
        "flags": "+bitexact",  # no encoder's name
        "aac_pns": "0",  # would replace noise by other noise
        "aac_is": "0",
        "cutoff": str(min(20_000, sound.rate // 2)),
    }
    track = container.add_stream("aac", rate=sound.rate, layout=sound.layout, options=options)
    track.bit_rate = int(min(_BITS_PER_S, _MOST_BITS * sound.rate) * len(sound.values))
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound.values, np.float32), format="fltp", layout=sound.layout)
    frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
    frame.pts = round(begin * sound.rate)
    try:
        return [*track.encode(frame), *track.encode(None)]
    except FFmpegError as error:
        raise InvalidInput(
            "no_aac", f"no AAC at {sound.rate} Hz, {sound.layout} ({error.strerror})", subject=path
        ) from None


def _require_sound(values: Samples, reason: str, path: Path) -> None:
    if rms(values) < _factor(FLOOR_DBFS):
        raise InvalidInput(reason, "no sound during the picture, so a ratio to it does not exist", subject=path)


def _factor(decibels: float) -> float:
    return float(10 ** (decibels / 20))
