"""Stage normalise on files as downloaders, phones and other tools leave them: the picture and the sound decide."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from mma_bench.builders.normalise import normalise_clip, usual_rate
from mma_bench.config import load_params
from mma_bench.errors import InvalidInput
from mma_bench.media.decode import frames
from mma_bench.media.facts import media_facts
from mma_bench.media.loudness import loudest_dbfs
from mma_bench.media.packets import packet_sha256
from mma_bench.media.probe import probe
from tests.clips import AAC, H264, clip, make, picture, plain, tone

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
SHORT = PARAMS.normalise.model_copy(update={"clip_s": 4.0, "train_size": 64})

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Normalises one file in a fresh project; keywords change the parameters."""
    monkeypatch.chdir(tmp_path)

    def run_one(source: Path, split: str = "test", **changes: float) -> dict[str, Any]:
        settings = SHORT.model_copy(update=changes)
        return normalise_clip(settings, {"clip_id": "clip", "split": split, "path": str(source)})

    return run_one


def refusal(run: Run, source: Path, split: str = "test", **changes: float) -> str:
    with pytest.raises(InvalidInput) as caught:
        run(source, split, **changes)
    assert source.name in caught.value.detail
    return caught.value.reason


def copy_packets(source: Path, target: Path, keep: Callable[[str, Fraction], bool], shift_s: int = 0) -> Path:
    """The packets of `source` for whose kind and time `keep` is true, `shift_s` earlier."""
    with av.open(str(source)) as given, av.open(str(target), "w") as written:
        tracks = {stream.index: written.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if not packet.size or packet.pts is None or packet.dts is None:
                continue
            if keep(packet.stream.type, packet.pts * packet.time_base):
                packet.pts -= round(shift_s / packet.time_base)
                packet.dts -= round(shift_s / packet.time_base)
                packet.stream = tracks[packet.stream.index]
                written.mux(packet)
    return target


# What else a file holds


def test_subtitles_and_data_do_not_make_a_clip_longer(run: Run) -> None:
    Path("long.srt").write_text("1\n00:00:01,000 --> 00:00:59,000\nhello\n")
    inputs = ("-i", "long.srt", *picture(), *tone(), "-map", "1", "-map", "2", "-map", "0")
    source = make(Path("subtitled.mkv"), *inputs, *H264, *AAC, "-c:s", "srt")
    header = probe(source)
    assert header.duration_s == pytest.approx(2, abs=0.1)
    for split in ("test", "train"):
        changes = {"clip_s": 2.0} if split == "train" else {}
        assert run(source, split, max_source_s=3.0, **changes)["frames"] == pytest.approx(50, abs=1)


def test_a_cover_without_its_flag_is_not_the_picture(run: Run) -> None:
    image = make(Path("cover.png"), *picture(0.04, "300x300"), "-frames:v", "1")
    inputs = ("-i", str(image), *picture(), *tone(), "-map", "0", "-map", "1", "-map", "2")
    source = make(Path("covered.mkv"), *inputs, "-c:v:0", "png", "-c:v:1", "libx264", "-pix_fmt:v:1", "yuv420p", *AAC)
    for split in ("test", "train"):
        result = run(source, split, clip_s=2.0)
        assert result["frames"] == pytest.approx(50, abs=1)
    assert media_facts(source)["width"] == 160


def test_motion_jpeg_alone_is_a_picture(run: Run) -> None:
    camera = make(Path("camera.avi"), *picture(), *tone(), "-c:v", "mjpeg", "-c:a", "pcm_s16le")
    assert run(camera)["frames"] == 50


@pytest.mark.parametrize("default", [0, 1])
def test_the_sound_is_the_track_that_a_player_plays(run: Run, default: int) -> None:
    """The one flagged as default, wherever it stands: the first may be a description or another language."""
    inputs = (*picture(), *tone(hz=300), *tone(hz=3000), "-map", "0", "-map", "1", "-map", "2")
    flags = ("-disposition:a:0", "default" if default == 0 else "0", f"-disposition:a:{default}", "default")
    source = make(Path("two.mkv"), *inputs, *H264, *AAC, *flags)
    alone = make(Path("alone.mkv"), "-i", str(source), "-map", "0:v", "-map", f"0:a:{default}", "-c", "copy")
    result = run(source, clip_s=2.0)
    Path(result["path"]).unlink()
    assert result["audio_sha256"] == run(alone, clip_s=2.0)["audio_sha256"]
    assert packet_sha256(source, "audio") == packet_sha256(alone, "audio")


def test_another_container_is_named(run: Run) -> None:
    stream = make(Path("stream.ts"), *picture(), *tone(), *H264, *AAC).rename("clip.mp4")
    with pytest.raises(InvalidInput, match=r"MPEG transport stream; repack it: ffmpeg -i FILE -c copy NEW.mkv"):
        run(stream)
    Path("flash.mp4").write_bytes(b"FLV\x01" + bytes(100))
    with pytest.raises(InvalidInput, match="Flash video; repack it"):
        run(Path("flash.mp4"))


# Pictures, not packets


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_cut_that_begins_off_a_key_frame(run: Run, suffix: str) -> None:
    """Nothing decodes until the key frame at 2 s (or grey); a player shows one frozen picture until then."""
    codec = ("-c:v", "mpeg4", "-c:a", "libmp3lame") if suffix == "avi" else (*H264, *AAC)
    whole = make(Path(f"whole.{suffix}"), *picture(8), *tone(8), *codec, "-g", "100", "-sc_threshold", "1000000000")
    cut = copy_packets(whole, Path(f"cut.{suffix}"), lambda _, time: time >= 2, shift_s=2)
    for split in ("test", "train"):
        assert refusal(run, cut, split) == "late_start"


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_cut_whose_key_frame_is_hidden_is_whole(run: Run, split: str) -> None:
    """As `sources.section` writes them: decoding begins at a key frame before the start, which is not shown."""
    whole = make(Path("whole.mp4"), *picture(8), *tone(8), *H264, "-g", "50", *AAC)
    source = make(Path("cut.mp4"), "-ss", "1.0", "-i", str(whole), "-t", "4.2", "-c", "copy")
    assert run(source, split)["frames"] == 100


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_hole_in_the_picture(run: Run, suffix: str) -> None:
    whole = make(Path(f"whole.{suffix}"), *picture(4), *tone(4), *H264, "-g", "10", *AAC)
    holed = copy_packets(
        whole, Path(f"h.{suffix}"), lambda kind, time: kind == "audio" or not 1 < time < Fraction("2.2")
    )
    for split in ("test", "train"):
        assert refusal(run, holed, split) == "picture_gap"
        assert run(holed, split, max_gap_s=1.4)["frames"] == pytest.approx(100, abs=1)
    ended = copy_packets(
        whole, Path(f"e.{suffix}"), lambda kind, time: kind == "audio" or not 2 < time < Fraction("3.9")
    )
    assert refusal(run, ended) == "picture_gap"


def test_a_picture_that_stands_still_for_a_while(run: Run) -> None:
    """Frozen for 2.6 s by another tool, which wrote the same picture again and again."""
    frozen = ("-vf", "tpad=start=65:start_mode=clone")
    source = make(Path("frozen.mp4"), *picture(1.4), *tone(4), *frozen, *H264, *AAC)
    assert refusal(run, source, max_frozen_s=2.0) == "frozen"
    assert run(source, max_frozen_s=3.0)["frames"] == 100
    still = make(Path("still.mp4"), *plain("gray", 4), *tone(4), *H264, *AAC)
    assert run(still, max_frozen_s=2.0)["frames"] == 100, "a still clip is the motion gate's, which says so"


def test_a_second_hand_is_not_frozen(run: Run) -> None:
    hand = "drawbox=x=80+mod(t\\,10)*4:y=30:w=3:h=30:color=white:t=fill"
    source = make(Path("clock.mp4"), *plain("gray", 4, "320x240"), *tone(4), "-vf", hand, *H264, *AAC)
    assert run(source, max_frozen_s=1.5)["frames"] == 100


# Rates and shapes


def test_the_last_picture_of_a_variable_rate_may_stand(run: Run) -> None:
    """At 30 frames/s, 119 of 120: the last picture is shown for 0.1 s, and FFmpeg's filters do not see for how long."""
    dropped = "select='not(between(n,118,119))*not(between(n,20,22))'"
    source = make(Path("vfr.mp4"), *picture(4, rate="30"), *tone(4), "-vf", dropped, "-vsync", "vfr", *H264, *AAC)
    assert run(source, "train")["frames"] == 120
    lacking = "select='not(between(n,112,119))*not(between(n,20,22))'"
    source = make(Path("short.mp4"), *picture(4, rate="30"), *tone(4), "-vf", lacking, "-vsync", "vfr", *H264, *AAC)
    assert refusal(run, source, "train") == "too_short"


def test_a_rate_of_30_001_is_30(run: Run) -> None:
    vp9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus")
    source = make(Path("rate.webm"), *picture(10.2, "32x32", "30.001"), *tone(10.2), *vp9)
    assert run(source, "train", clip_s=10.0)["frames"] == 300


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Fraction(30_001, 1000), Fraction(30)),
        (Fraction(2997, 100), Fraction(30_000, 1001)),
        (Fraction(23_976, 1000), Fraction(24_000, 1001)),
        (Fraction(30_000, 1001), Fraction(30_000, 1001)),
        (Fraction(25), Fraction(25)),
        (Fraction(25, 2), Fraction(25, 2)),
        (Fraction(1, 7), Fraction(1, 7)),
    ],
)
def test_usual_rates(rate: Fraction, expected: Fraction) -> None:
    assert usual_rate(rate) == expected


