"""The list of tombstones: complete rows of distinct ids, or refused by its line."""

from datetime import date
from pathlib import Path

import pytest

from mma_bench.builders.sources.tombstones import add_tombstone, read_tombstones
from mma_bench.errors import ConfigError, DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tombstones.csv"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,asked,gestern\n", "line 2, column 'date': 'gestern' is not a day in the form 2026-01-31"),
        ("a,asked,20260131\n", "line 2, column 'date': '20260131' is not a day"),
        ("a,asked,2026-02-30\n", "line 2, column 'date': '2026-02-30' is not a day"),
        ("a,asked,\n", "line 2, column 'date': '' is not a day"),
        ("a,,2026-01-01\n", "line 2, column 'reason': empty"),
        ("a,asked,2026-01-01\nb,asked,2026-01-01\na,again,2026-01-02\n", "line 4: id 'a' is already in .*, line 2"),
    ],
)
def test_a_row_that_is_incomplete_or_contradicts_another_is_refused(path: Path, rows: str, said: str) -> None:
    path.write_text(f"id,reason,date\n{rows}")
    with pytest.raises(DataError, match=said):
        read_tombstones(path)


def test_equal_rows_are_one(path: Path) -> None:
    path.write_text("id,reason,date\na,asked,2026-01-01\na,asked,2026-01-01\n")
    assert list(read_tombstones(path)) == ["a"]
    assert add_tombstone(path, "b", "asked", date(2026, 1, 2))
    assert path.read_text() == "id,reason,date\na,asked,2026-01-01\nb,asked,2026-01-02\n"


@pytest.mark.parametrize("reason", ["#N/A", "'-cat", '="A cat"', 'a, "b"'])
def test_a_reason_is_kept_as_it_was_given(path: Path, reason: str) -> None:
    path.write_text("id,reason,date\n")
    add_tombstone(path, "-bcdefghijk", reason, date(2026, 1, 1))
    assert read_tombstones(path)["-bcdefghijk"].reason == reason


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"acquire\.tombstones names .*, which is a folder"):
        read_tombstones(tmp_path)
