"""The sound of a clip as samples, and what a written mixture holds of the sounds that it was made of."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.fft
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from mma_bench.errors import InvalidInput
from mma_bench.media.decode import decoded_sound

Samples: TypeAlias = npt.NDArray[np.float64]  # [channels, samples], full scale is 1.0


@dataclass(frozen=True)
class Sound:
    """Decoded samples.

    Attributes:
        values: float64 [channels, samples], full scale is 1.0.
        rate: In Hz.
        layout: FFmpeg's name of the channel layout, e.g. "stereo".
    """

    values: Samples
    rate: int
    layout: str


def sound_of(
    path: Path, begin: Fraction, seconds: Fraction, rate: int | None = None, layout: str | None = None
) -> Sound:
    """The sound of `path` from `begin` (in seconds on the file's clock) for `seconds`; silence where there is none.

    Args:
        path: A clip with an audio stream.
        begin: Of the first sample.
        seconds: How long.
        rate: In Hz; None keeps the file's.
        layout: FFmpeg's name of the channel layout; None keeps the file's.

    Raises:
        InvalidInput: `no_audio_samples`, `corrupt_stream`; others: see the table in `mma_bench.media`.
    """
    to_float = AudioResampler(format="fltp")
    values: npt.NDArray[np.float32] | None = None
    found_rate, found_layout = 0, ""
    for frame in decoded_sound(path):
        if values is None:
            found_rate, found_layout = frame.sample_rate, frame.layout.name
            values = np.zeros((frame.layout.nb_channels, round(seconds * found_rate)), np.float32)
        if frame.pts is None or frame.time_base is None:
            raise InvalidInput("corrupt_stream", "a block of its samples has no time", subject=path)
        first = round((frame.pts * frame.time_base - begin) * found_rate)
        block = np.concatenate([each.to_ndarray() for each in to_float.resample(frame)], axis=1)
        start, end = max(first, 0), min(first + block.shape[1], values.shape[1])
        if start < end:
            values[:, start:end] = block[:, start - first : end - first]
    if values is None:
        raise InvalidInput("no_audio_samples", "decodes to 0 audio samples", subject=path)
    if not np.isfinite(values).all():
        raise InvalidInput("corrupt_stream", "the sound holds values that are not numbers", subject=path)
    rate, layout = rate or found_rate, layout or found_layout
    if (rate, layout) != (found_rate, found_layout):
        values = _resampled(Sound(values.astype(np.float64), found_rate, found_layout), rate, layout, seconds)
    return Sound(values.astype(np.float64), rate, layout)


def ratio_db(written: Samples, over: Samples, under: Samples) -> float:
    """The ratio of two sounds in a mixture, by the least-squares fit of the mixture as a sum of both.

    What the encoder adds is in neither, so it does not count; a part that the encoder drops does.

    Args:
        written: The mixture, float64 [channels, samples].
        over, under: The two sounds at any level, of the same shape, neither silent nor proportional to each other.

    Returns:
        RMS of `over` over that of `under` in the mixture, in dB; NaN if either is not in it.
    """
    gram = np.array([[np.vdot(one, other) for other in (over, under)] for one in (over, under)])
    first, second = np.linalg.solve(gram, [np.vdot(over, written), np.vdot(under, written)])
    if first <= 0 or second <= 0:
        return math.nan
    return 20 * math.log10(first * rms(over) / (second * rms(under)))


def resemblance(one: Samples, other: Samples) -> float:
    """How much two sounds are the same at the same times: the mean cosine of their difference in phase over all
    frequencies (the mean of the channels is taken).

    Every frequency has the same weight, so that a hum in both counts for little. -1 to 1: 1 for equal sounds, near 0
    for unrelated ones (the standard error is below 0.01 from 0.5 s at 16 kHz on); 0 if one is silent.
    """
    window = np.hanning(one.shape[1])  # without it, both ends of the clip have a phase in common at all frequencies
    cross = scipy.fft.rfft(one.mean(axis=0) * window) * np.conj(scipy.fft.rfft(other.mean(axis=0) * window))
    size = np.abs(cross)
    return float((cross.real[size > 0] / size[size > 0]).sum() / size.size)


def rms(values: Samples) -> float:
    """Root mean square over all channels and samples; 0 of none."""
    return math.sqrt(float(np.mean(np.square(values)))) if values.size else 0.0


def _resampled(sound: Sound, rate: int, layout: str, seconds: Fraction) -> npt.NDArray[np.float32]:
    """float32 [channels, samples] of the same length in seconds."""
    resampler = AudioResampler(format="fltp", rate=rate, layout=layout)
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound.values, np.float32), format="fltp", layout=sound.layout)
    frame.sample_rate, frame.time_base, frame.pts = sound.rate, Fraction(1, sound.rate), 0
    blocks = [block.to_ndarray() for each in (frame, None) for block in resampler.resample(each)]
    found = np.concatenate(blocks, axis=1)
    wanted = round(seconds * rate)
    return np.pad(found, ((0, 0), (0, max(0, wanted - found.shape[1]))))[:, :wanted]
