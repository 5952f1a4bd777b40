"""Stage normalise: what is copied, what is re-encoded, what is refused and why, and that nothing else stops."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders import normalise
from mma_bench.builders.normalise import frames_within, main, normalise_clip, task_of
from mma_bench.config import NormaliseParams, Params, load_params
from mma_bench.errors import ConfigError, InvalidInput, MachineFault
from mma_bench.files import file_sha256
from mma_bench.media.bounds import check_bounds
from mma_bench.media.facts import media_facts
from mma_bench.media.loudness import loudest_dbfs
from mma_bench.media.packets import packet_sha256
from mma_bench.media.probe import probe
from mma_bench.schema import ACQUIRED, FACTS, NORMALISED, Split
from mma_bench.tables import from_rows, read_table, write_table
from tests.clips import AAC, H264, SILENCE, clip, cut_off, damaged, giant, make, picture, plain, tone

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
# Two seconds and small pictures in place of ten and 504 pixels: the same rules, quicker.
SHORT = PARAMS.normalise.model_copy(update={"clip_s": 2.0, "train_size": 64})

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def good(folder: Path) -> Path:
    return clip(folder / "good.mp4")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Normalises one file in a fresh project."""
    monkeypatch.chdir(tmp_path)

    def run_one(source: Path, split: str = "test", params: NormaliseParams = SHORT) -> dict[str, Any]:
        return normalise_clip(params, {"clip_id": "clip", "split": split, "path": str(source)})

    return run_one


def refusal(run: Run, source: Path, split: str = "test", params: NormaliseParams = SHORT) -> str:
    with pytest.raises(InvalidInput) as caught:
        run(source, split, params)
    assert source.name in caught.value.detail or "data/normalised" in caught.value.detail, "the message names the file"
    assert ".tmp-" not in caught.value.detail, "a temporary name would differ from run to run"
    assert not [path for path in layout.NORMALISED_CLIPS.rglob("*") if path.is_file()], "a refused clip leaves no file"
    return caught.value.reason


# What is written


def test_a_fitting_test_clip_is_copied_packet_by_packet(run: Run, good: Path) -> None:
    result = run(good)
    assert set(result) == {"path", "sha256", *FACTS}
    assert result["path"] == "data/normalised/test/clip.mp4"
    assert result["sha256"] == file_sha256(Path(result["path"]))
    assert result["video_sha256"] == packet_sha256(good, "video")
    assert result["audio_sha256"] == packet_sha256(good, "audio")
    assert {name: result[name] for name in FACTS} == media_facts(Path(result["path"])), "facts are of the written file"


def test_a_slightly_longer_test_clip_is_trimmed(run: Run, tmp_path: Path) -> None:
    longer = clip(tmp_path / "longer.mp4", seconds=2.04)
    result = run(longer)
    assert (result["frames"], result["video_duration_s"]) == (50, 2.0)
    assert 2.0 <= result["audio_duration_s"] < 2.0 + 2 * 1024 / 44_100
    assert (result["width"], result["height"]) == (160, 120)


def test_longer_sound_is_trimmed_without_touching_the_picture(run: Run, tmp_path: Path) -> None:
    longer = make(tmp_path / "longer.mp4", *picture(1.6), *tone(3), *H264, *AAC)
    result = run(longer)
    assert result["video_sha256"] == packet_sha256(longer, "video")
    assert 1.6 <= result["audio_duration_s"] < 1.6 + 1024 / 44_100


