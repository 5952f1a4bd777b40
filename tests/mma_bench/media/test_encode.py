"""Re-encoding: shape, determinism, and damage that is not hidden."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mma_bench.errors import InvalidInput, Retryable
from mma_bench.files import file_sha256
from mma_bench.media import encode as module
from mma_bench.media.decode import audio, frames
from mma_bench.media.encode import Shape, encode
from mma_bench.media.facts import media_facts
from mma_bench.media.probe import probe
from tests.clips import AAC, H264, damaged, giant, make, picture, plain, tone

NATIVE = Shape(
    fps=Fraction(25), frames=50, seconds=2.0, square=None, fill=0, sample_rate=44_100, channels=1
)  # fmt: skip
SQUARE = replace(NATIVE, square=96, fill=1)


@pytest.mark.slow
def test_native_shape(good: Path, tmp_path: Path) -> None:
    encode(good, tmp_path / "out.mp4", NATIVE)
    facts, before = media_facts(tmp_path / "out.mp4"), media_facts(good)
    for name in ("frames", "width", "height", "fps", "video_duration_s", "sample_rate", "channels"):
        assert facts[name] == before[name], name
    assert facts["audio_duration_s"] == pytest.approx(2.0, abs=1024 / 44_100)
    assert facts["rms_dbfs"] == pytest.approx(before["rms_dbfs"], abs=0.2)
    header = probe(tmp_path / "out.mp4")
    assert (header.video_codec, header.pixel_format, header.audio_codec) == ("h264", "yuv420p", "aac")
    assert np.abs(frames(tmp_path / "out.mp4").astype(int) - frames(good)).mean() < 4, "the same pictures in order"


def test_a_second_run_has_the_same_bytes(good: Path, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        encode(good, tmp_path / name, SQUARE)
    assert file_sha256(tmp_path / "one.mp4") == file_sha256(tmp_path / "two.mp4")
    assert b"Lavf" not in (tmp_path / "one.mp4").read_bytes(), "no library version in the container"


def test_cut_to_frames_and_seconds(good: Path, tmp_path: Path) -> None:
    encode(good, tmp_path / "out.mp4", replace(NATIVE, frames=30, seconds=1.2))
    facts = media_facts(tmp_path / "out.mp4")
    assert (facts["frames"], facts["video_duration_s"]) == (30, 1.2)
    assert 1.2 <= facts["audio_duration_s"] < 1.2 + 1024 / 44_100


@pytest.mark.slow
@pytest.mark.parametrize("size", ["160x96", "97x161", "64x48"])
def test_square_is_the_centre(tmp_path: Path, size: str) -> None:
    """A white square in the centre, half as long as the shorter side, in black: half as long in the square clip."""
    width, height = map(int, size.split("x"))
    side = min(width, height) // 2
    box = f"drawbox=x={(width - side) // 2}:y={(height - side) // 2}:w={side}:h={side}:color=white:t=fill"
    source = make(tmp_path / "in.mkv", *plain("black", size=size), *tone(), "-vf", box, "-c:v", "ffv1", *AAC)
    encode(source, tmp_path / "out.mp4", SQUARE)
    (shown,) = frames(tmp_path / "out.mp4", count=1)
    assert shown.shape == (96, 96, 3)
    white = shown.mean(axis=2) > 128
    assert np.argwhere(white.any(axis=1))[[0, -1], 0] == pytest.approx([24, 71], abs=2)
    assert np.argwhere(white.any(axis=0))[[0, -1], 0] == pytest.approx([24, 71], abs=2)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    """80×96 pixels, each twice as wide as high, are a picture of 160×96: the left and right 20 columns are cut."""
    box = "drawbox=x=20:y=0:w=40:h=96:color=white:t=fill,setsar=2"
    source = make(tmp_path / "in.mkv", *plain("black", size="80x96"), *tone(), "-vf", box, "-c:v", "ffv1", *AAC)
    encode(source, tmp_path / "out.mp4", SQUARE)
    (shown,) = frames(tmp_path / "out.mp4", count=1)
    assert (shown.mean(axis=2)[:, 12:84] > 200).all(), "20 of 48 columns each side of the middle are white"
    assert (shown.mean(axis=2)[:, :4] < 50).all()


def test_square_clips_have_square_pixels(tmp_path: Path) -> None:
    """79.2 columns of 10/11 a row's height would make a square; 78 are taken, and shown as one."""
    source = make(
        tmp_path / "in.mkv", *picture(0.4, "88x72"), *tone(0.4), "-vf", "setsar=10/11", "-c:v", "ffv1", *AAC
    )  # fmt: skip
    encode(source, tmp_path / "out.mp4", replace(SQUARE, frames=10, seconds=0.4))
    with av.open(tmp_path / "out.mp4") as container:
        assert container.streams.video[0].sample_aspect_ratio == 1


