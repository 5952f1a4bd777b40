"""Clips that are not AudioSet's: each by the manifest, with its own licence; what cannot be used is named."""

import csv
from pathlib import Path

import pytest

from mma_bench.builders.sources import open_source
from mma_bench.builders.sources.clips import ClipsSource
from mma_bench.builders.sources.contracts import Refusal, Segment
from mma_bench.config import load_params
from mma_bench.errors import ClipError, ConfigError, InvalidInput

ROOT = Path(__file__).parents[3]
COLUMNS = ("clip_id", "split", "label_ids", "licence", "file", "source")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = tmp_path / "mine"
    (clips / "sub").mkdir(parents=True)
    (clips / "cat-1.mp4").write_bytes(b"cat")
    (clips / "sub" / "any name.MKV").write_bytes(b"dog")
    (clips / "outside.mp4").symlink_to(ROOT / "README.md")
    return write(
        clips,
        ("cat-1", "eval", "/m/01yrx", "CC BY 4.0, A. Person", "", "home videos"),
        ("dog-1", "eval", "/m/0bt9lr", "CC0-1.0", "sub/any name.MKV", ""),
        ("gone", "eval", "/m/0bt9lr", "CC0-1.0", "", ""),
        ("outside", "eval", "/m/0bt9lr", "CC0-1.0", "outside.mp4", ""),
    )


def write(folder: Path, *rows: tuple[str, ...]) -> Path:
    with (folder / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return folder


def segment(clip_id: str) -> Segment:
    return Segment(clip_id, clip_id, 0.0, 10.0)


def test_a_clip_comes_with_its_own_licence_and_source(folder: Path, tmp_path: Path) -> None:
    source = ClipsSource(folder, max_bytes=100)
    first = source.request(segment("cat-1"))
    fetched = first.fetch(tmp_path / "out.mp4")
    assert (fetched.source, fetched.licence) == ("home videos", "CC BY 4.0, A. Person")
    assert (tmp_path / "out.mp4").read_bytes() == b"cat"
    other = source.request(segment("dog-1"))
    assert (other.suffix, other.remote) == (".mkv", False)
    assert other.fetch(tmp_path / "out.mkv").source == "own clips"


@pytest.mark.parametrize(
    ("clip_id", "reason"),
    [("gone", "not_in_folder"), ("unlisted", "not_in_manifest"), ("outside", "link_leaves_folder")],
)
def test_a_clip_that_is_not_there_is_refused_by_name(folder: Path, clip_id: str, reason: str, tmp_path: Path) -> None:
    request = ClipsSource(folder, max_bytes=100).request(segment(clip_id))
    assert isinstance(request, Refusal)
    with pytest.raises(ClipError) as error:
        request.fetch(tmp_path / "out.mp4")
    assert error.value.reason == reason


def test_a_request_changes_with_the_file_and_its_licence(folder: Path) -> None:
    before = ClipsSource(folder, max_bytes=100).request(segment("cat-1")).revision
    assert ClipsSource(folder, max_bytes=100).request(segment("cat-1")).revision == before
    (folder / "cat-1.mp4").write_bytes(b"another cat")
    after = ClipsSource(folder, max_bytes=100).request(segment("cat-1")).revision
    write(folder, ("cat-1", "eval", "/m/01yrx", "CC0-1.0", "", "home videos"))
    assert len({before, after, ClipsSource(folder, max_bytes=100).request(segment("cat-1")).revision}) == 3


def test_a_file_that_is_too_large_is_not_copied(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="too_many_bytes"):
        ClipsSource(folder, max_bytes=2).request(segment("cat-1")).fetch(tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", "eval", "/m/01yrx", "", "", ""), "line 2, column 'licence': empty"),
        (("a", "eval", "/m/01yrx", "CC0-1.0", "../a.mp4", ""), "line 2: '../a.mp4' leads out of"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, row: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClipsSource(write(folder, row), max_bytes=100)


def test_it_is_chosen_in_params(folder: Path) -> None:
    acquire = load_params(ROOT / "params.yaml").acquire
    chosen = type(acquire).model_validate(acquire.model_dump() | {"source": "clips", "folder": str(folder)})
    assert open_source(chosen).name == "own clips"
    with pytest.raises(ValueError, match="source is 'clips', so 'folder' must name one"):
        type(acquire).model_validate(acquire.model_dump() | {"source": "clips", "folder": None})
