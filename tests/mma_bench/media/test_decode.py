"""Decoded frames and sound: the right ones, of the right shape, in bounded memory."""

from pathlib import Path

import numpy as np
import pytest

from mma_bench.errors import InvalidInput
from mma_bench.media import decode
from mma_bench.media.decode import audio, frames
from tests.clips import AAC, H264, cut_off, damaged, make, plain, tone

LUMA_STEP = 4


@pytest.fixture(scope="module")
def numbered(folder: Path) -> Path:
    """50 frames; the luma of frame n is 16 + 4n, so a frame tells its number."""
    number = f"color=black:size=64x48:rate=25:duration=2,geq=lum='16+N*{LUMA_STEP}':cb=128:cr=128"
    return make(folder / "numbered.mp4", "-f", "lavfi", "-i", number, *tone(), *H264, "-crf", "5", *AAC)


def numbers(taken: np.ndarray) -> list[int]:
    return [round(picture.mean() * 219 / 255 / LUMA_STEP) for picture in taken]


def test_all_frames_in_order(numbered: Path) -> None:
    taken = frames(numbered)
    assert taken.shape == (50, 48, 64, 3)
    assert taken.dtype == np.uint8
    assert numbers(taken) == list(range(50))


def test_frames_evenly_spread_and_scaled(numbered: Path) -> None:
    taken = frames(numbered, count=5, size=(32, 20))
    assert taken.shape == (5, 20, 32, 3)
    assert numbers(taken) == [5, 15, 25, 35, 45]


def test_more_frames_than_there_are(numbered: Path) -> None:
    taken = numbers(frames(numbered, count=100))
    assert taken == [i // 2 for i in range(100)]


def test_hidden_frames_do_not_count(numbered: Path, tmp_path: Path) -> None:
    """A cut without re-encoding keeps the frames since the key frame, hidden: packets are not measure then."""
    cut = make(tmp_path / "cut.mp4", "-ss", "1", "-i", str(numbered), "-c", "copy")
    assert numbers(frames(cut, count=5)) == [27, 32, 37, 42, 47]


def test_colours_are_rgb(tmp_path: Path) -> None:
    red = make(tmp_path / "red.mp4", *plain("red"), *tone(), *H264, *AAC)
    assert frames(red, count=1)[0].mean(axis=(0, 1)) == pytest.approx([255, 0, 0], abs=4)


def test_nonsense_count(numbered: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        frames(numbered, count=0)


def test_sound_is_resampled_mono(good: Path) -> None:
    sound = audio(good)
    assert sound.dtype == np.float32
    seconds = 87 * 1024 / 44_100  # whole AAC packets without the priming one
    assert len(sound) == pytest.approx(seconds * 16_000, abs=2)
    assert len(audio(good, sample_rate=48_000)) == pytest.approx(seconds * 48_000, abs=2)
    spectrum = np.abs(np.fft.rfft(sound[:16_000]))
    assert int(spectrum.argmax()) == 440
    assert np.sqrt(np.mean(sound[1000:30_000] ** 2)) == pytest.approx(0.125 / 2**0.5, rel=0.03)


@pytest.mark.parametrize(
    ("right", "factor"), [("c0", 1.0), ("0*c0", 0.5), ("-1*c0", 0.0)], ids=["both", "left", "opposite"]
)
def test_channels_are_averaged(tmp_path: Path, right: str, factor: float) -> None:
    path = make(tmp_path / "stereo.mp4", *plain("red"), *tone(), "-af", f"pan=stereo|c0=c0|c1={right}", *H264, *AAC)
    level = np.sqrt(np.mean(audio(path)[1000:30_000] ** 2))
    assert level == pytest.approx(factor * 0.125 / 2**0.5, abs=0.003)


def test_sound_stays_in_range(tmp_path: Path) -> None:
    loud = make(tmp_path / "loud.mp4", *plain("red"), *tone(), "-af", "volume=30dB:precision=float", *H264, *AAC)
    assert np.abs(audio(loud)).max() == 1.0


@pytest.mark.parametrize("read", [frames, audio])
def test_broken_files(read, good: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    front = make(tmp_path / "front.mp4", "-i", str(good), "-c", "copy", "-movflags", "+faststart")
    broken = {
        "truncated": cut_off(front, tmp_path / "cut.mp4", 0.5),
        "corrupt_stream": damaged(good, tmp_path / "damaged.mp4"),
    }
    for reason, path in broken.items():
        with pytest.raises(InvalidInput) as caught:
            read(path)
        assert caught.value.reason == reason
        assert path.name in caught.value.detail


def test_a_clip_without_frames(good: Path, tmp_path: Path) -> None:
    past_the_end = make(tmp_path / "none.mp4", "-ss", "20", "-i", str(good), "-c", "copy")
    with pytest.raises(InvalidInput) as caught:
        frames(past_the_end, count=4)
    assert caught.value.reason == "no_frames"


def test_memory_is_bounded(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_ARRAY_BYTES", 50 * 160 * 120 * 3 - 1)
    with pytest.raises(InvalidInput) as caught:
        frames(good)
    assert caught.value.reason == "too_large_to_hold"
    assert len(frames(good, count=49)) == 49
    monkeypatch.setattr(decode, "MAX_ARRAY_BYTES", 4 * 16_000)
    with pytest.raises(InvalidInput) as caught:
        audio(good)
    assert caught.value.reason == "too_large_to_hold"
