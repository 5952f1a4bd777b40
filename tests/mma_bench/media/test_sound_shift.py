"""A shifted sound: which packets, where, and what is decoded, checked by means of this test's own."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mma_bench.errors import InvalidInput
from mma_bench.media.packets import packet_sha256
from mma_bench.media.sound_shift import measured_shift, shift_sound
from tests.builders.noise_clips import payloads, pictures, sound, times
from tests.clips import AAC, H264, clip, make, picture

RATE = 44_100


@pytest.fixture(scope="module")
def noisy(folder: Path) -> Path:
    """3 s of picture and of noise, no two packets of which are alike."""
    heard = ("-f", "lavfi", "-i", f"anoisesrc=duration=3:amplitude=0.3:seed=1:sample_rate={RATE}")
    return make(
        folder / "noisy.mp4", *picture(3), *heard, *H264, *AAC, "-aac_pns", "0"
    )  # else the decoder draws noise of its own


@pytest.mark.parametrize("shift_s", [0.5, 1, 2, -0.5, -1, -2, 0.1, -0.03])
def test_the_sound_is_the_same_at_another_time(noisy: Path, tmp_path: Path, shift_s: float) -> None:
    out = tmp_path / "out.mp4"
    made = shift_sound(noisy, out, shift_s=shift_s)
    frames = round(shift_s * RATE / 1024)
    assert made.shift_s == pytest.approx(frames * 1024 / RATE, abs=1e-9)
    assert abs(made.shift_s - shift_s) <= 512 / RATE
    # The picture is untouched.
    assert payloads(out, "video") == payloads(noisy, "video")
    assert [at for at, _ in pictures(out)] == [at for at, _ in pictures(noisy)]
    # The sound begins and ends as before, and is the base's, moved; the rest is silent.
    (begin, before), (again, after) = sound(noisy), sound(out)
    assert begin == again
    assert after.shape == before.shape
    moved = frames * 1024
    edge = 2048  # samples around the seam, where frames overlap
    if moved > 0:
        assert np.array_equal(after[:, moved + edge :], before[:, edge:-moved])
        assert not after[:, : max(0, moved - edge)].any()
    elif moved < 0:
        assert np.array_equal(after[:, :moved][:, edge:-edge], before[:, -moved:][:, edge:-edge])
        assert not after[:, after.shape[1] + moved + edge :].any()
    assert made.audio_sha256 == packet_sha256(out, "audio")


def test_kept_packets_are_one_run_of_the_base(noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    shift_sound(noisy, out, shift_s=-1)
    ours, theirs = payloads(noisy, "audio"), payloads(out, "audio")
    kept = [payload for payload in theirs if payload in ours]
    start = ours.index(kept[0])
    assert kept == ours[start : start + len(kept)]
    assert len(set(theirs[len(kept) :])) == 1, "one silent packet, again and again"


def test_no_shift_gives_the_same_sound(noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert shift_sound(noisy, out, shift_s=0).shift_s == 0
    assert payloads(out, "audio") == payloads(noisy, "audio")
    assert times(out, "audio") == times(noisy, "audio")


def test_equal_sources_give_equal_bytes(noisy: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.mp4", tmp_path / "two.mp4"
    for out in (one, two):
        shift_sound(noisy, out, shift_s=1)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("shift_s", [3.5, -3.5])
def test_a_shift_that_leaves_no_sound_is_refused(noisy: Path, tmp_path: Path, shift_s: float) -> None:
    with pytest.raises(InvalidInput, match=r"leaves none of its 3\.") as caught:
        shift_sound(noisy, tmp_path / "out.mp4", shift_s=shift_s)
    assert caught.value.reason == "shifted_away"


def test_a_sound_in_another_codec_is_refused(tmp_path: Path) -> None:
    heard = ("-f", "lavfi", "-i", "anoisesrc=duration=1:sample_rate=44100")
    base = make(tmp_path / "mp3.mp4", *picture(1), *heard, *H264, "-c:a", "libmp3lame")
    with pytest.raises(InvalidInput) as caught:
        shift_sound(base, tmp_path / "out.mp4", shift_s=0.5)
    assert caught.value.reason == "not_aac"


def test_a_shift_is_not_found_between_two_clips(noisy: Path, tmp_path: Path) -> None:
    other = clip(tmp_path / "other.mp4")
    with pytest.raises(InvalidInput) as caught:
        measured_shift(noisy, other)
    assert caught.value.reason == "shift_not_found"


def test_a_shift_is_measured_at_another_rate(tmp_path: Path) -> None:
    heard = ("-f", "lavfi", "-i", "anoisesrc=duration=2:amplitude=0.3:seed=2:sample_rate=16000")
    base = make(tmp_path / "slow.mp4", *picture(2), *heard, *H264, *AAC)
    found = shift_sound(base, tmp_path / "out.mp4", shift_s=0.5).shift_s
    assert found == float(Fraction(8 * 1024, 16000))
