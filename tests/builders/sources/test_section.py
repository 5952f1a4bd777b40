"""A section shows exactly its frames: each picture of the test videos says when it is shown."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.sources import section
from mma_bench.builders.sources.section import cut
from mma_bench.errors import InvalidInput
from mma_bench.media.facts import media_facts
from tests.clips import make

FPS, LENGTH_S = 25, 8
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-bf", "3", "-pix_fmt", "yuv420p", "-c:a", "aac")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "60", "-c:a", "libopus")
# The shade of grey is the number of the frame (200 frames, luma 16 to 215).
COUNTING = f"nullsrc=size=64x48:rate={FPS}:duration={LENGTH_S},geq=lum='16+N':cb=128:cr=128"
KINDS = {"plain.mp4": (*H264, "-movflags", "+faststart"), "parts.mp4": (*H264, "-movflags", "+dash+delay_moov")}
KINDS |= {"video.webm": VP9, "video.mkv": H264}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the counting video in several containers, and its streams apart."""
    folder = tmp_path_factory.mktemp("videos")
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:duration={LENGTH_S}")
    for name, codecs in KINDS.items():
        make(folder / name, "-f", "lavfi", "-i", COUNTING, *tone, *codecs)
    make(folder / "sight.mp4", "-i", str(folder / "plain.mp4"), "-an", "-c", "copy")
    make(folder / "sound.m4a", "-i", str(folder / "plain.mp4"), "-vn", "-c", "copy")
    return folder


def shown(clip: Path) -> list[int]:
    """The numbers of the frames that FFmpeg's program shows, by their shade."""
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray"]
    raw = subprocess.run([*command, "-vf", "scale=1:1", "-"], capture_output=True, check=True).stdout
    return list(raw)


def section_of(videos: Path, target: Path, names: tuple[str, ...], start_s: float, end_s: float) -> section.Expected:
    target.unlink(missing_ok=True)
    opened = [(videos / name).open("rb") for name in names]
    try:
        return cut(opened, target, start_s, end_s, "the video")
    finally:
        for stream in opened:
            stream.close()


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(start_ms=st.integers(0, 6500), length_ms=st.integers(300, 1500), name=st.sampled_from(sorted(KINDS)))
def test_any_section_is_exact(
    videos: Path, tmp_path_factory: pytest.TempPathFactory, start_ms: int, length_ms: int, name: str
) -> None:
    clip = tmp_path_factory.mktemp("cut") / "clip.mp4"
    end_ms = start_ms + length_ms
    expected = section_of(videos, clip, (name,), start_ms / 1000, end_ms / 1000)
    with av.open(str(videos / name)) as container:
        begins = sorted(packet.pts * packet.time_base * 1000 for packet in container.demux(video=0) if packet.size)
    within = [place for place, begin in enumerate(begins) if start_ms <= begin < end_ms]
    first, last = within[0], within[-1]
    numbers = shown(clip)
    assert len(numbers) == len(within) == expected.frames
    shades = shown(videos / name)
    assert abs(numbers[0] - shades[first]) <= 1
    assert abs(numbers[-1] - shades[last]) <= 1
    facts = media_facts(clip)
    assert abs(facts["audio_duration_s"] - length_ms / 1000) <= 0.05
    assert abs(facts["video_duration_s"] - length_ms / 1000) <= 1 / FPS + 0.05


@pytest.mark.slow
def test_sight_and_sound_of_two_files(videos: Path, tmp_path: Path) -> None:
    section_of(videos, tmp_path / "two.mp4", ("sight.mp4", "sound.m4a"), 3.1, 4.1)
    section_of(videos, tmp_path / "one.mp4", ("plain.mp4",), 3.1, 4.1)
    two, one = (media_facts(tmp_path / name) for name in ("two.mp4", "one.mp4"))
    assert two["frames"] == one["frames"] == 25
    assert two["video_sha256"] == one["video_sha256"]


def test_packets_are_those_of_the_source(videos: Path, tmp_path: Path) -> None:
    section_of(videos, tmp_path / "clip.mp4", ("plain.mp4",), 3.1, 4.1)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    kept, source = packets(tmp_path / "clip.mp4"), packets(videos / "plain.mp4")
    begin = source.index(kept[0])
    assert kept == source[begin : begin + len(kept)]


def test_a_video_that_ends_early_gives_what_it_has(videos: Path, tmp_path: Path) -> None:
    expected = section_of(videos, tmp_path / "clip.mp4", ("plain.mp4",), 7.0, 17.0)
    assert expected.frames == 25
    with pytest.raises(InvalidInput, match="section_past_end"):
        section_of(videos, tmp_path / "clip.mp4", ("plain.mp4",), 30.0, 40.0)


def test_what_is_no_video_is_named(videos: Path, tmp_path: Path) -> None:
    (videos / "text.mp4").write_text("no video " * 100)
    for name, reason in (
        ("text.mp4", "unreadable"),
        ("sound.m4a", "no_video_stream"),
        ("sight.mp4", "no_audio_stream"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            section_of(videos, tmp_path / "clip.mp4", (name,), 1.0, 2.0)


@pytest.mark.parametrize("lie", [{"frames": 24}, {"video_end_s": Fraction(2)}, {"audio_end_s": Fraction(1, 2)}])
def test_a_cut_that_is_not_what_was_wanted_is_refused(videos: Path, tmp_path: Path, lie: dict[str, object]) -> None:
    expected = section_of(videos, tmp_path / "clip.mp4", ("plain.mp4",), 3.1, 4.1)
    section.verify(tmp_path / "clip.mp4", expected, "the video")
    with pytest.raises(InvalidInput, match="inexact_cut"):
        section.verify(tmp_path / "clip.mp4", section.Expected(**{**vars(expected), **lie}), "the video")
