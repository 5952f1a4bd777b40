"""Facts about whole tables."""

from pathlib import Path

import polars as pl
import pytest

from mma_bench.validation.accounts import count_rows, differs_in, file_states, first_given, first_null, outer_join_ids


def test_roll_call_finds_who_is_missing_and_who_was_not_called() -> None:
    found = outer_join_ids(pl.Series("clip_id", ["a", "b", "b"]), pl.Series("x", ["b", "c", "c"]))
    assert found.rows() == [("a", True, False), ("b", True, True), ("c", False, True)]


def test_differences_name_the_first_column_that_differs() -> None:
    there = pl.DataFrame({"id": ["a", "b", "c"], "n": [1, None, 3], "labels": [["x"], ["x", "y"], []]})
    here = pl.DataFrame({"id": ["c", "b", "a", "z"], "n": [3, 2, 1, 1], "labels": [["x"], ["y", "x"], ["x"], ["x"]]})
    assert differs_in(here, there, "id", ["n", "labels"]).to_list() == ["labels", "n", None, "(no such row)"]


def test_nulls_are_equal_to_each_other_and_to_nothing_else() -> None:
    there = pl.DataFrame({"id": ["a", "b"], "n": [None, 1]}, schema={"id": pl.String(), "n": pl.Int64()})
    assert differs_in(there, there, "id", ["n"]).to_list() == [None, None]
    assert differs_in(there.with_columns(n=pl.lit(0)), there, "id", ["n"]).to_list() == ["n", "n"]


def test_order_of_columns_decides_which_null_is_named() -> None:
    table = pl.DataFrame({"a": [1, None, None], "b": [None, 2, None]})
    assert table.select(first_null(["b", "a"])).to_series().to_list() == ["b", "a", "b"]
    assert table.select(first_given(["b", "a"])).to_series().to_list() == ["a", "b", None]


def test_counts_stand_side_by_side() -> None:
    table = pl.DataFrame(
        {"split": ["test", "test", "train"], "status": ["ok", "refused", "refused"], "reason": ["", "silent", ""]}
    )
    found = count_rows({"test": {"in": 2, "ok": 2}}, table)
    assert found.rows() == [
        ("test.in", 2, 2),
        ("test.ok", 2, 1),
        ("test.silent", 0, 1),
        ("train.in", 0, 1),
        ("train.refused", 0, 1),
    ]


def test_files_are_read_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    table = pl.DataFrame({"path": ["a", "a", "b", None], "sha256": [empty, "0" * 64, empty, None]})
    assert file_states(table, "hash", 2).to_list() == ["as recorded", "changed", "missing", None]