@pytest.mark.slow
def test_ten_seconds_at_29_97_are_300_frames(run: Run, tmp_path: Path) -> None:
    ntsc = clip(tmp_path / "ntsc.mp4", seconds=10.01, rate="30000/1001", size="64x48")
    result = run(ntsc, params=PARAMS.normalise)
    assert result["frames"] == 300
    assert result["video_sha256"] == packet_sha256(ntsc, "video"), "so it is not encoded again for 0.01 s"
    result = run(ntsc, "train", SHORT.model_copy(update={"clip_s": 10.0}))
    assert (result["frames"], result["fps"]) == (300, pytest.approx(30_000 / 1001))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    {
        "another video codec": (*picture(), *tone(), "-c:v", "mpeg4", *AAC),
        "another sampling": (*picture(), *tone(), *H264[:-1], "yuv444p", *AAC),
        "another audio codec": (*picture(), *tone(), *H264, "-c:a", "libmp3lame"),
        "six channels": (*picture(), *tone(), "-ac", "6", *H264, *AAC),
        "variable rate": (*picture(), *tone(), "-vf", "select='not(between(n,9,14))'", "-vsync", "vfr", *H264, *AAC),
        "apart": (*picture(), *tone(1.8), "-af", "asetpts=PTS+0.2/TB", *H264, *AAC),
    }.items(),
    ids=lambda item: item[0],
)
def test_any_other_test_clip_is_encoded(run: Run, tmp_path: Path, arguments: tuple[str, tuple[str, ...]]) -> None:
    source = make(tmp_path / "source.mp4", *arguments[1])
    result = run(source)
    header = probe(Path(result["path"]))
    assert (header.video_codec, header.pixel_format, header.audio_codec) == ("h264", "yuv420p", "aac")
    assert header.channels <= 2
    assert (result["width"], result["height"], result["frames"]) == (160, 120, pytest.approx(50, abs=2))
    assert result["audio_duration_s"] == pytest.approx(2, abs=0.05)
    assert result["video_sha256"] != packet_sha256(source, "video")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "before", "after", "size", "frames"),
    [
        ("mkv", (), (), (160, 120), 51),  # no decoding times; the container starts with the sound's priming
        ("mp4", (), ("-metadata:s:v", "rotate=90"), (120, 160), 50),
        ("mp4", ("-ss", "0.6"), ("-c:a", "aac"), (160, 120), 35),  # begins with hidden frames
        ("mp4", ("-ss", "0.6"), H264, (160, 120), 35),  # begins with hidden sound
    ],
    ids=["matroska", "rotated", "cut picture", "cut sound"],
)
def test_packets_that_would_not_play_alike_are_not_copied(
    run: Run,
    good: Path,
    tmp_path: Path,
    suffix: str,
    before: tuple[str, ...],
    after: tuple[str, ...],
    size: tuple[int, int],
    frames: int,
) -> None:
    source = make(tmp_path / f"source.{suffix}", *before, "-i", str(good), "-c", "copy", *after)
    result = run(source)
    assert result["video_sha256"] != packet_sha256(source, "video")
    assert not probe(Path(result["path"])).rotated
    assert (result["width"], result["height"]) == size
    assert result["frames"] == pytest.approx(frames, abs=1)


@pytest.mark.parametrize("size", ["320x180", "91x161"])
def test_train_clips_are_square_and_exactly_as_long(run: Run, tmp_path: Path, size: str) -> None:
    source = make(tmp_path / "source.mkv", *picture(2.4, size, kind="testsrc"), *tone(2.4), "-c:v", "ffv1", *AAC)
    result = run(source, "train")
    assert (result["width"], result["height"]) == (64, 64)
    assert (result["frames"], result["video_duration_s"]) == (50, 2.0)
    assert 2.0 <= result["audio_duration_s"] < 2.0 + 1024 / 44_100


@pytest.mark.slow
def test_a_train_clip_may_be_shorter_where_the_settings_say_so(run: Run, tmp_path: Path) -> None:
    short = clip(tmp_path / "short.mp4", seconds=1.2)
    assert refusal(run, short, "train") == "too_short"
    result = run(short, "train", SHORT.model_copy(update={"train_min_s": 1.0}))
    assert (result["width"], result["height"]) == (64, 64)
    assert result["video_duration_s"] == pytest.approx(1.2, abs=0.05)
    Path(result["path"]).unlink()
    assert refusal(run, short, "train", SHORT.model_copy(update={"train_min_s": 1.5})) == "too_short"


