"""Times of packets: what shows and sounds, and when."""

from fractions import Fraction
from pathlib import Path

import pytest

from mma_bench.errors import InvalidInput
from mma_bench.media.timeline import timeline
from tests.clips import AAC, H264, clip, make, picture, plain, tone


def test_a_regular_clip(good: Path) -> None:
    times = timeline(good, 10)
    assert (times.start_s, times.video_start_s, times.audio_start_s) == (0, 0, 0)
    assert (times.frames, times.video_end_s, times.fps, times.constant_rate) == (50, 2, 25, True)
    assert times.audio_end_s == pytest.approx(2, abs=1024 / 44_100)
    assert times.hidden_frames == 0
    assert times.hidden_audio_s == Fraction(1024, 44_100), "the encoder's priming"
    assert not times.continues


def test_only_the_first_seconds_count(good: Path) -> None:
    times = timeline(good, 1.5)
    assert (times.frames, times.continues) == (38, True)  # frame 37 begins at 1.48 s
    assert times.audio_end_s == pytest.approx(1.5, abs=1024 / 44_100)
    assert not timeline(good, 1.97).continues, "the last frame begins at 1.96 s"


def test_frame_rate_of_ntsc_is_exact_and_constant(tmp_path: Path) -> None:
    times = timeline(clip(tmp_path / "ntsc.mp4", rate="30000/1001"), 10)
    assert times.fps == Fraction(30_000, 1001)
    assert times.constant_rate
    rounded = make(tmp_path / "ntsc.mkv", "-i", str(tmp_path / "ntsc.mp4"), "-c", "copy")
    assert timeline(rounded, 10).constant_rate, "times rounded to 1 ms are not variable rate"


def test_variable_rate(tmp_path: Path) -> None:
    gaps = make(
        tmp_path / "gaps.mp4", *picture(), *tone(), "-vf", "select='not(between(n,10,14))'", "-vsync", "vfr",
        *H264, *AAC,
    )  # fmt: skip
    times = timeline(gaps, 10)
    assert times.frames == 45
    assert times.longest_frame_s == Fraction(6, 25)
    assert not times.constant_rate


def test_a_copied_cut_hides_frames_and_sound(good: Path, tmp_path: Path) -> None:
    times = timeline(make(tmp_path / "cut.mp4", "-ss", "1", "-i", str(good), "-c", "copy"), 10)
    assert times.frames == 25
    assert times.hidden_frames == 25
    assert times.hidden_audio_s > 0.9


def test_streams_that_begin_apart(good: Path, tmp_path: Path) -> None:
    late = make(
        tmp_path / "late.mp4", "-itsoffset", "0.3", "-i", str(good), "-i", str(good), "-map", "0:v", "-map", "1:a",
        "-c", "copy",
    )  # fmt: skip
    times = timeline(late, 10)
    assert times.video_start_s == pytest.approx(0.3, abs=0.001)
    assert times.audio_start_s == 0
    shifted = make(tmp_path / "shifted.mkv", "-itsoffset", "5", "-i", str(good), "-c", "copy")
    times = timeline(shifted, 10)
    assert times.start_s == pytest.approx(5, abs=0.03)
    assert times.video_start_s < 0.03
    assert times.video_end_s == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*picture(0.04), *tone()), "single_frame"),
        ((*plain("red", 0.04), *tone(), "-vf", "setpts=PTS+1/TB"), "single_frame"),
    ],
)
def test_too_little(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        timeline(make(tmp_path / "little.mp4", *arguments, *H264, *AAC), 10)
    assert caught.value.reason == reason


def test_nothing_shown(good: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        timeline(make(tmp_path / "none.mp4", "-ss", "20", "-i", str(good), "-c", "copy"), 10)
    assert caught.value.reason == "no_frames"
    late = make(tmp_path / "late.mp4", *picture(), "-itsoffset", "3", *tone(), *H264, *AAC)
    with pytest.raises(InvalidInput) as caught:
        timeline(late, 1.5)
    assert caught.value.reason == "no_audio_samples"
