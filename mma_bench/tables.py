"""Tables between stages: Parquet files whose columns and types are checked on reading and writing."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench.errors import DataError
from mma_bench.files import atomic_path
from mma_bench.schema import OUTCOME, Schema, Split

_OUTCOMES = 1_000  # rows that are dictionaries at a time; some hold texts of tens of kilobytes
_PART = 100  # rows: some hold texts of tens of kilobytes


def conform(table: pl.DataFrame, schema: Schema, where: str) -> pl.DataFrame:
    """Return `table` with exactly the schema's columns, in its order.

    Raises:
        DataError: A column is missing, unexpected, or of another type; names `where` and the column.
    """
    for column, dtype in schema.items():
        if column not in table.columns:
            raise DataError(f"{where}: column {column!r} is missing", hint="rebuild the stage that writes this table")
        if table.schema[column] != dtype:
            raise DataError(
                f"{where}: column {column!r} is {table.schema[column]}, expected {dtype}",
                hint="rebuild the stage that writes this table",
            )
    extra = [column for column in table.columns if column not in schema]
    if extra:
        raise DataError(f"{where}: unexpected column {extra[0]!r}", hint="rebuild the stage that writes this table")
    return table.select(list(schema))


def read_table(path: Path, schema: Schema, without: Collection[str] = ()) -> pl.DataFrame:
    """Read a table written by `write_table`.

    Args:
        path: The file.
        schema: Of the whole table.
        without: Columns to leave out of memory, such as long texts.

    Raises:
        DataError: The file is missing, is not a Parquet file, or violates the schema.
    """
    if not without:
        with _readable(path):
            table = pl.read_parquet(path)
        return conform(table, schema, str(path))
    with _readable(path):
        conform(pl.read_parquet(path, n_rows=0), schema, str(path))
        kept = [name for name in schema if name not in without]
        return pl.read_parquet(path, columns=kept).select(kept)


def read_parts(path: Path, schema: Schema, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Some columns of a table written by `write_table`, a hundred rows at a time; at least one part.

    Raises:
        DataError: As `read_table`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path, pa.ArrowException):
        empty = pl.read_parquet(path, n_rows=0)
        yield conform(empty, schema, str(path)).select(columns)
        # Through a buffer, and not by polars, which would hold whole row groups: the table may be one.
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(_PART, columns=list(columns)):
                part = pl.DataFrame(pl.from_arrow(batch))
                yield part.select(pl.col(name).cast(schema[name]) for name in columns)


@contextmanager
def _readable(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Inside, the table is read; polars' errors, and `errors`, become a DataError that names it."""
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="run `dvc repro`, or the stage that writes it (see dvc.yaml)")
    unreadable: tuple[type[BaseException], ...] = (pl.exceptions.PolarsError, pl.exceptions.PanicException, *errors)
    try:
        yield
    except unreadable as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({error})", hint="delete it and run `dvc repro`"
        ) from None


def write_table(table: pl.DataFrame, path: Path, schema: Schema, sort_by: Sequence[str]) -> None:
    """Check, sort by `sort_by` (which must be unique per row) and write atomically; equal rows give equal bytes."""
    checked = conform(table, schema, str(path)).sort(sort_by)
    if checked.select(sort_by).is_duplicated().any():
        twice = checked.filter(checked.select(sort_by).is_duplicated()).row(0, named=True)
        raise DataError(f"{path}: two rows for {', '.join(f'{key}={twice[key]}' for key in sort_by)}")
    with atomic_path(path) as staged:
        checked.write_parquet(staged, compression="zstd", statistics=True)


def from_rows(rows: Sequence[dict[str, Any]], schema: Schema) -> pl.DataFrame:
    """A table from rows; columns missing from a row (a refused clip has no duration) are null."""
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema, orient="row")


def outcome_table(
    clips: Iterable[Mapping[str, Any]], entries: Iterable[Mapping[str, Any]], schema: Schema
) -> pl.DataFrame:
    """The table of a clip-by-clip stage: for each clip its own columns, its outcome, and its result.

    Args:
        clips: The clips' columns; a column that is also in the result is taken from the result.
        entries: The executor's entries of the same clips, in the same order.
        schema: Columns not in it are dropped.
    """
    rows = (
        {**clip, **{name: escaped(entry[name]) for name in OUTCOME}, **entry["result"]}
        for clip, entry in zip(clips, entries, strict=True)
    )
    parts = [from_rows([], schema)]
    while part := list(islice(rows, _OUTCOMES)):
        parts.append(from_rows(part, schema))
    return pl.concat(parts, rechunk=True)


def escaped(text: str) -> str:
    """Lone surrogates, which Parquet cannot hold, as escapes."""
    return text.encode(errors="backslashreplace").decode()


def outcome_counts(table: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Per split of a stage's table: rows `in`, each reason for not being ok, `ok`. The parts add up to `in`."""
    counts = {}
    for split in Split:
        rows = table.filter(pl.col("split") == split)
        reasons = Counter(rows.filter(pl.col("status") != "ok")["reason"])
        counts[str(split)] = {"in": rows.height, **dict(sorted(reasons.items())), "ok": rows.height - reasons.total()}
    return counts


def drops(table: pl.DataFrame) -> pl.DataFrame:
    """One row per reason for which clips are not ok: `status`, `reason`, `clips`, and `first` and `detail` of one clip.

    Reasons that a person can do something about come first (an empty file, a time-out), then those of clips that the
    source does not have (`unavailable`); within each the most frequent.

    Args:
        table: Columns clip_id, and those of OUTCOME.
    """
    dropped = table.filter(pl.col("status") != "ok").sort("clip_id")
    counted = dropped.group_by("status", "reason", maintain_order=True).agg(
        clips=pl.len(), first=pl.first("clip_id"), detail=pl.first("detail")
    )
    order = [pl.col("status") == "unavailable", "clips", "reason"]
    return counted.sort(order, descending=[False, True, False])


def drops_text(table: pl.DataFrame) -> str:
    """The reasons and their clips in the order of `drops`: `3 empty_file, 7,407 not_in_folder`."""
    return ", ".join(f"{row['clips']:,} {row['reason'] or row['status']}" for row in drops(table).to_dicts())


def counts_of_splits(table: pl.DataFrame) -> dict[str, dict[str, int]]:
    """As `outcome_counts`, without splits that have no rows in the table."""
    return {split: counts for split, counts in outcome_counts(table).items() if counts["in"]}


def read_json(
    path: Path,
    *,
    missing: str = "run `dvc repro`, or the stage that writes it",
    broken: str = "delete it and run `dvc repro`",
) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        missing: What to do if there is no such file; by default, that it is a stage's.
        broken: What to do if it is not JSON; likewise.

    Raises:
        DataError: The file is missing or is not JSON; names file, line and column.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", hint=missing) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON ({error})", hint=broken) from None
