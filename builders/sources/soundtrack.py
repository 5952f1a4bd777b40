"""Makes a short sound into the soundtrack of a whole clip: trimmed, normalised in loudness, repeated."""

from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import described

Wave: TypeAlias = npt.NDArray[np.float32]  # [samples], 1.0 is full scale

_LOUDNESS_DBFS: Final = -20.0  # RMS of the non-silent parts
_PEAK: Final = 0.89  # -1 dBFS: leaves room for the encoder's ringing
_SILENCE_DB: Final = -40.0  # below the loudest moment
_FLOOR: Final = 1e-3  # -60 dBFS: a file that never exceeds it is silent
_MOMENT_S: Final = 0.02
_GAP_S: Final = 0.4  # between two repeats: a second bark, not an echo
_FADE_S: Final = 0.01


def read_sound(path: Path, rate: int) -> Wave:
    """The mean of the channels at `rate` Hz.

    Raises:
        InvalidInput: `unreadable_sound`.
    """
    parts: list[Wave] = []
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
            resampler = AudioResampler(format="fltp", rate=rate)
            # None at the end flushes the resampler.
            for frame in chain(container.decode(container.streams.audio[0]), [None]):
                parts += [block.to_ndarray().mean(axis=0, dtype=np.float32) for block in resampler.resample(frame)]
    except (FFmpegError, IndexError) as error:
        problem = f"{path} is not a readable sound ({described(str(error), path)})"
        raise InvalidInput("unreadable_sound", problem) from None
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def audible(wave: Wave, rate: int, path: Path) -> Wave:
    """The part from the first to the last audible moment, normalised in loudness, faded at both ends.

    Raises:
        InvalidInput: `silent_sound`.
    """
    moment = round(_MOMENT_S * rate)
    padded = np.pad(wave, (0, -len(wave) % moment)).reshape(-1, moment)
    loudness = np.sqrt(np.square(padded, dtype=np.float64).mean(axis=1))
    if loudness.max(initial=0.0) < _FLOOR:
        raise InvalidInput("silent_sound", f"{path} is nowhere louder than -60 dBFS")
    heard = loudness > loudness.max() * 10 ** (_SILENCE_DB / 20)
    first, last = np.flatnonzero(heard)[[0, -1]]
    kept = wave[first * moment : (last + 1) * moment].copy()
    rms = np.sqrt(np.square(loudness[heard]).mean())
    kept *= min(10 ** (_LOUDNESS_DBFS / 20) / rms, _PEAK / np.abs(kept).max())
    fade = np.linspace(0, 1, min(round(_FADE_S * rate), len(kept)), dtype=np.float32)
    kept[: len(fade)] *= fade
    kept[-len(fade) :] *= fade[::-1]
    return kept


def repeated(wave: Wave, samples: int, rate: int) -> Wave:
    """`wave` repeated, half a pause before and after each, to a length of `samples`; a truncated end fades out.

    The pause before the first repeat keeps a sound's onset out of the encoder's first block, where it would overshoot.
    """
    pause = round(_GAP_S * rate / 2)
    track = np.resize(np.pad(wave, pause), samples)
    fade = round(_FADE_S * rate)
    track[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return track
