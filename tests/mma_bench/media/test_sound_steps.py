"""Sounds in noise, mixed and replaced: what was asked for is in the file, by a measurement of this test's own."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import InvalidInput
from mma_bench.media.facts import media_facts
from mma_bench.media.sound_levels import ratio_db, resemblance, sound_of
from mma_bench.media.sound_steps import coloured_noise, degrade_audio, mix_audio, replace_audio
from mma_bench.schema import Manipulation
from tests.builders.noise_clips import ends, header, payloads, sound
from tests.clips import AAC, H264, make, picture, tone

SHAPES = ((44_100, "mono"), (44_100, "stereo"), (48_000, "stereo"), (16_000, "mono"))


def clip(path: Path, hz: int, rate: int = 44_100, layout: str = "mono", seconds: float = 1.2) -> Path:
    channels = "1" if layout == "mono" else "2"
    inputs = (*picture(1, "64x48"), *tone(seconds, hz, rate))
    return make(path, *inputs, *H264, *AAC, "-b:a", "128k", "-ac", channels)


def tones(path: Path, *frequencies: int) -> tuple[list[float], float]:
    """The RMS of each sine in the first channel, and of everything else."""
    _, values = sound(path)
    rate = header(path)["sound"][0]
    time = np.arange(values.shape[1]) / rate
    waves = np.stack([wave(2 * np.pi * hz * time) for hz in frequencies for wave in (np.sin, np.cos)], axis=1)
    found = np.linalg.lstsq(waves, values[0].astype(float), rcond=None)[0]
    rest = values[0] - waves @ found
    return [math.hypot(*found[at : at + 2]) / math.sqrt(2) for at in range(0, len(found), 2)], float(rest.std())


def decibels(over: float, under: float) -> float:
    return 20 * math.log10(over / under)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "layout"), SHAPES)
def test_noise_is_at_its_ratio_and_the_picture_is_kept(rate: int, layout: str, tmp_path: Path) -> None:
    base, donor = clip(tmp_path / "base.mp4", 300), clip(tmp_path / "donor.mp4", 1000, rate, layout)
    for snr in (-20.0, -7.5, 0.0, 10.0, 30.0):
        out = tmp_path / "out.mp4"
        assert degrade_audio(base, donor, out, snr_db=snr, seed=5) == pytest.approx(snr, abs=0.5)
        (heard,), noise = tones(out, 1000)
        if snr <= 0:  # above, what the encoders add counts; below, a second of noise has some power at the tone too
            assert decibels(heard, noise) == pytest.approx(snr, abs=1.5)
        assert payloads(out, "video") == payloads(base, "video")
        assert (header(out)["sound"], header(out)["begins"]) == ((rate, layout), (0, 0))
        assert ends(out)[1] == pytest.approx(1, abs=0.08)
        assert media_facts(out)["audio_peak"] < 1


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "layout"), SHAPES)
def test_two_sounds_are_at_their_ratio(rate: int, layout: str, tmp_path: Path) -> None:
    base, donor = clip(tmp_path / "base.mp4", 300, rate, layout), clip(tmp_path / "donor.mp4", 1000, 44_100)
    for level in (-20.0, -4.0, 0.0, 12.0, 30.0):
        out = tmp_path / "out.mp4"
        assert mix_audio(base, donor, out, level_db=level) == pytest.approx(level, abs=0.2)
        (own, others), _ = tones(out, 300, 1000)
        assert decibels(others, own) == pytest.approx(level, abs=0.3)
        # The louder one is as it was, but that the one channel of the donor is spread over two at the same power.
        (before,), _ = tones(base, 300) if level < 0 else tones(donor, 1000)
        spread = -3.01 if layout == "stereo" and level >= 0 else 0
        assert decibels(max(own, others), before) == pytest.approx(spread, abs=0.3)
        assert payloads(out, "video") == payloads(base, "video")
        assert header(out)["sound"] == (rate, layout)


@pytest.mark.parametrize(("step", "level"), [(Manipulation.WHITE_NOISE, -20.0), (Manipulation.ROOM_TONE, -50.0)])
def test_noise_replaces_the_sound(step: Manipulation, level: float, tmp_path: Path) -> None:
    base = clip(tmp_path / "base.mp4", 300, 48_000, "stereo")
    likeness = replace_audio(base, tmp_path / "out.mp4", manipulation=step, seed=5)
    facts = media_facts(tmp_path / "out.mp4")
    assert abs(likeness) < 0.1
    assert facts["rms_dbfs"] == pytest.approx(level, abs=0.5)
    assert payloads(tmp_path / "out.mp4", "video") == payloads(base, "video")
    assert header(tmp_path / "out.mp4") == header(base)
    (hum,), _ = tones(tmp_path / "out.mp4", 300)
    assert decibels(hum, 0.125 / math.sqrt(2)) < -30


def test_same_sources_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    base, donor = clip(tmp_path / "base.mp4", 300), clip(tmp_path / "donor.mp4", 1000)
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        degrade_audio(base, donor, tmp_path / f"{name}.mp4", snr_db=0, seed=seed)
    one = (tmp_path / "one.mp4").read_bytes()
    assert one == (tmp_path / "again.mp4").read_bytes()
    assert one != (tmp_path / "other.mp4").read_bytes()
    assert b"Lavc" not in one
    assert b"Lavf" not in one


def test_what_has_no_ratio_is_refused_by_name(tmp_path: Path) -> None:
    sounding = clip(tmp_path / "sounding.mp4", 300)
    inputs = (*picture(1, "64x48"), "-f", "lavfi", "-i", "anullsrc=sample_rate=44100:channel_layout=mono")
    silent = make(tmp_path / "silent.mp4", *inputs, *H264, *AAC, "-t", "1")
    short, out = clip(tmp_path / "short.mp4", 1000, seconds=0.5), tmp_path / "out.mp4"
    for call, reason, name in (
        (lambda: degrade_audio(sounding, silent, out, snr_db=0, seed=1), "silent_donor", "silent.mp4"),
        (lambda: mix_audio(sounding, silent, out, level_db=0), "silent_donor", "silent.mp4"),
        (lambda: mix_audio(silent, sounding, out, level_db=0), "silent_base", "silent.mp4"),
        (lambda: mix_audio(sounding, sounding, out, level_db=0), "sounds_alike", "sounding.mp4"),
        (lambda: degrade_audio(sounding, short, out, snr_db=0, seed=1), "donor_too_short", "short.mp4"),
        (lambda: mix_audio(sounding, short, out, level_db=0), "donor_too_short", "short.mp4"),
    ):
        with pytest.raises(InvalidInput, match=name) as error:
            call()
        assert error.value.reason == reason
    assert not out.exists()


def test_a_sound_that_ends_within_the_slack_is_followed_by_noise(tmp_path: Path) -> None:
    base, short = clip(tmp_path / "base.mp4", 300), clip(tmp_path / "short.mp4", 1000, seconds=0.8)
    out = tmp_path / "out.mp4"
    assert degrade_audio(base, short, out, snr_db=0, seed=1, slack_s=0.3) == pytest.approx(0, abs=0.5)
    end = sound_of(out, Fraction(9, 10), Fraction(1, 10)).values
    assert end.std() > 0.02


def test_noise_falls_by_its_slope() -> None:
    for colour, slope in ((Manipulation.PINK_NOISE, 3), (Manipulation.WHITE_NOISE, 0), (Manipulation.ROOM_TONE, 8)):
        noise = coloured_noise(20 * 48_000 + 1, 48_000, colour, 3)
        power = np.abs(np.fft.rfft(noise)) ** 2
        hz = np.fft.rfftfreq(noise.size, 1 / 48_000)
        density = [10 * math.log10(power[(hz >= low) & (hz < 1.1 * low)].mean()) for low in (50, 200, 800, 3200, 12800)]
        assert np.diff(density) == pytest.approx([-2 * slope] * 4, abs=1)
        assert power[hz < 20].sum() < 0.01 * power.sum()
        assert float(np.square(noise).mean()) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(level=st.floats(-40, 40), gain=st.floats(0.01, 10), seed=st.integers(0, 999), channels=st.integers(1, 2))
def test_the_ratio_of_a_sum_is_recovered(level: float, gain: float, seed: int, channels: int) -> None:
    over, under, noise = np.random.default_rng(seed).standard_normal((3, channels, 4000))
    size = math.sqrt(np.square(over).mean() / np.square(under).mean())
    written = gain * (over + under * size * 10 ** (-level / 20))
    assert ratio_db(written, over, under) == pytest.approx(level, abs=1e-6)
    assert math.isnan(ratio_db(under - over, over, under))
    assert resemblance(written, written) == pytest.approx(1, abs=1e-3)
    assert abs(resemblance(written, noise)) < 0.1