def test_odd_geometry_loses_one_row_and_column(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", *picture(size="161x121", kind="testsrc"), *tone(), "-c:v", "ffv1", *AAC)
    assert (probe(source).width, probe(source).height) == (161, 121)
    encode(source, tmp_path / "out.mp4", NATIVE)
    facts = media_facts(tmp_path / "out.mp4")
    assert (facts["width"], facts["height"]) == (160, 120)


def test_rotation_is_applied(good: Path, tmp_path: Path) -> None:
    turned = make(tmp_path / "turned.mp4", "-i", str(good), "-c", "copy", "-metadata:s:v", "rotate=90")
    encode(turned, tmp_path / "out.mp4", NATIVE)
    facts = media_facts(tmp_path / "out.mp4")
    assert (facts["width"], facts["height"]) == (120, 160)
    assert not probe(tmp_path / "out.mp4").rotated


@pytest.mark.parametrize(
    "codec",
    [
        (*H264[:-1], "yuvj420p"),
        ("-vf", "scale=out_range=pc,format=yuv420p", "-color_range", "pc", "-c:v", "libvpx-vp9"),
    ],
    ids=["by format", "by flag"],
)
def test_full_range_becomes_limited(tmp_path: Path, codec: tuple[str, ...]) -> None:
    source = make(tmp_path / "in.mkv", *plain("0x404040", 0.4), *tone(0.4), *codec, *AAC)
    encode(source, tmp_path / "out.mp4", replace(NATIVE, frames=10, seconds=0.4))
    assert probe(tmp_path / "out.mp4").pixel_format == "yuv420p"
    assert media_facts(tmp_path / "out.mp4")["luma_max"] == pytest.approx(0x40, abs=2)


def test_variable_rate_becomes_constant(tmp_path: Path) -> None:
    gaps = make(
        tmp_path / "gaps.mkv", *picture(), *tone(), "-vf", "select='not(between(n,10,14))'", "-vsync", "vfr",
        "-c:v", "ffv1", *AAC,
    )  # fmt: skip
    encode(gaps, tmp_path / "out.mp4", NATIVE)
    with av.open(tmp_path / "out.mp4") as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([n / 25 for n in range(50)])


@pytest.mark.slow
def test_fill_repeats_one_frame_and_pads_the_sound(tmp_path: Path) -> None:
    short = make(tmp_path / "short.mp4", *picture(1.96), *tone(1.8), *H264, *AAC)
    encode(short, tmp_path / "out.mp4", SQUARE)
    facts = media_facts(tmp_path / "out.mp4")
    assert (facts["frames"], facts["video_duration_s"]) == (50, 2.0)
    assert 2.0 <= facts["audio_duration_s"] < 2.0 + 1024 / 44_100
    sound = audio(tmp_path / "out.mp4")
    assert np.abs(sound[int(1.7 * 16_000) : int(1.75 * 16_000)]).max() > 0.1
    assert np.abs(sound[int(1.9 * 16_000) :]).max() < 0.001
    two_short = make(tmp_path / "two.mp4", *picture(1.92), *tone(1.8), *H264, *AAC)
    encode(two_short, tmp_path / "out.mp4", SQUARE)
    assert media_facts(tmp_path / "out.mp4")["frames"] == 49, "one frame is repeated, never more"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "written"), [((44_100, 2), (44_100, 2)), ((8_000, 1), (44_100, 1)),
                           ((96_000, 6), (44_100, 2))]
)  # fmt: skip
def test_sample_rate_and_channels(tmp_path: Path, given: tuple[int, int], written: tuple[int, int]) -> None:
    rate, channels = given
    source = make(
        tmp_path / "in.mkv", *plain("red"), *tone(rate=rate), "-ac", str(channels), *H264, "-c:a", "flac"
    )  # fmt: skip
    encode(source, tmp_path / "out.mp4", replace(NATIVE, sample_rate=rate, channels=channels))
    facts = media_facts(tmp_path / "out.mp4")
    assert (facts["sample_rate"], facts["channels"]) == written


def test_metadata_stay_behind(good: Path, tmp_path: Path) -> None:
    titled = make(tmp_path / "titled.mp4", "-i", str(good), "-c", "copy", "-metadata", "title=A person's name")
    encode(titled, tmp_path / "out.mp4", NATIVE)
    assert b"A person's name" not in (tmp_path / "out.mp4").read_bytes()


