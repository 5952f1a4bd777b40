"""Two clips are told apart or known again by how long they last, look and sound."""

from pathlib import Path

import numpy as np
import pytest

from mma_bench.builders.publish.matching import SOUND_DB, band_levels, level_difference, match
from mma_bench.media.facts import media_facts
from tests.builders.conftest import tiny_clip


def described(path: Path) -> dict[str, object]:
    return {**media_facts(path), "sound": band_levels(path)}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(tiny_clip(80, 400))
    return path


def test_the_same_packets_need_no_looks(clip: Path) -> None:
    expected = {key: described(clip)[key] for key in ("video_sha256", "audio_sha256")}
    assert match(clip, expected).kind == "packets"


def test_a_clip_with_another_sound_of_the_same_loudness_is_another(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(tiny_clip(80, 3000))
    assert level_difference(band_levels(clip), band_levels(other)) > SOUND_DB
    found = match(other, described(clip))
    assert found.kind == "other"
    assert "sound" in found.detail


def test_sound_is_known_again_after_a_little_noise_and_not_if_it_is_shorter(clip: Path) -> None:
    same = band_levels(clip)
    rng = np.random.default_rng(0)
    noisy = [level + float(shift) for level, shift in zip(same, rng.normal(0, 0.5, len(same)), strict=True)]
    assert level_difference(same, noisy) < SOUND_DB
    assert level_difference(same, same[: len(same) - 14]) == float("inf")


def test_silence_has_a_print(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    path.write_bytes(tiny_clip(80, 0))
    assert set(band_levels(path)) == {0.0}


def test_without_looks_only_packets_count(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(tiny_clip(81, 400))
    bare = described(clip) | {"sound": None}
    assert (match(clip, bare).kind, match(other, bare).kind) == ("packets", "other")
    assert match(None, bare).kind == "missing"
