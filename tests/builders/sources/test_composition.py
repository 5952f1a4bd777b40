"""Composed clips: what is written is what was promised, byte for byte on every run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mma_bench.builders.sources.composition import FPS, SAMPLE_RATE, SECONDS, compose
from mma_bench.errors import InvalidInput
from mma_bench.media.facts import media_facts
from mma_bench.media.probe import probe

SAMPLE = Path(__file__).parents[3] / "sample"
# Of all pairs the one that moves least, with the shortest sound: if this clip is fine, so are the others.
PHOTO, SOUND = SAMPLE / "photos" / "tp-cello.png", SAMPLE / "sounds" / "tp-hammer.ogg"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pair, composed."""
    path = tmp_path_factory.mktemp("composed") / "cello-1.mp4"
    compose(PHOTO, SOUND, "cello-1", path)
    return path


@pytest.mark.slow
def test_facts_read_back(clip: Path) -> None:
    facts = media_facts(clip)
    assert (facts["frames"], facts["fps"], facts["video_duration_s"]) == (SECONDS * FPS, FPS, SECONDS)
    # AAC has blocks of 1024 samples; the last one is filled up.
    assert SECONDS <= facts["audio_duration_s"] < SECONDS + 1024 / SAMPLE_RATE
    assert (facts["sample_rate"], facts["channels"]) == (SAMPLE_RATE, 1)
    assert (facts["width"], facts["height"]) == (480, 640)
    assert facts["motion"] > 2
    assert facts["rms_dbfs"] > -32
    assert 0.3 < facts["audio_peak"] < 1
    header = probe(clip)
    assert (header.video_codec, header.pixel_format, header.audio_codec) == ("h264", "yuv420p", "aac")
    assert header.duration_s == pytest.approx(SECONDS, abs=0.03)


@pytest.mark.slow
def test_the_same_bytes_in_another_process(clip: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.mp4"
    code = (
        "import sys; from pathlib import Path; from mma_bench.builders.sources.composition import compose; "
        "compose(Path(sys.argv[1]), Path(sys.argv[2]), 'cello-1', Path(sys.argv[3]))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "17", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", code, PHOTO, SOUND, again], check=True, env=environment)
    assert again.read_bytes() == clip.read_bytes()


def test_no_trace_of_when_and_with_what_it_was_written(clip: Path) -> None:
    data = clip.read_bytes()
    assert b"Lavf" not in data
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        times = data.index(box) + 8  # after the name, version and flags: creation, modification
        assert data[times : times + 8] == bytes(8), box


def test_a_pair_that_cannot_be_read_leaves_no_clip(tmp_path: Path) -> None:
    broken = tmp_path / "photo.png"
    broken.write_text("no image")
    with pytest.raises(InvalidInput, match=r"photo\.png"):
        compose(broken, SOUND, "x", tmp_path / "x.mp4")
    with pytest.raises(InvalidInput, match=r"photo\.png"):
        compose(PHOTO, broken, "x", tmp_path / "x.mp4")
    assert list(tmp_path.iterdir()) == [broken]
