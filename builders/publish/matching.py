"""Matches a clip with its row in a manifest: by the hashes of its packets, else by how it looks and sounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from mma_bench.errors import InvalidInput
from mma_bench.media import SAMPLE_RATE
from mma_bench.media.decode import audio
from mma_bench.media.facts import media_facts
from mma_bench.media.packets import packet_sha256

Kind: TypeAlias = Literal[
    "packets",  # exactly the published packets
    "looks",  # other packets, but duration, picture and sound are the same within the tolerances
    "other",  # something else, or broken
    "missing",
]

# Two encodings of one 10 s clip stay within these; two clips of one class rarely do.
DURATION_S: Final = 0.15
PHASH_BITS: Final = 10  # of 64
SOUND_DB: Final = 3.0

_STEP: Final = SAMPLE_RATE // 2  # half a second
_BANDS: Final = (60, 150, 300, 600, 1200, 2400, 4800, 7800)  # edges in Hz
_RANGE_DB: Final = 50.0  # cells this far below the loudest count as silent, since encoders differ there


@dataclass(frozen=True)
class Match:
    """The result of matching a file.

    Attributes:
        detail: Readable: what differs and by how much; empty if the packets are the same.
    """

    kind: Kind
    detail: str = ""


def match(path: Path | None, expected: Mapping[str, Any]) -> Match:
    """Compare a file with a row of a manifest (see `manifest.SCHEMA`).

    Args:
        path: None if there is no file.
    """
    if path is None:
        return Match("missing", "no file of this name")
    try:
        if all(packet_sha256(path, kind) == expected[f"{kind}_sha256"] for kind in ("video", "audio")):
            return Match("packets")
        facts = media_facts(path)
    except InvalidInput as error:
        return Match("other", str(error))
    if any(expected[key] is None for key in ("duration_s", "phash", "sound")):
        return Match("other", "other packets, and the manifest does not say how the clip looks and sounds")
    apart = {
        "duration": (abs(facts["duration_s"] - expected["duration_s"]), DURATION_S, "s"),
        "picture": (float((int(facts["phash"], 16) ^ int(expected["phash"], 16)).bit_count()), PHASH_BITS, "bits"),
        "sound": (level_difference(band_levels(path), expected["sound"]), SOUND_DB, "dB"),
    }
    detail = ", ".join(f"{what} {value:.3g} {unit} apart" for what, (value, _, unit) in apart.items())
    close = all(value <= bound for value, bound, _ in apart.values())
    return Match("looks" if close else "other", detail)


def band_levels(path: Path) -> list[float]:
    """A coarse description of a clip's sound: the level of each band in each half second, in dB, flattened.

    Levels are at most `_RANGE_DB` below the loudest; a silent clip is all zero.

    Raises:
        InvalidInput: It has no sound that can be decoded.
    """
    samples = audio(path)
    frames = np.zeros((-(-samples.size // _STEP), _STEP))
    frames.flat[: samples.size] = samples
    power = np.abs(np.fft.rfft(frames * np.hanning(_STEP))) ** 2
    edges = [round(edge * _STEP / SAMPLE_RATE) for edge in _BANDS]
    bands = np.stack([power[:, low:high].sum(axis=1) for low, high in pairwise(edges)], axis=1)
    if not bands.size or bands.max() <= 0:
        return [0.0] * bands.size
    levels = 10 * np.log10(np.maximum(bands, bands.max() * 10 ** (-_RANGE_DB / 10)))
    return [round(float(level), 1) for level in levels.ravel()]


def level_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean difference of two `band_levels` in dB over their common half seconds; one may have one more."""
    width = len(_BANDS) - 1
    if abs(len(one) - len(other)) > width or not one or not other:
        return float("inf")
    length = min(len(one), len(other))
    return float(np.mean(np.abs(np.subtract(one[:length], other[:length]))))