def test_test_clips_have_square_pixels_too(run: Run) -> None:
    box = "drawbox=x=40:y=20:w=40:h=80:color=white:t=fill,setsar={}"
    wide = make(Path("wide.mp4"), *plain("black", 4, "120x120"), *tone(4), "-vf", box.format("2"), *H264, *AAC)
    result = run(wide)
    assert (result["width"], result["height"]) == (240, 120)
    (shown,) = frames(Path(result["path"]), count=1)
    assert (shown[60, 90:150] > 200).all(), "as wide as a player shows it"
    with av.open(result["path"]) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 0, 1)
    high = make(Path("high.mp4"), *plain("black", 4, "120x120"), *tone(4), "-vf", box.format("1/2"), *H264, *AAC)
    result = run(high)
    assert (result["width"], result["height"]) == (120, 240)
    assert refusal(run, high, max_pixels=120 * 239) == "too_many_pixels"


def test_a_copied_clip_keeps_no_higher_rate_than_the_maximum(run: Run) -> None:
    assert run(clip(Path("fast.mp4"), rate="120", size="64x48"))["fps"] == 60
    usual = clip(Path("usual.mp4"), rate="60", size="64x48")
    assert run(usual)["video_sha256"] == packet_sha256(usual, "video"), "60 frames/s are copied"


# Sound


def ticking(path: Path, peak_db: float, every_s: float = 1.0) -> Path:
    """Ticks of 10 ms."""
    ticks = f"aevalsrc='if(lt(mod(t,{every_s}),0.01),pow(10,{peak_db}/20)*sin(2*PI*2000*t),0)':s=44100:d=4"
    return make(path, *picture(4), "-f", "lavfi", "-i", ticks, *H264, "-c:a", "aac", "-b:a", "192k")


def test_a_ticking_clock_is_not_silent(run: Run) -> None:
    clock = ticking(Path("clock.mp4"), -38)
    result = run(clock)
    assert result["rms_dbfs"] < -60
    assert loudest_dbfs(Path(result["path"])) > -55
    assert refusal(run, ticking(Path("faint.mp4"), -58)) == "silent"


def test_the_loudest_window_of_a_steady_tone_is_its_level(tmp_path: Path) -> None:
    source = clip(tmp_path / "tone.mp4")
    assert loudest_dbfs(source) == pytest.approx(media_facts(source)["rms_dbfs"], abs=0.3)
