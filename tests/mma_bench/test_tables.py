"""A table that breaks its contract is refused by column, on the way out and on the way in."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import DataError
from mma_bench.files import file_sha256
from mma_bench.schema import OUTCOME, Schema, Split
from mma_bench.tables import (
    drops,
    drops_text,
    from_rows,
    outcome_counts,
    outcome_table,
    read_json,
    read_table,
    write_table,
)

SCHEMA: Schema = {"id": pl.String(), "n": pl.Int64()}
GOOD = pl.DataFrame({"id": ["b", "a"], "n": [2, 1]}, schema=SCHEMA)


def test_equal_rows_give_equal_bytes_in_any_order(tmp_path: Path) -> None:
    write_table(GOOD, tmp_path / "one.parquet", SCHEMA, sort_by=["id"])
    write_table(GOOD.reverse(), tmp_path / "two.parquet", SCHEMA, sort_by=["id"])
    assert file_sha256(tmp_path / "one.parquet") == file_sha256(tmp_path / "two.parquet")
    assert read_table(tmp_path / "one.parquet", SCHEMA)["id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (GOOD.drop("n"), "column 'n' is missing"),
        (GOOD.with_columns(n=pl.col("n").cast(pl.Float64)), "column 'n' is Float64, expected Int64"),
        (GOOD.with_columns(more=1), "unexpected column 'more'"),
        (pl.concat([GOOD, GOOD]), "two rows for id=a"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, table: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_table(table, tmp_path / "x.parquet", SCHEMA, sort_by=["id"])
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("content", [None, b"", b"not parquet"])
def test_an_unreadable_table_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet"):
        read_table(path, SCHEMA)


def test_a_refused_row_has_null_facts() -> None:
    assert from_rows([{"id": "a"}], SCHEMA).row(0) == ("a", None)


def test_broken_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text('{"a": ')
    with pytest.raises(DataError, match=r"classes\.json is not JSON"):
        read_json(path)


STAGE: Schema = {"clip_id": pl.String(), "split": pl.String(), **OUTCOME, "path": pl.String(), "source": pl.String()}


def test_a_stages_table_joins_clips_and_how_they_ended() -> None:
    clips = [{"clip_id": name, "split": "test", "source": "a folder", "unasked": 1} for name in ("a", "b")]
    entries = [
        {"status": "ok", "reason": "", "detail": "", "result": {"path": "a.mp4", "source": "a mirror", "note": "x"}},
        {"status": "refused", "reason": "silent", "detail": "b.mp4: -90 dBFS", "result": {}},
    ]
    assert outcome_table(clips, entries, STAGE).rows() == [
        ("a", "test", "ok", "", "", "a.mp4", "a mirror"),
        ("b", "test", "refused", "silent", "b.mp4: -90 dBFS", None, "a folder"),
    ]
    with pytest.raises(ValueError, match="shorter"):
        outcome_table(clips, entries[:1], STAGE)


def test_reasons_that_a_person_can_do_something_about_come_before_many_that_nobody_can() -> None:
    fates = [("unavailable", "not_in_folder")] * 5 + [("refused", "empty_file")] * 2 + [("given_up", "timeout")] * 3
    rows = [
        {"clip_id": f"{number:02}", "status": status, "reason": reason, "detail": f"why {number:02}"}
        for number, (status, reason) in enumerate([("ok", ""), *fates])
    ]
    table = from_rows(rows, STAGE)
    assert drops_text(table) == "3 timeout, 2 empty_file, 5 not_in_folder"
    assert drops(table).row(0) == ("given_up", "timeout", 3, "08", "why 08")
    assert drops_text(table.head(1)) == ""


@given(st.lists(st.tuples(st.sampled_from(list(Split)), st.sampled_from(["", "silent", "too_short"])), max_size=12))
@settings(deadline=None, max_examples=30)
def test_the_counts_of_a_stage_add_up(outcomes: list[tuple[Split, str]]) -> None:
    clips = [{"clip_id": str(number), "split": str(split)} for number, (split, _) in enumerate(outcomes)]
    entries = [
        {"status": "refused" if reason else "ok", "reason": reason, "detail": "", "result": {}}
        for _, reason in outcomes
    ]
    for split, counts in outcome_counts(outcome_table(clips, entries, STAGE)).items():
        total = counts.pop("in")
        assert sum(counts.values()) == total == sum(1 for of, _ in outcomes if of == split)


@pytest.mark.parametrize("at", [*range(-60, -8, 4)])
def test_a_damaged_table_is_an_error_of_its_file(tmp_path: Path, at: int) -> None:
    path = tmp_path / "t.parquet"
    write_table(GOOD, path, SCHEMA, sort_by=["id"])
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    try:
        read_table(path, SCHEMA)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017 - other damage may go unnoticed


def test_a_panic_of_the_reader_is_an_error_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(_: Path) -> None:
        raise pl.exceptions.PanicException("index out of bounds")

    (tmp_path / "t.parquet").touch()
    monkeypatch.setattr(pl, "read_parquet", panic)
    with pytest.raises(DataError, match=r"t\.parquet is not a readable Parquet file \(index out of bounds\)"):
        read_table(tmp_path / "t.parquet", SCHEMA)


def test_a_column_is_left_out_but_must_be_there(tmp_path: Path) -> None:
    schema = {"id": pl.String(), "text": pl.String(), "n": pl.Int64()}
    path = tmp_path / "table.parquet"
    table = pl.DataFrame({"id": ["a", "b"], "text": ["x", "y"], "n": [1, 2]}, schema=schema)
    write_table(table, path, schema, ["id"])
    assert read_table(path, schema, without=["text"]).equals(table.drop("text"))
    with pytest.raises(DataError, match="column 'text' is String, expected Int64"):
        read_table(path, {**schema, "text": pl.Int64()}, without=["text"])
