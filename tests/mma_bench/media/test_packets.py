"""The identity of streams, and how many packets cover a time."""

from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import InvalidInput
from mma_bench.media.packets import PayloadHash, packet_sha256
from tests.clips import make, plain


def digest(payloads: list[bytes]) -> str:
    taken = PayloadHash()
    for payload in payloads:
        taken.add(av.Packet(payload))
    return taken.hexdigest()


def test_identity_does_not_depend_on_the_container(good: Path, tmp_path: Path) -> None:
    copies = [make(tmp_path / f"copy.{suffix}", "-i", str(good), "-c", "copy") for suffix in ("mkv", "mov", "mp4")]
    for kind in ("video", "audio"):
        assert {packet_sha256(copy, kind) for copy in copies} == {packet_sha256(good, kind)}
    assert packet_sha256(good, "video") != packet_sha256(good, "audio")


def test_identity_depends_on_every_packet(good: Path, tmp_path: Path) -> None:
    shorter = make(tmp_path / "shorter.mp4", "-i", str(good), "-c", "copy", "-frames:v", "49")
    assert packet_sha256(shorter, "video") == packet_sha256(good, "video", first=49)
    assert packet_sha256(shorter, "video") != packet_sha256(good, "video")
    assert packet_sha256(good, "video", first=50) == packet_sha256(good, "video")
    with pytest.raises(InvalidInput) as caught:
        packet_sha256(good, "video", first=51)
    assert caught.value.reason == "too_few_packets"
    assert "50 video packets" in caught.value.detail


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=5), st.lists(st.binary(min_size=1, max_size=4), max_size=5))
@settings(deadline=None, max_examples=100)
def test_hashes_agree_only_where_all_payloads_do(one: list[bytes], other: list[bytes]) -> None:
    assert (digest(one) == digest(other)) == (one == other)
    merged = [b"".join(one)] if one else []
    assert (digest(one) == digest(merged)) == (one == merged), "boundaries count"


def test_the_empty_packet_at_the_end_does_not_count() -> None:
    assert digest([b"ab", b""]) == digest([b"ab"])


def test_a_stream_that_is_not_there(tmp_path: Path) -> None:
    mute = make(tmp_path / "mute.mp4", *plain("red"))
    with pytest.raises(InvalidInput) as caught:
        packet_sha256(mute, "audio")
    assert caught.value.reason == "no_audio_stream"
