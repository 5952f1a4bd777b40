"""A copy has the packets of its source, bit by bit, and plays at the same times."""

from pathlib import Path

import av
import pytest

from mma_bench.errors import InvalidInput
from mma_bench.files import file_sha256
from mma_bench.media.facts import media_facts
from mma_bench.media.packets import packet_sha256
from mma_bench.media.remux import remux
from tests.clips import cut_off, make


def test_packets_are_untouched(good: Path, tmp_path: Path) -> None:
    copied = remux(good, tmp_path / "copy.mp4", 10)
    assert copied == 88
    facts = media_facts(good)
    assert media_facts(tmp_path / "copy.mp4") == facts


def test_sound_is_cut_in_whole_packets(good: Path, tmp_path: Path) -> None:
    copied = remux(good, tmp_path / "copy.mp4", 1.0)
    assert copied == 45  # one for priming, then 43.07 a second, up to the one that begins before 1 s
    assert packet_sha256(tmp_path / "copy.mp4", "audio") == packet_sha256(good, "audio", first=45)
    facts = media_facts(tmp_path / "copy.mp4")
    assert facts["video_sha256"] == packet_sha256(good, "video")
    assert 1.0 <= facts["audio_duration_s"] < 1.0 + 1024 / 44_100


def test_a_second_copy_has_the_same_bytes(good: Path, tmp_path: Path) -> None:
    remux(good, tmp_path / "one.mp4", 10)
    remux(good, tmp_path / "two.mp4", 10)
    assert file_sha256(tmp_path / "one.mp4") == file_sha256(tmp_path / "two.mp4")


def test_metadata_stay_behind_and_the_index_comes_first(good: Path, tmp_path: Path) -> None:
    titled = make(tmp_path / "titled.mp4", "-i", str(good), "-c", "copy", "-metadata", "title=A person's name")
    remux(titled, tmp_path / "copy.mp4", 10)
    data = (tmp_path / "copy.mp4").read_bytes()
    assert b"A person's name" in titled.read_bytes()
    assert b"A person's name" not in data
    assert b"Lavf" not in data, "no library version: it would change the bytes"
    assert data.index(b"moov") < data.index(b"mdat")


def test_sight_and_sound_stay_together(good: Path, tmp_path: Path) -> None:
    remux(good, tmp_path / "copy.mp4", 10)
    for path in (good, tmp_path / "copy.mp4"):
        with av.open(path) as container:
            starts = {stream.type: stream.start_time * stream.time_base for stream in container.streams}
        assert starts == {"video": 0, "audio": 0}


def test_a_cut_file_is_refused(good: Path, tmp_path: Path) -> None:
    front = make(tmp_path / "front.mp4", "-i", str(good), "-c", "copy", "-movflags", "+faststart")
    with pytest.raises(InvalidInput) as caught:
        remux(cut_off(front, tmp_path / "cut.mp4", 0.5), tmp_path / "copy.mp4", 10)
    assert caught.value.reason == "truncated"