def test_the_preset_is_that_of_the_settings(run: Run, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", seconds=2.2)
    written = {
        preset: run(source, "train", SHORT.model_copy(update={"preset": preset}))["sha256"]
        for preset in ("fast", "veryfast")
    }
    assert written["fast"] != written["veryfast"]


@pytest.mark.slow
def test_a_train_clip_may_lack_one_frame_but_not_two(run: Run, tmp_path: Path) -> None:
    assert run(clip(tmp_path / "one.mp4", seconds=1.96), "train")["frames"] == 50
    Path("data/normalised/train/clip.mp4").unlink()
    assert refusal(run, clip(tmp_path / "two.mp4", seconds=1.92), "train") == "too_short"


@pytest.mark.slow
@pytest.mark.parametrize("split", ["test", "train"])
def test_a_second_run_writes_the_same_bytes(run: Run, tmp_path: Path, split: str) -> None:
    source = make(tmp_path / "source.avi", *picture(2.2), *tone(2.2), "-c:v", "mpeg4", "-c:a", "libmp3lame")
    first = run(source, split)
    Path(first["path"]).unlink()
    assert run(source, split) == first


def test_a_high_frame_rate_is_capped(run: Run, tmp_path: Path) -> None:
    assert run(clip(tmp_path / "fast.mp4", rate="100", size="64x48"), "train")["fps"] == 60


# What is refused


@pytest.mark.slow
def test_refusals_of_files(run: Run, good: Path, tmp_path: Path) -> None:
    front = make(tmp_path / "front.mp4", "-i", str(good), "-c", "copy", "-movflags", "+faststart")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("<html>404</html>")
    (tmp_path / "hls.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{good}\n#EXT-X-ENDLIST\n")
    cases = {
        "empty_file": tmp_path / "empty.mp4",
        "unreadable": tmp_path / "text.mp4",
        "unreadable ": tmp_path / "hls.mp4",
        "unreadable  ": cut_off(good, tmp_path / "no_index.mp4", 0.6),
        "truncated": cut_off(front, tmp_path / "truncated.mp4", 0.6),
        "corrupt_stream": damaged(good, tmp_path / "damaged.mp4"),
        "too_many_pixels": giant(good, tmp_path / "giant.mp4", 16_000),
        "no_picture_size": giant(good, tmp_path / "titan.mp4", 60_000),
        "no_frames": make(tmp_path / "none.mp4", "-ss", "20", "-i", str(good), "-c", "copy"),
        "no_audio_stream": make(tmp_path / "mute.mp4", *picture(), *H264),
        "no_video_stream": make(tmp_path / "blind.mp4", *tone(), *AAC),
    }
    for reason, path in cases.items():
        assert refusal(run, path) == reason.strip(), path.name
        assert refusal(run, path, "train") == reason.strip(), path.name


def test_a_file_that_is_away_is_the_machines_fault(run: Run, tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match=r"missing_file: .*missing\.mp4: no such file"):
        run(tmp_path / "missing.mp4", "test", SHORT)


@pytest.mark.slow
def test_refusals_of_contents(run: Run, tmp_path: Path) -> None:
    cases = {
        "single_frame": make(tmp_path / "single.mp4", *picture(0.04), *tone(), *H264, *AAC),
        "too_short": clip(tmp_path / "short.mp4", seconds=0.32),
        "silent": make(tmp_path / "silent.mp4", *picture(), *SILENCE, "-t", "2", *H264, *AAC),
        "audio_too_short": make(tmp_path / "half.mp4", *picture(), *tone(1.5), *H264, *AAC),
        "late_start": make(tmp_path / "late.mp4", *picture(), *tone(), "-af", "asetpts=PTS+0.6/TB", *H264, *AAC),
    }
    for reason, path in cases.items():
        assert refusal(run, path) == reason, path.name
        assert refusal(run, path, "train") == reason, path.name


def test_limits_are_the_parameters(run: Run, good: Path) -> None:
    level = loudest_dbfs(good)
    assert refusal(run, good, params=SHORT.model_copy(update={"min_rms_dbfs": level + 0.1})) == "silent"
    assert refusal(run, good, params=SHORT.model_copy(update={"max_pixels": 160 * 120 - 1})) == "too_many_pixels"
    assert refusal(run, good, params=SHORT.model_copy(update={"max_source_s": 1.9})) == "too_long"
    assert refusal(run, good, params=SHORT.model_copy(update={"min_test_s": 2.01})) == "too_short"
    passing = {"min_rms_dbfs": level - 0.1, "max_pixels": 160 * 120, "max_source_s": 2.1, "min_test_s": 2.0}
    assert run(good, params=SHORT.model_copy(update=passing))["frames"] == 50


def test_a_header_that_promises_more_than_there_is(run: Run, good: Path, tmp_path: Path) -> None:
    """A file cut between two packets, as an interrupted download of a Matroska file may be."""
    whole = make(tmp_path / "whole.mkv", "-i", str(good), "-c", "copy")
    marker = b"\x1f\x43\xb6\x75"  # a cluster begins
    data = whole.read_bytes()
    assert data.count(marker) == 1
    path = tmp_path / "part.mkv"
    path.write_bytes(data[: len(data) // 2])
    assert refusal(run, path) == "truncated"


def test_an_id_that_is_a_path_goes_nowhere(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        normalise_clip(SHORT, {"clip_id": "../../escape", "split": "test", "path": str(good)})
    assert caught.value.reason == "unsafe_id"
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_copy_with_other_packets_is_refused(run: Run, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drops_a_packet(source: Path, target: Path, seconds: float) -> int:
        make(target, "-i", str(source), "-c", "copy", "-frames:v", "49")
        return 88

    monkeypatch.setattr(normalise, "remux", drops_a_packet)
    assert refusal(run, good) == "remux_differs"


# The stage as a whole


def acquired(clips: dict[str, Path], split: str = "test") -> pl.DataFrame:
    rows = [
        {
            "clip_id": name,
            "split": split,
            "video_id": name,
            "start_s": 0.0,
            "end_s": 2.0,
            "class_name": "Dog",
            "label_ids": ["/m/0bt9lr"],
            "source": "made",
            "licence": "none",
            "status": "ok",
            "reason": "",
            "detail": "",
            "path": path.as_posix(),
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
        }
        for name, path in clips.items()
    ]
    lost = {**rows[0], "clip_id": "lost", "status": "unavailable", "reason": "not_in_folder"}
    return from_rows([*rows, {**lost, "path": None, "sha256": None, "bytes": None}], ACQUIRED)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: Path) -> Params:
    """Two clips that pass, two that are refused, and one that was never acquired."""
    monkeypatch.chdir(tmp_path)
    clips = {
        "a": make(Path("a.avi"), *picture(), *tone(), "-c:v", "mpeg4", "-c:a", "libmp3lame"),
        "b": damaged(good, Path("b.mp4")),
        "c": make(Path("c.mp4"), *picture(), *SILENCE, "-t", "2", *H264, *AAC),
        "d": make(Path("d.mp4"), "-i", str(good), "-c", "copy"),
    }
    write_table(acquired(clips), layout.ACQUIRED, ACQUIRED, ["split", "clip_id"])
    return PARAMS.model_copy(update={"normalise": SHORT, "workers": 1})


def test_black_and_still_clips_are_dropped_before_the_judge(project: Params) -> None:
    """Each by its own reason, and counted; the gate finds nothing left to refuse."""
    codecs = (*H264, *AAC)
    clips = {
        "black": make(Path("black.mp4"), *plain("black"), *tone(), *codecs),
        "moving": clip(Path("moving.mp4")),
        "still": make(Path("still.mp4"), *plain("gray"), *tone(), *codecs),
    }
    write_table(acquired(clips), layout.ACQUIRED, ACQUIRED, ["split", "clip_id"])
    main(project)

    table = read_table(layout.NORMALISED, NORMALISED)
    assert dict(table.select("clip_id", "reason").iter_rows()) == {
        "black": "black_picture",
        "moving": "",
        "still": "still_picture",
    }
    assert "data/normalised/test/black.mp4: its brightest pixel is 0.0 of 255" in table["detail"][0]
    assert [path.name for path in layout.NORMALISED_CLIPS.rglob("*.mp4")] == ["moving.mp4"]
    metrics = json.loads(layout.metrics("normalise").read_text())
    assert metrics["test"] == {"in": 3, "black_picture": 1, "still_picture": 1, "ok": 1}

    ledger = layout.ledger("normalise").read_bytes()
    main(project)
    assert layout.ledger("normalise").read_bytes() == ledger, "a dropped clip is not made again"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_hole_in_the_sound_is_refused_or_filled_with_silence(run: Run, tmp_path: Path, suffix: str) -> None:
    def holed(seconds: float) -> Path:
        keep = f"aselect='not(between(t,0.8,{0.8 + seconds}))'"
        return make(tmp_path / f"{seconds}.{suffix}", *picture(), *tone(), "-af", keep, *H264, *AAC)

    for split in ("test", "train"):
        assert refusal(run, holed(0.5), split) == "audio_too_short"
    result = run(holed(0.15))
    assert result["audio_duration_s"] == pytest.approx(2, abs=0.03), "encoded, so that both streams last as long"


def test_a_picture_rate_that_fits_no_length_is_refused(run: Run, tmp_path: Path) -> None:
    """At 0.6 frames/s, the frames that begin within 2 s last 3.3 s."""
    slow = make(tmp_path / "slow.mp4", *picture(4, rate="0.6"), *tone(4), *H264, *AAC)
    result = run(slow, params=SHORT.model_copy(update={"max_gap_s": 2.0}))
    with pytest.raises(InvalidInput) as caught:
        check_bounds(Path(result["path"]), Split.TEST, {**result, "audio_duration_s": 3.3}, SHORT, PARAMS.validate_)
    assert caught.value.reason == "wrong_length"


@pytest.mark.slow
def test_one_bad_clip_stops_no_other(project: Params) -> None:
    stray = layout.NORMALISED_CLIPS / "test" / "of_earlier_parameters.mp4"
    stray.parent.mkdir(parents=True)
    stray.touch()
    main(project)

    table = read_table(layout.NORMALISED, NORMALISED)
    assert table["clip_id"].to_list() == ["a", "b", "c", "d"]
    assert table["reason"].to_list() == ["", "corrupt_stream", "silent", ""]
    assert table["status"].to_list() == ["ok", "refused", "refused", "ok"]
    refused = table.filter(pl.col("status") == "refused")
    assert all(refused[name].is_null().all() for name in ("path", "sha256", *FACTS))
    assert "b.mp4" in refused["detail"][0]
    for path, sha256 in table.drop_nulls("path").select("path", "sha256").iter_rows():
        assert file_sha256(Path(path)) == sha256
    written = {path.as_posix() for path in layout.NORMALISED_CLIPS.rglob("*") if path.is_file()}
    assert written == set(table["path"].drop_nulls())

    metrics = json.loads(layout.metrics("normalise").read_text())
    assert metrics["test"] == {"in": 4, "corrupt_stream": 1, "silent": 1, "ok": 2}
    assert metrics["train"] == {"in": 0, "ok": 0}

    ledger, before = layout.ledger("normalise").read_bytes(), layout.NORMALISED.read_bytes()
    main(project)
    assert layout.ledger("normalise").read_bytes() == ledger, "a second run does nothing"
    assert layout.NORMALISED.read_bytes() == before


def test_no_ffmpeg_stops_before_any_work(project: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="ffmpeg") as caught:
        main(project)
    assert "apt-get install ffmpeg" in str(caught.value)
    assert not layout.ledger("normalise").exists()


def test_fingerprint_depends_on_all_that_the_result_depends_on() -> None:
    base = {"clip_id": "a", "split": "test", "path": "a.mp4", "sha256": "0" * 64}
    prints = [
        task_of(base, SHORT, PARAMS.validate_, "ffmpeg 5").fingerprint,
        task_of({**base, "sha256": "1" * 64}, SHORT, PARAMS.validate_, "ffmpeg 5").fingerprint,
        task_of({**base, "split": "train"}, SHORT, PARAMS.validate_, "ffmpeg 5").fingerprint,
        task_of(base, SHORT.model_copy(update={"min_rms_dbfs": -50.0}), PARAMS.validate_, "ffmpeg 5").fingerprint,
        task_of(base, SHORT, PARAMS.validate_.model_copy(update={"min_motion": 0.4}), "ffmpeg 5").fingerprint,
        task_of(base, SHORT, PARAMS.validate_, "ffmpeg 6").fingerprint,
        task_of(base, SHORT.model_copy(update={"preset": "veryfast"}), PARAMS.validate_, "ffmpeg 5").fingerprint,
        task_of(base, SHORT.model_copy(update={"train_min_s": 1.0}), PARAMS.validate_, "ffmpeg 5").fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert task_of(base, SHORT, PARAMS.validate_, "ffmpeg 5").fingerprint == prints[0]
    assert (
        task_of(base, SHORT, PARAMS.validate_, "").key
        != task_of({**base, "split": "train"}, SHORT, PARAMS.validate_, "").key
    )


@given(st.integers(1, 120_000), st.integers(1, 20_000))
@settings(deadline=None, max_examples=200)
def test_frames_within_are_those_that_begin_before_the_end(rate_milli: int, milliseconds: int) -> None:
    fps, seconds = Fraction(rate_milli, 1000), milliseconds / 1000
    count = frames_within(seconds, fps)
    assert (count - 1) / fps < Fraction(milliseconds, 1000) <= count / fps
