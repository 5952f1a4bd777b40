"""The sound of a composed clip: heard, at a usual loudness, never clipped, of exactly the length asked for."""

import wave as wav
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.sources.soundtrack import Wave, audible, read_sound, repeated
from mma_bench.errors import InvalidInput
from tests.clips import H264, make, picture

RATE = 8000
PATH = Path("bark.ogg")


def tone(seconds: float, amplitude: float) -> Wave:
    """A sine of 440 Hz."""
    return (amplitude * np.sin(np.arange(round(seconds * RATE)) * 440 * 2 * np.pi / RATE)).astype(np.float32)


def dbfs(wave: Wave) -> float:
    """RMS in dB relative to full scale."""
    return float(10 * np.log10(np.square(wave, dtype=float).mean()))


@settings(deadline=None, max_examples=50)
@given(
    seconds=st.floats(0.05, 3),
    amplitude=st.floats(0.002, 1.5),
    before=st.floats(0, 1),
    after=st.floats(0, 1),
    total=st.floats(0.5, 5),
)
def test_any_sound_becomes_an_audible_track(
    seconds: float, amplitude: float, before: float, after: float, total: float
) -> None:
    sound = np.concatenate([tone(before, 0), tone(seconds, amplitude), tone(after, 0)])
    heard = audible(sound, RATE, PATH)
    assert abs(len(heard) / RATE - seconds) <= 0.05, "silence at the ends is cut, and nothing else"
    track = repeated(heard, round(total * RATE), RATE)
    assert len(track) == round(total * RATE)
    assert track.dtype == np.float32
    assert np.abs(track).max() <= 0.89 + 1e-6
    # However short the sound, no 0.96 s, which is what a tagger looks at, are silent.
    window = round(0.96 * RATE)
    for start in range(0, len(track) - window, window):
        assert dbfs(track[start : start + window]) > -36


def test_loudness_is_usual_whatever_the_recording_level() -> None:
    quiet, loud = (audible(tone(1, amplitude), RATE, PATH) for amplitude in (0.003, 1.2))
    assert dbfs(quiet) == pytest.approx(-20, abs=0.3)
    np.testing.assert_allclose(quiet, loud, atol=1e-4)


def test_a_click_is_limited_by_its_peak() -> None:
    click = tone(1, 0.01)
    click[4000] = 1.0
    assert np.abs(audible(click, RATE, PATH)).max() == pytest.approx(0.89)


def test_repeats_are_apart_and_the_first_comes_after_a_pause() -> None:
    track = repeated(np.ones(RATE, np.float32), 5 * RATE, RATE)
    on = np.flatnonzero(np.diff((track > 0).astype(int)) == 1)
    off = np.flatnonzero(np.diff((track > 0).astype(int)) == -1)
    assert on[0] == pytest.approx(0.2 * RATE, abs=1)
    np.testing.assert_allclose(on[1:] - off[: len(on) - 1], 0.4 * RATE, atol=1)
    assert track[-1] == 0, "what the end cuts fades out"


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(RATE, np.float32), tone(1, 0.0005)])
def test_silence_is_refused_by_name(samples: Wave) -> None:
    with pytest.raises(InvalidInput, match=r"bark\.ogg") as caught:
        audible(samples, RATE, PATH)
    assert caught.value.reason == "silent_sound"


def write_stereo(path: Path) -> None:
    """A tone at the left, nothing at the right."""
    left, right = (tone(1, 0.5) * 32_767).astype("<i2"), np.zeros(RATE, "<i2")
    with wav.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(np.stack([left, right], axis=1).tobytes())


def test_channels_are_averaged_and_the_rate_is_changed(tmp_path: Path) -> None:
    write_stereo(tmp_path / "stereo.wav")
    heard = read_sound(tmp_path / "stereo.wav", 2 * RATE)
    assert len(heard) == pytest.approx(2 * RATE, abs=64)
    assert np.abs(heard).max() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("kind", ["missing", "text", "video"])
def test_what_is_no_sound_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "moo.mp4"
    if kind == "text":
        path.write_text("no sound")
    elif kind == "video":
        make(path, *picture(0.2), *H264)
    with pytest.raises(InvalidInput, match=r"moo\.mp4") as caught:
        read_sound(path, RATE)
    assert caught.value.reason == "unreadable_sound"


def test_a_name_is_never_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_stereo(Path("secret.wav"))
    with pytest.raises(InvalidInput, match="No such file"):
        read_sound(Path("concat:secret.wav"), RATE)
