"""Facts decoded from clips whose truth is known."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import InvalidInput
from mma_bench.media import facts as module
from mma_bench.media.facts import media_facts
from mma_bench.media.packets import packet_sha256
from mma_bench.schema import FACTS
from mma_bench.tables import from_rows
from tests.clips import AAC, H264, SILENCE, clip, cut_off, damaged, make, picture, plain, tone


@pytest.fixture(scope="module")
def black(folder: Path) -> Path:
    return make(folder / "black.mp4", *plain("black"), *SILENCE, "-t", "2", *H264, *AAC)


def test_facts_of_a_known_clip(good: Path) -> None:
    facts = media_facts(good)
    assert list(facts) == list(FACTS)
    assert from_rows([facts], FACTS).row(0, named=True) == facts, "types are the schema's"
    assert (facts["frames"], facts["fps"], facts["video_duration_s"]) == (50, 25.0, 2.0)
    assert (facts["width"], facts["height"]) == (160, 120)
    assert (facts["sample_rate"], facts["channels"]) == (44_100, 1)
    assert facts["audio_duration_s"] == pytest.approx(2.0, abs=1024 / 44_100)
    assert facts["duration_s"] == max(facts["audio_duration_s"], facts["video_duration_s"])
    assert facts["rms_dbfs"] == pytest.approx(-21.07, abs=0.1)
    assert facts["audio_peak"] == pytest.approx(0.125, abs=0.01)
    assert facts["motion"] > 5
    assert facts["luma_max"] > 200
    assert facts["video_sha256"] == packet_sha256(good, "video")
    assert facts["audio_sha256"] == packet_sha256(good, "audio")
    assert media_facts(good) == facts
    # As far as processors agree.
    assert facts["rms_dbfs"] == round(facts["rms_dbfs"], 3)
    assert facts["audio_peak"] == round(facts["audio_peak"], 6)


def test_black_and_silent(black: Path) -> None:
    facts = media_facts(black)
    assert facts["luma_max"] == 0.0
    assert facts["audio_peak"] == 0.0
    assert facts["rms_dbfs"] == -120.0
    assert facts["motion"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv420p10le"])
def test_luma_is_on_the_full_scale(tmp_path: Path, pixel_format: str) -> None:
    for colour, expected in (("black", 0), ("gray", 128)):
        path = make(tmp_path / f"{colour}.mov", *plain(colour, 0.2), *tone(0.2), *H264[:-1], pixel_format, *AAC)
        assert media_facts(path)["luma_max"] == pytest.approx(expected, abs=1.5)


def test_full_range_that_only_the_stream_says(tmp_path: Path) -> None:
    path = make(
        tmp_path / "pc.mkv", *plain("gray", 0.2), *tone(0.2), "-vf", "scale=out_range=pc,format=yuv420p",
        "-color_range", "pc", "-c:v", "libvpx-vp9", *AAC,
    )  # fmt: skip
    with av.open(path) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p"
    assert media_facts(path)["luma_max"] == pytest.approx(128, abs=1.5)


def test_one_bright_pixel_is_seen(tmp_path: Path) -> None:
    dot = make(
        tmp_path / "dot.mp4", *plain("black"), *tone(), "-vf", "drawbox=x=158:y=118:w=2:h=2:color=white:t=fill",
        *H264, "-crf", "1", *AAC,
    )  # fmt: skip
    assert media_facts(dot)["luma_max"] > 200


def test_motion_is_the_difference_over_a_fifth_of_a_second(tmp_path: Path) -> None:
    """All luma rises by 1 a frame on the limited scale: 5 frames apart, by 5 × 255 / 219 on the full one."""
    ramp = "color=black:size=64x48:rate=25:duration=2,geq=lum='60+N':cb=128:cr=128"
    rising = make(tmp_path / "rising.mp4", "-f", "lavfi", "-i", ramp, *tone(), *H264, "-crf", "1", *AAC)
    assert media_facts(rising)["motion"] == pytest.approx(5 * 255 / 219, abs=0.3)
    still = make(tmp_path / "still.mp4", *plain("gray"), *tone(), *H264, *AAC)
    assert media_facts(still)["motion"] == 0.0


def test_frames_are_counted_by_decoding(good: Path, tmp_path: Path) -> None:
    """A copied cut hides the frames before its start; the packets are still there."""
    cut = make(tmp_path / "cut.mp4", "-ss", "1", "-i", str(good), "-c", "copy")
    facts = media_facts(cut)
    assert facts["frames"] == 25
    assert facts["video_duration_s"] == pytest.approx(1.0)
    assert facts["video_sha256"] == packet_sha256(good, "video"), "all packets are still in the file"


def test_level_is_over_all_channels(tmp_path: Path) -> None:
    left = make(tmp_path / "left.mp4", *plain("red"), *tone(), "-af", "pan=stereo|c0=c0|c1=0*c0", *H264, *AAC)
    facts = media_facts(left)
    assert facts["channels"] == 2
    assert facts["rms_dbfs"] == pytest.approx(-21.07 - 3.01, abs=0.1)
    assert 0.12 < facts["audio_peak"] < 0.2, "the encoder overshoots at the start"


def test_sound_that_is_not_float(tmp_path: Path) -> None:
    plain_pcm = make(tmp_path / "pcm.mov", *plain("red"), *tone(), *H264, "-c:a", "pcm_s16le")
    assert media_facts(plain_pcm)["rms_dbfs"] == pytest.approx(-21.07, abs=0.1)


def test_broken_streams(good: Path, tmp_path: Path) -> None:
    front = make(tmp_path / "front.mp4", "-i", str(good), "-c", "copy", "-movflags", "+faststart")
    broken = {
        "truncated": cut_off(front, tmp_path / "cut.mp4", 0.5),
        "corrupt_stream": damaged(good, tmp_path / "damaged.mp4"),
    }
    for reason, path in broken.items():
        with pytest.raises(InvalidInput) as caught:
            media_facts(path)
        assert caught.value.reason == reason
        assert path.name in caught.value.detail


def test_a_damaged_frame_is_refused_although_it_decodes(good: Path, tmp_path: Path) -> None:
    """The decoder hides damage inside a frame; what it made up is not an evidence of what was filmed."""
    with av.open(good) as container:
        key_frame = next(container.demux(video=0))
        begin, length = key_frame.pos + key_frame.size // 3, key_frame.size // 3
    data = bytearray(good.read_bytes())
    data[begin : begin + length] = np.random.default_rng(0).bytes(length)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with av.open(path) as container:
        assert len(list(container.decode(video=0))) == 50
    with pytest.raises(InvalidInput) as caught:
        media_facts(path)
    assert caught.value.reason == "corrupt_stream"
    assert "frame 0 is damaged" in caught.value.detail


def test_nothing_to_see_or_hear(good: Path, tmp_path: Path) -> None:
    nothing_seen = make(tmp_path / "unseen.mp4", "-ss", "20", "-i", str(good), "-c", "copy")
    unheard = make(tmp_path / "unheard.mov", *picture(), *tone(), "-c:a", "pcm_s16le", *H264)
    data = bytearray(unheard.read_bytes())
    sizes = data.rindex(b"stsc")  # the sound's table of samples to chunks: none
    data[sizes + 8 : sizes + 12] = bytes(4)
    unheard.write_bytes(data)
    for path, reason in ((nothing_seen, "no_frames"), (unheard, "no_audio_samples")):
        with pytest.raises(InvalidInput) as caught:
            media_facts(path)
        assert caught.value.reason == reason


def test_perceptual_hash_survives_scaling_but_not_another_picture(good: Path, tmp_path: Path) -> None:
    small = make(tmp_path / "small.mp4", "-i", str(good), "-vf", "scale=96:72", *H264, "-crf", "30", *AAC)
    other = make(tmp_path / "other.mp4", *picture(kind="smptebars"), *tone(), *H264, *AAC)
    hashes = [media_facts(path)["phash"] for path in (good, small, other)]
    assert all(len(value) == 16 for value in hashes)
    assert bits_apart(hashes[0], hashes[1]) <= 4
    assert bits_apart(hashes[0], hashes[2]) >= 16


def bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@given(st.integers(0, 255))
@settings(deadline=None, max_examples=20)
def test_perceptual_hash_of_a_plain_surface_is_stable(level: int) -> None:
    surface = np.full((64, 64), level, np.int16)
    assert module._perceptual_hash(surface) == ("8" if level else "0") + "0" * 15


def test_frames_are_not_kept(tmp_path: Path) -> None:
    """What is held of 150 frames are 30 thumbnails: a fifth of a second apart."""
    long = clip(tmp_path / "long.mp4", seconds=6)
    sight = module._Sight(long)
    with av.open(long) as container:
        for frame in container.decode(video=0):
            sight.add(frame)
    assert sight.facts()["frames"] == 150
    assert [thumbnail.shape for thumbnail in sight._thumbnails] == [(64, 64)] * 30


def test_a_picture_is_decoded_once_whatever_its_sound(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make(
        tmp_path / "other.mp4", "-i", str(good), *tone(2, 900), "-map", "0:v", "-map", "1:a", "-c:v", "copy", *AAC
    )
    monkeypatch.setattr(module, "_DECODED", {})
    fresh = media_facts(other)
    looked = []
    monkeypatch.setattr(module, "_DECODED", {})
    monkeypatch.setattr(module, "thumbnail", lambda *of, plain=module.thumbnail: (looked.append(1), plain(*of))[1])
    first = media_facts(good)
    once = len(looked)
    assert media_facts(other) == fresh
    assert len(looked) == once
    assert fresh["rms_dbfs"] != first["rms_dbfs"]


def test_the_same_packets_at_other_times_or_in_another_range_are_decoded_anew(tmp_path: Path, good: Path) -> None:
    slow = make(tmp_path / "slow.mp4", "-itsscale", "2", "-i", str(good), "-c", "copy")
    full = make(tmp_path / "full.mp4", "-i", str(good), "-c", "copy", "-bsf:v", "h264_metadata=video_full_range_flag=1")
    normal, slowed, ranged = (media_facts(path) for path in (good, slow, full))
    assert slowed["video_sha256"] == normal["video_sha256"]
    assert slowed["fps"] == pytest.approx(normal["fps"] / 2, rel=0.05)
    assert ranged["luma_max"] < normal["luma_max"]


def test_a_damaged_picture_is_refused_every_time(tmp_path: Path, good: Path) -> None:
    broken = damaged(good, tmp_path / "broken.mp4")
    for _ in range(2):
        with pytest.raises(InvalidInput):
            media_facts(broken)


def test_no_more_pictures_are_kept_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DECODED", {})
    monkeypatch.setattr(module, "_MOST_DECODED", 2)
    for colour in ("red", "green", "blue"):
        media_facts(make(tmp_path / f"{colour}.mp4", *plain(colour, 0.2), *tone(0.2), *H264, *AAC))
    assert len(module._DECODED) == 2
