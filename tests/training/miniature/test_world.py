"""The miniature's world: what is drawn says what it should, and nothing else, also after it was an MP4 file."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.files import file_sha256
from mma_bench.media import SAMPLE_RATE
from mma_bench.media.decode import audio, frames
from mma_bench.media.facts import media_facts
from mma_bench.training.miniature.film import write_clip
from mma_bench.training.miniature.world import CLASSES, FPS, LEVELS, SECONDS, SIDE, Clip, render

SEEDS = range(10)
names = st.sampled_from(CLASSES)


@cache
def read_back(name: str, seed: int) -> tuple[Clip, npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """An aligned clip, and its frames and sound after the round trip."""
    clip = render(name, name, seed)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, clip)
        return clip, frames(path), audio(path)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(names, names, st.integers(0, 2**40))
def test_a_clip_is_what_its_seed_draws_sense_by_sense(seen: str, heard: str, seed: int) -> None:
    clip, other = render(seen, heard, seed), render(seen, CLASSES[0], seed)
    assert clip.frames.shape == (FPS * SECONDS, SIDE, SIDE, 3)
    assert (clip.frames.dtype, clip.sound.dtype) == (np.uint8, np.float32)
    assert clip.sound.shape == (SAMPLE_RATE * SECONDS,)
    assert np.abs(clip.sound).max() <= 1
    assert np.array_equal(clip.frames, other.frames)
    assert np.array_equal(clip.sound, render(CLASSES[0], heard, seed).sound)
    assert not np.array_equal(clip.frames, render(seen, heard, seed + 1).frames)
    assert not np.array_equal(clip.sound, render(seen, heard, seed + 1).sound)


def test_an_unknown_class_is_no_clip() -> None:
    with pytest.raises(KeyError, match="Dragon"):
        render("Dragon", "Bird", 0)


@pytest.mark.slow
def test_levels_are_independent_of_each_other() -> None:
    clips = [render("Bird", "Bird", seed) for seed in range(270)]
    counts = [sum(c.brightness == b and c.loudness == loud for c in clips) for b in LEVELS for loud in LEVELS]
    assert min(counts) > 13  # of 30 expected in each of the nine cells: 3 standard deviations


def test_equal_clips_are_equal_files_with_sound_facts(tmp_path: Path) -> None:
    first, second, other = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"
    for path, seed in ((first, 1), (second, 1), (other, 2)):
        write_clip(path, render("Frog", "Clock", seed))
    assert file_sha256(first) == file_sha256(second) != file_sha256(other)
    facts = media_facts(first)
    assert (facts["width"], facts["height"]) == (SIDE, SIDE)
    assert facts["duration_s"] == pytest.approx(SECONDS, abs=0.1)


def look(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """[9] mean colour of the thing, how much of the picture it is, its spread and its change over time.

    The thing is what differs from the ground, the median colour of the picture's border.
    """
    pixels = pictures.astype(np.float64) / 255
    border = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    thing = np.abs(pixels - np.median(border, axis=1)[:, None, None]).max(axis=-1) > 0.15
    weight = max(int(thing.sum()), 1)
    colour = (pixels * thing[..., None]).sum(axis=(0, 1, 2)) / weight
    shares = thing.mean(axis=(1, 2))
    rows, columns = thing.any(axis=0).any(axis=1).mean(), thing.any(axis=0).any(axis=0).mean()
    return np.array([*colour, shares.mean(), shares.std() * 3, rows, columns])


def timbre(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """[13] energy in 12 bands, evenly spaced in the logarithm of frequency, and how much it comes in strokes."""
    spectrum = np.abs(np.fft.rfft(wave[: SAMPLE_RATE * SECONDS])) ** 2
    hertz = np.fft.rfftfreq(SAMPLE_RATE * SECONDS, 1 / SAMPLE_RATE)
    edges = np.geomspace(60, 8000, 13)
    bands = [spectrum[(hertz >= low) & (hertz < high)].sum() for low, high in pairwise(edges)]
    steps = (wave[: SAMPLE_RATE * SECONDS].reshape(-1, 160) ** 2).mean(axis=1)
    strokes = np.log(steps.mean() + 1e-9) - np.log(steps + 1e-9).mean()
    return np.array([*(np.sqrt(np.array(bands) / sum(bands))), strokes / 4])


@pytest.mark.slow
@pytest.mark.parametrize("sense", ["sight", "sound"])
def test_classes_can_be_told_apart_in_the_file_by_the_nearest_mean(sense: str) -> None:
    def measured(name: str, seed: int) -> npt.NDArray[np.float64]:
        _, pictures, wave = read_back(name, seed)
        return look(pictures) if sense == "sight" else timbre(wave)

    half = len(SEEDS) // 2
    means = {name: np.mean([measured(name, seed) for seed in SEEDS[:half]], axis=0) for name in CLASSES}
    right = 0
    for name in CLASSES:
        for seed in SEEDS[half:]:
            point = measured(name, seed)
            right += min(means, key=lambda other: float(np.linalg.norm(means[other] - point))) == name
    assert right >= 0.9 * half * len(CLASSES)


@pytest.mark.slow
def test_levels_can_be_told_apart_in_the_file() -> None:
    ground: dict[str, list[float]] = {level: [] for level in LEVELS}
    peak: dict[str, list[float]] = {level: [] for level in LEVELS}
    for index, name in enumerate(CLASSES):
        for seed in range(100 * index, 100 * index + 4):
            clip, pictures, wave = read_back(name, seed)
            ground[clip.brightness].append(float(np.median(pictures[:, :3])))
            peak[clip.loudness].append(float(np.abs(wave).max()))
    for measured in (ground, peak):
        low, middle, high = (measured[level] for level in LEVELS)
        assert max(low) < min(middle)
        assert max(middle) < min(high)