def test_damage_is_not_hidden(good: Path, tmp_path: Path) -> None:
    path = damaged(good, tmp_path / "damaged.mp4")
    with pytest.raises(InvalidInput) as caught:
        encode(path, tmp_path / "out.mp4", NATIVE)
    assert caught.value.reason == "corrupt_stream"
    assert "damaged.mp4" in caught.value.detail
    assert "0x" not in caught.value.detail, "an address would differ from run to run"


@pytest.mark.slow
def test_damage_inside_frames_is_seen(good: Path, tmp_path: Path) -> None:
    """A decoder makes up what is damaged; FFmpeg on several threads does not tell, here it must."""
    with av.open(good) as container:
        packets = container.demux(video=0)
        next(packets)
        predicted = next(packets)
        begin, end = predicted.pos + predicted.size * 3 // 4, predicted.pos + predicted.size
    told = []
    for seed in range(8):
        data = bytearray(good.read_bytes())
        data[begin:end] = np.random.default_rng(seed).bytes(end - begin)
        path = tmp_path / f"damaged{seed}.mp4"
        path.write_bytes(data)
        with av.open(path) as container:
            if not any(frame.is_corrupt for frame in container.decode(video=0)):
                continue  # by chance the noise is a valid picture
        told.append(seed)
        with pytest.raises(InvalidInput) as caught:
            encode(path, tmp_path / "out.mp4", NATIVE)
        assert caught.value.reason == "corrupt_stream"
    assert len(told) >= 3


def test_a_hostile_name_is_only_a_name(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "concat:a|b 'c'.mp4"):
        Path(name).write_bytes(good.read_bytes())
        encode(Path(name), Path("out.mp4"), NATIVE)
        assert media_facts(Path("out.mp4"))["frames"] == 50
        Path("out.mp4").unlink()


def test_a_playlist_is_refused(good: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(good.read_bytes())
    playlist = tmp_path / "list.mp4"
    playlist.write_text("ffconcat version 1.0\nfile 'clip.mp4'\n")
    with pytest.raises(InvalidInput):
        encode(playlist, tmp_path / "out.mp4", NATIVE)


@pytest.mark.slow
def test_too_much_computing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_LIMIT_S", 1)
    heavy = make(tmp_path / "heavy.mkv", *picture(10, "640x480", "30"), *tone(10), "-c:v", "mpeg4", *AAC)
    with pytest.raises(InvalidInput) as caught:
        encode(heavy, tmp_path / "out.mp4", replace(SQUARE, fps=Fraction(30), frames=300, seconds=10.0, square=504))
    assert caught.value.reason == "encode_timed_out"


def test_what_the_system_does_for_a_child_counts_as_its_computing() -> None:
    code = "import os\nfor _ in range(200_000): os.stat('/')\ntimes = os.times()\nprint(times.user + times.system)"
    before = module._children_cpu_s()
    own = float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert module._children_cpu_s() - before >= own - 0.02  # the clock's grain


def test_being_killed_is_no_fault_of_the_clip(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Retryable) as caught:
        encode(good, tmp_path / "out.mp4", NATIVE)
    assert caught.value.reason == "encoder_stopped"


@pytest.mark.slow
def test_a_long_source_is_read_only_as_far_as_needed(tmp_path: Path) -> None:
    """Damage in the middle of a minute is never met when two seconds are wanted."""
    long = make(tmp_path / "long.mp4", *picture(60, "64x48", "5"), *tone(60), *H264, *AAC)
    path = damaged(long, tmp_path / "damaged.mp4")
    encode(path, tmp_path / "out.mp4", replace(NATIVE, fps=Fraction(5), frames=10))
    assert media_facts(tmp_path / "out.mp4")["frames"] == 10
    with pytest.raises(InvalidInput):
        encode(path, tmp_path / "out.mp4", replace(NATIVE, fps=Fraction(5), frames=300, seconds=60))


def test_a_giant_picture_is_not_allocated(good: Path, tmp_path: Path) -> None:
    """16,000 × 16,000 pixels take 384 MB a picture, and a decoder holds several."""
    path = giant(good, tmp_path / "giant.mp4", 16_000)
    script = (
        "import resource, sys\nfrom fractions import Fraction\nfrom pathlib import Path\n"
        "from mma_bench.media.encode import Shape, encode\n"
        "try:\n    encode(Path(sys.argv[1]), Path(sys.argv[2]), Shape(Fraction(25), 50, 2.0, None, 0, 44100, 1))\n"
        "except Exception as error:\n    print(error.reason)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "out.mp4")], capture_output=True, text=True, check=True
    )
    named, most_kb = run.stdout.split()
    assert named == "corrupt_stream"
    assert int(most_kb) < 300_000
