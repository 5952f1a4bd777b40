"""Shards: the right member is read in place; a shard with anything hostile in it is refused whole."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mma_bench.builders.sources.contracts import Refusal, Segment
from mma_bench.builders.sources.tar import TarRead, TarSource
from mma_bench.errors import ConfigError, InvalidInput
from tests.clips import AAC, H264, make, picture, tone

A = "a" * 11


def member(name: str, data: bytes = b"clip", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


def shard(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Five clips of 10 s, each with other bytes."""
    folder = tmp_path_factory.mktemp("clips")
    return [
        make(folder / f"{n}.mp4", *picture(10, "32x32", "5"), *tone(10, 300 + n, 8000), *H264, *AAC).read_bytes()
        for n in range(5)
    ]


def test_members_are_found_by_name_and_read_in_place(tmp_path: Path, clips: list[bytes]) -> None:
    thirty, five, long_name, forty, again = clips
    shard(
        tmp_path / "shards/0/00000.tar",
        member(f"{A}_30000.mp4", thirty),
        member(f"{A}_30000.json", b"{}"),
        member(f"deep/Y{'b' * 11}_5.mkv", five),
        member("x" * 150 + "/" + "c" * 11 + "_1.webm", long_name),
    )
    shard(tmp_path / "shards/1.tar", member(f"{A}_40000.mp4", forty), member(f"{A}_30000.mp4", again))
    source = TarSource(tmp_path / "shards", max_bytes=1_000_000)
    for video, start, data, suffix in (
        (A, 30.0, thirty, ".mp4"),
        (A, 40.0, forty, ".mp4"),
        ("b" * 11, 5.0, five, ".mkv"),
        ("c" * 11, 1.0, long_name, ".webm"),
    ):
        request = source.request(Segment("id", video, start, start + 10))
        assert request.suffix == suffix
        into = tmp_path / f"{video}{start}{suffix}"
        fetched = request.fetch(into)
        assert into.read_bytes() == data
        assert fetched.source == "WebDataset shards of AudioSet clips"
        assert ("took" in fetched.note) == (data == thirty)
    missing = source.request(Segment("id", A, 50.0, 60.0))
    assert isinstance(missing, Refusal)
    assert missing.error.reason == "not_in_shards"
    assert source.account.describe() == ""


def test_a_bad_member_does_not_hide_a_good_one(tmp_path: Path, clips: list[bytes]) -> None:
    bad, good = member(f"{A}_30_40.mp4", b"<html>"), member(f"Y{A}.mp4", clips[0])
    shard(tmp_path / "s/0.tar", bad, good, member("other.mp4"))
    source = TarSource(tmp_path / "s", max_bytes=1_000_000)
    fetched = source.request(Segment("id", A, 30.0, 40.0)).fetch(tmp_path / "x.mp4")
    assert (tmp_path / "x.mp4").read_bytes() == clips[0]
    assert "a page of HTML" in fetched.note
    assert "1 with a name of no known form" in source.account.describe()


def test_a_member_that_is_longer_than_its_name_is_refused(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mp4", *picture(60, "32x32", "1"), *tone(60, 300, 8000), *H264, *AAC).read_bytes()
    shard(tmp_path / "s/0.tar", member(f"{A}_30_40.mp4", whole))
    with pytest.raises(InvalidInput, match="longer_than_named"):
        TarSource(tmp_path / "s", max_bytes=1_000_000).request(Segment("id", A, 30.0, 40.0)).fetch(tmp_path / "x.mp4")


def test_a_changed_shard_is_another_revision(tmp_path: Path) -> None:
    wanted = Segment("id", A, 30.0, 40.0)
    path = shard(tmp_path / "s/0.tar", member(f"{A}_30.mp4"))
    first = TarSource(tmp_path / "s", max_bytes=100).request(wanted).revision
    assert TarSource(tmp_path / "s", max_bytes=100).request(wanted).revision == first
    shard(path, member(f"{A}_30.mp4", b"other"))
    assert TarSource(tmp_path / "s", max_bytes=100).request(wanted).revision != first


def test_a_large_member_is_refused_alone(tmp_path: Path) -> None:
    shard(tmp_path / "s/0.tar", member(f"{A}_30.mp4", bytes(101)))
    request = TarSource(tmp_path / "s", max_bytes=100).request(Segment("id", A, 30.0, 40.0))
    assert isinstance(request, TarRead)
    with pytest.raises(InvalidInput, match="too_many_bytes"):
        request.fetch(tmp_path / "x.mp4")


def _bomb(path: Path) -> None:
    """A header that claims 8 GB and has four bytes."""
    info = tarfile.TarInfo(f"{A}_30.mp4")
    info.size = 8 << 30
    path.write_bytes(info.tobuf() + b"four")


def _header_bomb(path: Path) -> None:
    """An extended header of 1 MB, as would be one of many GB."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 20
    path.write_bytes(info.tobuf() + bytes(1 << 20) + bytes(1024))


def _sparse(path: Path) -> None:
    info = tarfile.TarInfo(f"{A}_30.mp4")
    info.type = tarfile.GNUTYPE_SPARSE
    path.write_bytes(info.tobuf(format=tarfile.GNU_FORMAT) + bytes(1024))


def _negative(path: Path) -> None:
    """An extended header with a size below zero, behind which the file goes on."""
    info = tarfile.TarInfo(f"{A}_30.mp4")
    info.pax_headers = {"size": "-5"}
    path.write_bytes(info.tobuf(format=tarfile.PAX_FORMAT) + bytes(4096))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "an absolute name": lambda path: shard(path, member("/etc/passwd")),
    "a name that leaves the shard": lambda path: shard(path, member(f"x/../../{A}_30.mp4")),
    "a link or a device": lambda path: shard(path, member(f"{A}_30.mp4", b"", type=tarfile.SYMTYPE, linkname="/etc")),
    "a link or a device ": lambda path: shard(path, member(f"{A}_30.mp4", b"", type=tarfile.LNKTYPE, linkname="x")),
    "a link or a device  ": lambda path: shard(path, member("zero", b"", type=tarfile.CHRTYPE)),
    "more than the rest of the file": _bomb,
    "a header of 1048576 bytes": _header_bomb,
    "a sparse member": _sparse,
    "a member of -5 bytes": _negative,
    "it is not a complete tar file": lambda path: path.write_bytes(b"not a tar " * 200),
}


@pytest.mark.parametrize("why", HOSTILE)
def test_a_hostile_shard_is_refused_whole(tmp_path: Path, why: str) -> None:
    shard(tmp_path / "s/0.tar", member(f"{A}_30.mp4"))
    HOSTILE[why](tmp_path / "s/1.tar")
    with pytest.raises(ConfigError) as raised:
        TarSource(tmp_path / "s", max_bytes=100)
    assert why.strip() in str(raised.value)
    assert "1.tar" in str(raised.value)


def test_compressed_shards_are_left_out_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard(tmp_path / "s/0.tar", member(f"{A}_30.mp4"))
    shard(tmp_path / "s/1.tar.gz", member(f"{A}_40.mp4"), mode="w:gz")
    source = TarSource(tmp_path / "s", max_bytes=100)
    assert isinstance(source.request(Segment("id", A, 40.0, 50.0)), Refusal)
    assert "1 compressed shards are skipped" in capsys.readouterr().err


def test_no_folder_and_no_clip(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a directory"):
        TarSource(tmp_path / "none", max_bytes=1)
    with pytest.raises(ConfigError, match=r"holds no \.tar file"):
        TarSource(tmp_path, max_bytes=1)
