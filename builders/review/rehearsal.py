"""Drawn clips with known answers, on which people practise before they judge the benchmark's.

The sample's clips cannot serve for that: their pictures are photos, so all of them fail action dynamics. Here a drum, a
bell and a ball move, and each blow is heard when it is seen. Some clips are as they should be; in others one thing is
wrong. Rehearsals keep their votes in a database of their own, which no export reads unless it is named.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from mma_bench.builders.review import FOLDER
from mma_bench.builders.review.review_set import Item, item_id, put
from mma_bench.builders.review.store import Store
from mma_bench.files import atomic_path, clip_path, file_sha256
from mma_bench.media import SAMPLE_RATE
from mma_bench.media.remux import MP4_OPTIONS
from mma_bench.media.x264 import x264_params

CLIPS: Final = FOLDER / "rehearsal"
URL: Final = f"sqlite:///{FOLDER / 'rehearsal.db'}"
SECONDS: Final = 4.0
FPS: Final = 25
WIDTH, HEIGHT = 320, 240
_X264: Final = {"preset": "superfast", "crf": "23", "x264-params": x264_params()}

Grid = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

_X, _Y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
_PAPER: Final = (226, 230, 234)
_FLOOR: Final = (150, 140, 128)


@dataclass(frozen=True)
class Thing:
    """Something that is struck again and again.

    Attributes:
        period_s: From one blow to the next; the first is half a period after the start.
        draw: Its picture at a phase from 0 to 1; it is struck at 0.
        blow: The sound of one blow, -1 to 1, at SAMPLE_RATE.
    """

    class_name: str
    period_s: float
    draw: Callable[[float], Picture]
    blow: Callable[[], Grid]


# What is wrong → the criteria that must be answered with no, and what people are told afterwards.
FAULTS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "right": ((), "it fills the picture, is heard alone, and each blow is heard when it is seen"),
    "still": (("action_dynamic",), "the picture stands still while blows are heard"),
    "music": (("audio_pure",), "a melody is louder than the sound of the class"),
    "distant": (("object_visible",), "it is a far-off dot, and the picture is about the landscape"),
    "name": (("object_visible", "audio_pure"), "something else is seen and heard than the class that is asked for"),
}
# Thing, what is wrong, and the thing whose name is asked for.
_CLIPS: Final = (
    ("drum", "right", "drum"),
    ("bell", "right", "bell"),
    ("ball", "right", "ball"),
    ("drum", "still", "drum"),
    ("bell", "music", "bell"),
    ("ball", "distant", "ball"),
    ("bell", "name", "drum"),
    ("ball", "still", "ball"),
)


def load(store: Store) -> list[Item]:
    """Draw the clips that are missing and make them the active items of the database.

    Args:
        store: Of rehearsals.
    """
    chosen = []
    for thing, fault, named in _CLIPS:
        path = clip_path(CLIPS, f"{thing}-{fault}")
        if not path.is_file():
            with atomic_path(path) as staged:
                _write(staged, *render(thing, fault))
        clip_id, class_name = f"rehearsal.{thing}.{fault}", _THINGS[named].class_name
        number = item_id(clip_id, class_name, file_sha256(path))
        chosen.append(Item(number, clip_id, class_name, path.as_posix(), FAULTS[fault][0]))
    put(store, chosen)
    return sorted(chosen, key=lambda item: item.id)


@dataclass(frozen=True)
class Expected:
    """The answer to a clip of the rehearsal.

    Attributes:
        verdict: `pass` or `fail`.
        right: Whether the vote has it, with a no to each criterion that is not met.
    """

    verdict: str
    why: str
    right: bool


def expected(vote: Any) -> Expected:
    """What a current vote (a row of `votes.current`) should have been."""
    failing, why = FAULTS[vote.clip_id.rpartition(".")[2]]
    right = vote.passed if not failing else not (vote.passed or any(vote._mapping[key] for key in failing))
    return Expected("fail" if failing else "pass", why, right)


def blows_s(thing: str) -> list[float]:
    """When it is struck, in seconds from the start."""
    period = _THINGS[thing].period_s
    return [float(at) for at in np.arange(period / 2, SECONDS - 0.1, period)]


def render(thing: str, fault: str) -> tuple[list[Picture], npt.NDArray[np.float32]]:
    """Frames (height, width, 3) at FPS, and mono sound at SAMPLE_RATE, -1 to 1."""
    what, period = _THINGS[thing], _THINGS[thing].period_s
    frames = []
    for number in range(round(SECONDS * FPS)):
        at = 0.0 if fault == "still" else number / FPS
        frame = what.draw((at / period + 0.5) % 1.0)
        frames.append(_far_off(frame) if fault == "distant" else frame)
    sound = np.zeros(round(SECONDS * SAMPLE_RATE))
    for at in blows_s(thing):
        rest = sound[round(at * SAMPLE_RATE) :]
        blow = what.blow()[: len(rest)]
        rest[: len(blow)] += blow
    sound *= 0.5 / np.abs(sound).max()
    if fault == "music":
        sound = 0.25 * sound + 0.5 * _melody()
    return frames, sound.astype(np.float32)


def _disc(x: float, y: float, radius: float) -> Grid:
    """How much of each pixel a disc covers, 0 to 1."""
    covered: Grid = np.clip(radius + 0.5 - np.hypot(_X - x, _Y - y), 0, 1)
    return covered


def _stick(start: tuple[float, float], end: tuple[float, float], width: float) -> Grid:
    (x0, y0), (x1, y1) = start, end
    along = ((_X - x0) * (x1 - x0) + (_Y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
    along = np.clip(along, 0, 1)
    covered: Grid = np.clip(width / 2 + 0.5 - np.hypot(_X - x0 - along * (x1 - x0), _Y - y0 - along * (y1 - y0)), 0, 1)
    return covered


def _painted(*layers: tuple[Grid, tuple[int, int, int]]) -> Picture:
    picture = np.full((HEIGHT, WIDTH, 3), _PAPER, np.float64)
    for covered, colour in ((np.clip(_Y - 215, 0, 1), _FLOOR), *layers):
        picture += covered[..., None] * (np.array(colour) - picture)
    return picture.round().astype(np.uint8)


def _drum(phase: float) -> Picture:
    """A stick that falls on a drum; its tip is on the skin at phase 0."""
    raised = np.sin(np.pi * phase)  # 0 on the skin
    tip = (165.0, 118.0 - 95 * raised)
    hand = (290.0, 60.0 - 30 * raised)
    body = ((np.abs(_X - 150) < 95) & (np.abs(_Y - 170) < 45)).astype(np.float64)
    rim = ((np.abs(_X - 150) < 100) & (np.abs(_Y - 124) < 6)).astype(np.float64)
    stick = _stick(hand, tip, 8)
    return _painted(
        (body, (172, 42, 46)), (rim, (244, 240, 228)), (stick, (116, 76, 40)), (_disc(*tip, 8), (90, 56, 28))
    )


def _bell(phase: float) -> Picture:
    """A bell that swings through one side per period, and back; its clapper meets the wall at phase 0."""
    angle = 0.5 * np.cos(2 * np.pi * phase)
    x, y = _X - 160, _Y - 30
    across, down = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    half = 30 + 45 * np.clip((down - 20) / 125, 0, 1) ** 2
    body = np.clip(half + 0.5 - np.abs(across), 0, 1) * ((down > 20) & (down < 145))
    # The clapper lags behind, and is at the wall when the bell turns.
    reach = 55 * np.cos(2 * np.pi * phase)
    clapper = np.clip(12.5 - np.hypot(across - reach, down - 150), 0, 1)
    beam = (np.abs(_Y - 24) < 8).astype(np.float64)
    return _painted((clapper, (70, 60, 50)), (body, (201, 152, 42)), (beam, (96, 72, 52)))


def _ball(phase: float) -> Picture:
    """A ball that touches the floor at phase 0."""
    height = 4 * phase * (1 - phase)
    x, y = 160.0, 170 - 115 * height
    ball = _disc(x, y, 45)
    seams = ball * (np.minimum(np.abs(_X - x), np.abs(_Y - y)) < 2)
    return _painted((ball, (222, 112, 36)), (seams, (60, 36, 20)))


def _far_off(picture: Picture) -> Picture:
    """The picture at an eighteenth of its size, at the foot of a landscape."""
    sky = np.full((HEIGHT, WIDTH, 3), (150, 190, 226), np.uint8)
    hills = 130 + 30 * np.sin(_X / 40) < _Y
    sky[hills] = (96, 140, 84)
    small = picture[6::18, 6::18]
    sky[200 : 200 + small.shape[0], 280 : 280 + small.shape[1]] = small
    return sky


def _decaying(seconds: float, half_life_s: float) -> tuple[Grid, Grid]:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return t, 0.5 ** (t / half_life_s)


def _drum_blow() -> Grid:
    t, fading = _decaying(0.4, 0.05)
    noise = np.random.default_rng(1).normal(size=len(t)) * 0.5 ** (t / 0.012)
    return np.asarray(np.sin(2 * np.pi * 150 * t) * fading + 0.4 * noise)


def _bell_blow() -> Grid:
    t, fading = _decaying(1.6, 0.3)
    partials = ((1.0, 1.0), (2.0, 0.6), (2.4, 0.4), (3.0, 0.5), (4.5, 0.3))
    return np.asarray(sum(loud * np.sin(2 * np.pi * 620 * times * t) for times, loud in partials) * fading)


def _ball_blow() -> Grid:
    t, fading = _decaying(0.25, 0.03)
    noise = np.random.default_rng(2).normal(size=len(t)) * 0.5 ** (t / 0.004)
    return np.asarray(np.sin(2 * np.pi * (90 + 60 * fading) * t) * fading + 0.3 * noise)


def _melody() -> Grid:
    """Plucked notes of a scale, a quarter of a second each, -1 to 1."""
    t, fading = _decaying(0.25, 0.12)
    steps = (0, 4, 7, 12, 7, 4, 5, 9, 12, 9, 5, 2, 0, 4, 7, 12)
    notes = [np.sin(2 * np.pi * 330 * 2 ** (step / 12) * t) * fading for step in steps]
    return np.concatenate(notes)


_THINGS: Final[Mapping[str, Thing]] = {
    "drum": Thing("Drum", 0.6, _drum, _drum_blow),
    "bell": Thing("Bell", 1.2, _bell, _bell_blow),
    "ball": Thing("Basketball_bounce", 0.8, _ball, _ball_blow),
}


def _write(into: Path, frames: list[Picture], sound: npt.NDArray[np.float32]) -> None:
    with av.open(f"file:{into}", "w", format="mp4", options=MP4_OPTIONS) as out:
        video = out.add_stream("libx264", rate=FPS, options=_X264)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        track = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        track.bit_rate = 96_000
        for number, pixels in enumerate(frames):
            picture = VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            out.mux(video.encode(picture))
        heard = AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
        heard.pts, heard.sample_rate, heard.time_base = 0, SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        out.mux(track.encode(heard))
        out.mux(video.encode(None))
        out.mux(track.encode(None))
