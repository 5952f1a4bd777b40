"""Atomic writes and safe names."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.errors import ConfigError, InvalidInput
from mma_bench.files import atomic_path, clip_path, fingerprint, named_file, remove_strays, write_json


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_no_metric(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "metric.json", {"rate": float("nan")})
    assert list(tmp_path.iterdir()) == []


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]{11}_[0-9]{1,6}", fullmatch=True)))
def test_a_clip_stays_in_its_folder(clip_id: str) -> None:
    folder = Path("clips")
    try:
        path = clip_path(folder, clip_id)
    except InvalidInput:
        return
    assert path.parent == folder
    assert path.name == f"{clip_id}.mp4"
    assert not path.name.startswith(".")


@pytest.mark.parametrize(
    "clip_id", ["", "..", "../x", "a/b", "a\x00b", "x" * 4096, "a\u202eb", ".hidden", "a..b", "a\n"]
)
def test_hostile_ids_are_refused(clip_id: str) -> None:
    with pytest.raises(InvalidInput, match="unsafe_id"):
        clip_path(Path("clips"), clip_id)


def test_a_leading_dash_is_a_youtube_id() -> None:
    assert clip_path(Path("clips"), "--4gqARaEJE_0") == Path("clips/--4gqARaEJE_0.mp4")


def test_strays_are_removed(tmp_path: Path) -> None:
    keep, stray = tmp_path / "test" / "a.mp4", tmp_path / "test" / "b.mp4"
    for path in (keep, stray):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert remove_strays(tmp_path, [keep]) == [stray]
    assert keep.exists()


def test_a_fingerprint_depends_on_values_not_on_key_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})


def test_a_lone_surrogate_is_written_as_its_escape(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", ["\udc80", "é"])
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == ["\udc80", "é"]
    assert len(fingerprint("\udc80")) == 64


def test_a_folder_in_the_place_of_a_file_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"verify\.reviews names .*, which is a folder\n  hint: name a file; look"):
        named_file(tmp_path, "verify.reviews", "look")
    with pytest.raises(ConfigError, match=r"verify\.reviews names '.*absent', which does not exist\n  hint: look"):
        named_file(tmp_path / "absent", "verify.reviews", "look")
    (tmp_path / "here").touch()
    assert named_file(tmp_path / "here", "verify.reviews", "look") == tmp_path / "here"
