"""How loud the loudest moment of a clip is: a clock that ticks once a second is silent by its mean level only."""

import math
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler

from mma_bench.errors import InvalidInput
from mma_bench.media.decode import decoded_sound
from mma_bench.media.facts import FLOOR_DBFS

WINDOW_S: Final = 0.1  # the time over which hearing sums up energy


def loudest_dbfs(path: Path) -> float:
    """RMS over all channels of the loudest 0.1 s, at steps of 0.05 s; in dBFS, at least -120.

    Raises:
        InvalidInput: `no_audio_samples`, `corrupt_stream`; others: see the table in `mma_bench.media`.
    """
    to_float = AudioResampler(format="fltp")
    energy: list[npt.NDArray[np.float32]] = []
    rate = 0
    # None at the end flushes the resampler.
    for frame in chain(decoded_sound(path), [None]):
        for block in to_float.resample(frame):
            rate = block.sample_rate
            energy.append(np.square(block.to_ndarray(), dtype=np.float32).mean(axis=0))
    if not rate:
        raise InvalidInput("no_audio_samples", "decodes to 0 audio samples", subject=path)
    step = max(1, round(WINDOW_S * rate / 2))
    samples = np.concatenate(energy)
    steps = np.pad(samples, (0, -len(samples) % step)).reshape(-1, step).mean(axis=1, dtype=np.float64)
    power = float(np.mean([steps[:-1], steps[1:]], axis=0).max(initial=steps[0] if len(steps) == 1 else 0.0))
    return max(10 * math.log10(power), FLOOR_DBFS) if power else FLOOR_DBFS
