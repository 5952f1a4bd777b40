"""Renders the miniature's synthetic clips: eight classes, each with a distinct look and sound.

In: two class names, one for what is seen and one for what is heard, and a seed. Out: two seconds of frames and sound.
A class is defined by colour, shape and motion, and by timbre and rhythm. Position, size, background, speed, pitch and
noise are drawn for every clip and carry no information about the class. Two more properties are drawn independently of
the class and of each other: the brightness of the background and the loudness of the sound. Each can be
asked about and answered from one modality only.

The names are classes of the benchmark, but pictograms and tones stand for them, not recordings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mma_bench.media import SAMPLE_RATE

Frames: TypeAlias = npt.NDArray[np.uint8]
Sound: TypeAlias = npt.NDArray[np.float32]
Plane: TypeAlias = npt.NDArray[np.float64]
Level: TypeAlias = Literal["low", "middle", "high"]

SIDE: Final = 112  # pixels
FPS: Final = 8
SECONDS: Final = 2
LEVELS: Final[tuple[Level, ...]] = ("low", "middle", "high")

_GROUND: Final[dict[Level, float]] = {"low": 0.12, "middle": 0.45, "high": 0.75}  # luma, 0 to 1
_PEAK: Final[dict[Level, float]] = {"low": 0.03, "middle": 0.15, "high": 0.75}  # of the sound, 0 to 1
_HISS: Final = 0.01  # standard deviation, as a fraction of the peak
_GRAIN: Final = 0.004  # standard deviation, luma


@dataclass(frozen=True)
class Look:
    """The look of a class: RGB colour (0 to 1), and whether a point belongs to it.

    `inside` takes coordinates in units of the object's radius, x to the right and y downwards, and the phase of its
    motion (0 to 1 over one period), and gives a boolean plane; `drift` gives the shift (x, y) at that phase.
    """

    colour: tuple[float, float, float]
    inside: Callable[[Plane, Plane, float], npt.NDArray[np.bool_]]
    drift: Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Clip:
    """A rendered clip and its ground truth.

    Attributes:
        frames: uint8 [T, SIDE, SIDE, 3], RGB, at `FPS`; T = FPS × SECONDS.
        sound: float32 [n] in [-1, 1] at `SAMPLE_RATE`; n = SAMPLE_RATE × SECONDS.
        seen: Class of the frames.
        heard: Class of the sound.
        brightness: Of the background.
        loudness: Of the sound.
    """

    frames: Frames
    sound: Sound
    seen: str
    heard: str
    brightness: Level
    loudness: Level


def _wave(phase: float) -> float:
    return float(np.sin(2 * np.pi * phase))


def _still(_: float) -> tuple[float, float]:
    return 0.0, 0.0


_LOOKS: Final[dict[str, Look]] = {
    "Accordion": Look(  # a red bellows that widens and narrows
        (0.85, 0.10, 0.12), lambda x, y, p: (abs(x) < 0.75 + 0.35 * _wave(p)) & (abs(y) < 0.6), _still
    ),
    "Bird": Look(  # a yellow triangle that hops
        (0.95, 0.85, 0.10), lambda x, y, _: (y < 0.8) & (y > 2 * abs(x) - 0.9), lambda p: (0.0, -0.5 * abs(_wave(p)))
    ),
    "Clock": Look(  # a white face with a turning hand
        (0.97, 0.97, 0.97),
        lambda x, y, p: (
            (x**2 + y**2 < 1)
            & ~((abs(x * _wave(p) + y * _wave(p + 0.25)) < 0.16) & (x * _wave(p + 0.25) > y * _wave(p)))
        ),
        _still,
    ),
    "Frog": Look(  # a green disc that swells
        (0.10, 0.70, 0.20), lambda x, y, p: x**2 + (1.6 * y) ** 2 < 0.8 + 0.3 * _wave(p), _still
    ),
    "Glass": Look(  # a cyan ring
        (0.10, 0.85, 0.95), lambda x, y, _: abs(np.hypot(x, y) - 0.75) < 0.25, lambda p: (0.15 * _wave(p), 0.0)
    ),
    "Hammer": Look(  # a brown T that strikes
        (0.45, 0.24, 0.08),
        lambda x, y, _: ((abs(x) < 0.85) & (abs(y + 0.6) < 0.3)) | ((abs(x) < 0.2) & (abs(y) < 0.9)),
        lambda p: (0.0, 0.5 * max(0.0, _wave(p))),
    ),
    "Rain": Look(  # blue streaks that fall
        (0.12, 0.20, 0.90), lambda x, y, p: (np.mod(2.2 * x, 1) < 0.5) & (np.mod(y - 2 * p, 1) < 0.6), _still
    ),
    "Vehicle": Look(  # a violet box on wheels that drives
        (0.70, 0.15, 0.80),
        lambda x, y, _: (
            ((abs(x) < 1) & (abs(y) < 0.35))
            | (np.hypot(abs(x) - 0.55, y - 0.45) < 0.3)
            | ((abs(x) < 0.5) & (abs(y + 0.5) < 0.3))
        ),
        lambda p: (0.6 * _wave(p), 0.0),
    ),
}
CLASSES: Final[tuple[str, ...]] = tuple(_LOOKS)


def render(seen: str, heard: str, seed: int) -> Clip:
    """The clip that `seed` draws; equal arguments give equal clips.

    What the seed draws for the picture does not depend on `heard`, nor the sound on `seen`.

    Raises:
        KeyError: A name is not in `CLASSES`.
    """
    picture, hearing = (np.random.default_rng((seed, sense)) for sense in range(2))
    brightness, loudness = _level(picture), _level(hearing)
    frames = _frames(_LOOKS[seen], _GROUND[brightness], picture)
    sound = _sound(_VOICES[heard], _PEAK[loudness], hearing)
    return Clip(frames, sound, seen, heard, brightness, loudness)


def levels(seed: int) -> tuple[Level, Level]:
    """Brightness and loudness of the clip that `seed` draws, without rendering it."""
    brightness, loudness = (_level(np.random.default_rng((seed, sense))) for sense in range(2))
    return brightness, loudness


def _level(rng: np.random.Generator) -> Level:
    """The first value drawn for a modality."""
    return LEVELS[int(rng.integers(len(LEVELS)))]


def _frames(look: Look, luma: float, rng: np.random.Generator) -> Frames:
    ground = np.clip(luma + rng.uniform(-0.05, 0.05, 3), 0, 1)
    colour = np.clip(np.array(look.colour) + rng.uniform(-0.08, 0.08, 3), 0, 1)
    radius, rate, start = rng.uniform(0.42, 0.58), rng.uniform(0.6, 1.2), rng.uniform()
    centre = rng.uniform(-0.25, 0.25, 2)
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    frames = np.empty((FPS * SECONDS, SIDE, SIDE, 3), np.uint8)
    for index in range(len(frames)):
        phase = float((start + rate * index / FPS) % 1)
        x_shift, y_shift = look.drift(phase)
        x = (axis[None, :] - centre[0]) / radius - x_shift
        y = (axis[:, None] - centre[1]) / radius - y_shift
        # Streaks and other patterns end at the object's edge.
        inside = look.inside(x, y, phase) & (abs(x) < 1.2) & (abs(y) < 1.2)
        picture = np.where(inside[..., None], colour, ground) + rng.normal(0, _GRAIN, (SIDE, SIDE, 1))
        frames[index] = np.clip(picture * 255, 0, 255).round()
    return frames


def _harmonics(hertz: Plane, weights: tuple[float, ...]) -> Plane:
    """A tone of varying fundamental [n] with the given harmonics."""
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
    tone: Plane = np.sum([weight * np.sin((k + 1) * phase) for k, weight in enumerate(weights)], axis=0)
    return tone


def _decays(time: Plane, rate: float, half_life: float, start: float) -> tuple[Plane, Plane]:
    """Seconds since the last of regular onsets [n], and an envelope that decays from 1 at each."""
    since = np.mod(time * rate + start, 1) / rate
    return since, 0.5 ** (since / half_life)


_Voice: TypeAlias = Callable[[Plane, float, float, float, np.random.Generator], Plane]


def _accordion(t: Plane, pitch: float, tempo: float, start: float, _: np.random.Generator) -> Plane:
    chord = [_harmonics(np.full_like(t, 330 * pitch * ratio), (1, 0.6, 0.5, 0.3)) for ratio in (1, 1.25, 1.5)]
    sound: Plane = np.sum(chord, axis=0)
    return sound * (1 + 0.2 * np.sin(2 * np.pi * (tempo * t + start)))


def _bird(t: Plane, pitch: float, tempo: float, start: float, _: np.random.Generator) -> Plane:
    since, fall = _decays(t, 5 * tempo, 0.06, start)
    return _harmonics(3000 * pitch + 9000 * since, (1,)) * fall


def _clock(t: Plane, _: float, tempo: float, start: float, rng: np.random.Generator) -> Plane:
    return np.diff(rng.normal(size=len(t) + 1)) * _decays(t, 4 * tempo, 0.006, start)[1]


def _frog(t: Plane, pitch: float, tempo: float, start: float, _: np.random.Generator) -> Plane:
    pulses = np.mod(30 * tempo * t, 1) < 0.4
    croaks = np.mod(2 * tempo * t + start, 1) < 0.55
    return _harmonics(np.full_like(t, 480 * pitch), (1, 0.7, 0.5)) * pulses * croaks


def _glass(t: Plane, pitch: float, tempo: float, start: float, _: np.random.Generator) -> Plane:
    fall = _decays(t, 1.5 * tempo, 0.12, start)[1]
    tones = [_harmonics(np.full_like(t, 1900 * pitch * ratio), (1,)) for ratio in (1, 1.53, 2.31)]
    sound: Plane = np.sum(tones, axis=0)
    return sound * fall


def _hammer(t: Plane, pitch: float, tempo: float, start: float, rng: np.random.Generator) -> Plane:
    fall = _decays(t, 2.5 * tempo, 0.035, start)[1]
    return (_harmonics(np.full_like(t, 140 * pitch), (1, 0.5)) + 0.1 * rng.normal(size=len(t))) * fall


def _rain(t: Plane, _: float, tempo: float, start: float, rng: np.random.Generator) -> Plane:
    return rng.normal(size=len(t)) * (1 + 0.15 * np.sin(2 * np.pi * (tempo * t + start)))


def _vehicle(t: Plane, pitch: float, tempo: float, start: float, _: np.random.Generator) -> Plane:
    hertz = 85 * pitch * (1 + 0.1 * np.sin(2 * np.pi * (0.5 * tempo * t + start)))
    return _harmonics(hertz, tuple(1 / k for k in range(1, 9)))


_VOICES: Final[dict[str, _Voice]] = {
    "Accordion": _accordion,
    "Bird": _bird,
    "Clock": _clock,
    "Frog": _frog,
    "Glass": _glass,
    "Hammer": _hammer,
    "Rain": _rain,
    "Vehicle": _vehicle,
}


def _sound(voice: _Voice, peak: float, rng: np.random.Generator) -> Sound:
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    pitch, tempo, start = 2 ** rng.uniform(-0.2, 0.2), rng.uniform(0.85, 1.15), rng.uniform()
    wave = voice(time, pitch, tempo, start, rng)
    wave = wave / np.abs(wave).max() + rng.normal(0, _HISS, len(time))
    sound: Sound = np.clip(peak * wave, -1, 1).astype(np.float32)
    return sound
