"""A dataset copied to an fsspec path arrives whole or without its list, and a copy that was stopped resumes."""

import hashlib
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mma_bench.builders.package import CHECKSUMS
from mma_bench.builders.publish.shards import SENT, copy
from mma_bench.errors import ConfigError, DataError, StageError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three files and their list."""
    return write(
        tmp_path / "dataset", {"README.md": b"card", "aligned/test-0.parquet": b"one", "z/test-0.parquet": b"2"}
    )


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    (folder / CHECKSUMS).write_text("".join(lines))
    return folder


@pytest.fixture
def target() -> str:
    return f"memory://bucket-{uuid.uuid4().hex}/mma-bench"


def files(url: str) -> dict[str, bytes]:
    system, root = fsspec.core.url_to_fs(url)
    return {path.removeprefix(root).lstrip("/"): system.cat_file(path) for path in system.find(root)}


def local(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_arrive_and_a_second_copy_sends_nothing(dataset: Path, target: str, tmp_path: Path) -> None:
    assert vars(copy(dataset, target)) == {"sent": 3, "kept": 0, "bytes": 8}
    assert files(target) == local(dataset)
    assert vars(copy(dataset, target)) == {"sent": 0, "kept": 3, "bytes": 0}
    copy(dataset, f"file://{tmp_path}/elsewhere")
    assert local(tmp_path / "elsewhere") == local(dataset)


def test_only_what_changed_is_sent(dataset: Path, target: str) -> None:
    copy(dataset, target)
    write(dataset, {"README.md": b"card", "aligned/test-0.parquet": b"new", "z/test-0.parquet": b"2"})
    assert vars(copy(dataset, target)) == {"sent": 1, "kept": 2, "bytes": 3}
    assert files(target) == local(dataset)


def test_a_copy_that_was_stopped_has_no_list_and_resumes(
    dataset: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(dataset, target)
    write(dataset, {"README.md": b"next", "aligned/test-0.parquet": b"new", "z/test-0.parquet": b"2"})
    real = MemoryFileSystem.put_file

    def failing(self: Any, source: str, path: str, **other: Any) -> None:
        if path.endswith("aligned/test-0.parquet"):
            raise OSError("the bucket is full")
        real(self, source, path, **other)

    monkeypatch.setattr(MemoryFileSystem, "put_file", failing)
    with pytest.raises(StageError, match="the bucket is full"):
        copy(dataset, target)
    assert CHECKSUMS not in files(target), "half a dataset must not look like a whole one"
    monkeypatch.setattr(MemoryFileSystem, "put_file", real)
    assert vars(copy(dataset, target)) == {"sent": 1, "kept": 2, "bytes": 3}
    assert files(target) == local(dataset)
    assert SENT not in files(target)


@pytest.mark.parametrize("record", [b"", b'{"READ', b"[]", b'{"README.md": 1}', b"\xff"])
def test_a_record_that_cannot_be_read_sends_every_file_again(dataset: Path, target: str, record: bytes) -> None:
    copy(dataset, target)
    system = MemoryFileSystem()
    system.pipe_file(f"{target.removeprefix('memory:/')}/{SENT}", record)
    assert copy(dataset, target).kept == 0
    assert files(target) == local(dataset) | {f"{SENT}.damaged": record}


def test_a_file_that_arrives_cut_is_named(dataset: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFileSystem, "size", lambda self, path: 1)
    with pytest.raises(StageError, match=r"README\.md has 1 bytes, 4 were sent"):
        copy(dataset, target)
    assert CHECKSUMS not in files(target)


def test_what_cannot_be_copied_is_named(dataset: Path, target: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tape://box"):
        copy(dataset, "tape://box")
    with pytest.raises(DataError, match="holds no dataset"):
        copy(tmp_path, target)
    (dataset / "README.md").write_text("changed")
    with pytest.raises(DataError, match=r"README\.md is missing or does not match"):
        copy(dataset, target)
    for line in (f"{'0' * 64}  ../../secret", f"{'0' * 64}  /etc/passwd", f"{'0' * 64}  ", f"{'x' * 64}  a", "\udcff"):
        (dataset / CHECKSUMS).write_bytes(f"{'0' * 64}  README.md\n{line}\n".encode(errors="surrogateescape"))
        with pytest.raises(DataError, match="line 2: not the checksum of a file"):
            copy(dataset, target)
    assert files(target) == {}
