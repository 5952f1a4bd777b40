"""Header facts and limits, and files that are not what their name says."""

import subprocess
import sys
from pathlib import Path

import pytest

from mma_bench.errors import ClipError
from mma_bench.media.probe import probe
from tests.clips import AAC, H264, cut_off, giant, make, picture, plain, tone


def reason(path: Path, **limits: float) -> str:
    with pytest.raises(ClipError) as caught:
        probe(path, **limits)  # type: ignore[arg-type]
    assert path.name in caught.value.detail, "the message names the file"
    return caught.value.reason


def test_header_facts(good: Path) -> None:
    header = probe(good, max_bytes=good.stat().st_size, max_pixels=160 * 120, max_seconds=2.0)
    assert (header.width, header.height, header.fps) == (160, 120, 25.0)
    assert (header.video_codec, header.pixel_format, header.audio_codec) == ("h264", "yuv420p", "aac")
    assert (header.sample_rate, header.channels, header.duration_s) == (44_100, 1, 2.0)
    assert "mp4" in header.container
    assert not header.rotated


def test_limits(good: Path) -> None:
    assert reason(good, max_bytes=good.stat().st_size - 1) == "too_many_bytes"
    assert reason(good, max_pixels=160 * 120 - 1) == "too_many_pixels"
    assert reason(good, max_seconds=1.99) == "too_long"


def test_missing_and_empty(tmp_path: Path) -> None:
    assert reason(tmp_path / "nothing.mp4") == "missing_file"
    assert reason(tmp_path) == "missing_file"
    (tmp_path / "empty.mp4").touch()
    assert reason(tmp_path / "empty.mp4") == "empty_file"


def test_text_named_mp4(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("<html>404 Not Found</html>\n" * 200)
    assert reason(path) == "unreadable"


def test_index_cut_off(good: Path, tmp_path: Path) -> None:
    """The index of a plain MP4 file is at its end."""
    assert reason(cut_off(good, tmp_path / "cut.mp4", 0.5)) == "unreadable"


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{clip}'\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S"><Period><AdaptationSet><Representation id="1" bandwidth="1">'
        "<BaseURL>{clip}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    ],
    ids=["hls", "concat", "dash"],
)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8"])
def test_playlists_are_not_followed(good: Path, tmp_path: Path, playlist: str, suffix: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(good.read_bytes())
    path = tmp_path / f"list.{suffix}"
    path.write_text(playlist.format(clip="clip.mp4"))
    assert reason(path) == "unreadable"


def test_names_are_not_protocols(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("concat:other.mp4")  # without care FFmpeg opens other.mp4
    path.write_bytes(good.read_bytes())
    assert probe(path).fps == 25.0


def test_missing_streams(tmp_path: Path) -> None:
    assert reason(make(tmp_path / "mute.mp4", *picture(), *H264)) == "no_audio_stream"
    assert reason(make(tmp_path / "blind.mp4", *tone(), *AAC)) == "no_video_stream"


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    cover = make(tmp_path / "cover.png", *plain("red"), "-frames:v", "1")
    song = make(
        tmp_path / "song.mp4", "-i", str(cover), *tone(), "-c:v", "copy", *AAC, "-disposition:v", "attached_pic"
    )
    assert reason(song) == "no_video_stream"


def test_rotation(good: Path, tmp_path: Path) -> None:
    assert probe(make(tmp_path / "turned.mp4", "-i", str(good), "-c", "copy", "-metadata:s:v", "rotate=90")).rotated


@pytest.mark.parametrize(("side", "expected"), [(16_000, "too_many_pixels"), (60_000, "no_picture_size")])
def test_a_giant_is_refused_without_allocating_it(good: Path, tmp_path: Path, side: int, expected: str) -> None:
    """One picture of 16,000 × 16,000 pixels is 384 MB; beyond 2^28 pixels no decoder reports a size."""
    path = giant(good, tmp_path / "giant.mp4", side)
    script = (
        "import re, sys\nfrom pathlib import Path\nfrom mma_bench.media.probe import probe\n"
        "def most_kb():\n    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = most_kb()\n"
        "try:\n    probe(Path(sys.argv[1]), max_pixels=33_177_600)\n"
        "except Exception as error:\n    print(error.reason)\n"
        "print(most_kb() - before)"
    )
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    named, grown_kb = run.stdout.split()
    assert named == expected
    assert int(grown_kb) < 150_000
