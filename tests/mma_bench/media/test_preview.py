"""Previews: the middle of a clip, within the bytes that are given, the same on every run."""

from pathlib import Path

import numpy as np
import pytest

from mma_bench.errors import InvalidInput
from mma_bench.media.decode import audio, frames
from mma_bench.media.preview import preview
from mma_bench.media.probe import probe
from tests.clips import AAC, H264, clip, make, noise, picture, plain, tone


def written(path: Path, content: bytes | None) -> Path:
    assert content is not None
    path.write_bytes(content)
    return path


def test_it_is_the_middle_in_small(tmp_path: Path) -> None:
    """8 s of black and low, then of white and high: the middle 5 s change after 2.5 s."""
    halves = [
        make(tmp_path / f"{colour}.mp4", *plain(colour, 4, "640x360"), *tone(4, hz), *H264, *AAC)
        for colour, hz in (("black", 200), ("white", 2000))
    ]
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"file '{half}'\n" for half in halves))
    whole = make(tmp_path / "whole.mp4", "-f", "concat", "-safe", "0", "-i", str(listed), *H264, *AAC)
    path = written(tmp_path / "preview.mp4", preview(whole, 250_000))
    shown, heard = frames(path), audio(path)
    assert shown.shape[1:] == (270, 480, 3)
    assert probe(path).duration_s == pytest.approx(5.0, abs=0.15)
    light = shown.mean(axis=(1, 2, 3))
    assert 0.45 < (light < 128).mean() < 0.55
    assert light[0] < 30
    assert light[-1] > 225
    loud = [np.abs(np.fft.rfft(part)) for part in np.array_split(heard[: 5 * 16_000], 5)]
    peaks = [int(part.argmax()) for part in loud]
    assert [abs(peak - 200) < 20 for peak in peaks][:2] == [True, True]
    assert [abs(peak - 2000) < 20 for peak in peaks][-2:] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [250_000, 60_000, 20_000])
def test_it_stays_within_the_bytes_whatever_the_clip_weighs(tmp_path: Path, limit: int) -> None:
    heavy = noise(tmp_path / "heavy.mp4")
    assert heavy.stat().st_size > 5_000_000
    made = preview(heavy, limit)
    assert made is not None
    assert len(made) <= limit
    assert preview(heavy, limit) == made, "the same bytes on every run"
    assert frames(written(tmp_path / "preview.mp4", made)).shape[0] == 75
    assert preview(heavy, 2_000) is None


@pytest.mark.parametrize(("size", "expected"), [("160x120", (120, 160)), ("122x90", (90, 122)), ("90x640", (480, 68))])
def test_small_pictures_are_not_enlarged_and_sides_are_even(
    tmp_path: Path, size: str, expected: tuple[int, int]
) -> None:
    made = preview(clip(tmp_path / "a.mp4", 1, size), 250_000)
    assert frames(written(tmp_path / "preview.mp4", made)).shape[1:3] == expected


def test_a_slow_clip_keeps_its_frames(tmp_path: Path) -> None:
    slow = make(tmp_path / "slow.mp4", *picture(3, "160x120", "5"), *tone(3), *H264, *AAC)
    assert frames(written(tmp_path / "preview.mp4", preview(slow, 250_000))).shape[0] == 15


def test_a_broken_clip_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    with pytest.raises(InvalidInput, match=r"broken\.mp4"):
        preview(tmp_path / "broken.mp4", 250_000)
