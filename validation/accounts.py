"""Facts about whole tables: missing ids, changed values, and whether reported counts are correct."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from mma_bench.config import RayParams
from mma_bench.progress import Progress
from mma_bench.schema import FILE
from mma_bench.validation.hashes import file_hashes


def outer_join_ids(expected: pl.Series, present: pl.Series) -> pl.DataFrame:
    """One row per id in either series: the id (named as in `expected`) and booleans `expected` and `present`."""
    name = expected.name
    # Not `pl.DataFrame({name: ids, "present": True})`, which loses the type of empty ids.
    listed = expected.unique().to_frame(name).with_columns(expected=pl.lit(True))
    found = present.unique().to_frame(name).with_columns(present=pl.lit(True))
    return (
        listed.join(found, on=name, how="full", coalesce=True)
        .with_columns(pl.col("expected", "present").fill_null(False))
        .sort(name)
    )


def differs_in(table: pl.DataFrame, reference: pl.DataFrame, key: str, columns: Sequence[str]) -> pl.Series:
    """For each row of `table`, the first of `columns` that differs from the row of `reference` with the same key.

    Null where all agree, "(no such row)" where `reference` has no such key. Its keys must be unique.
    """
    there = reference.select(key, *(pl.col(column).alias(f"{column}.there") for column in columns))
    both = table.select(key, *columns).join(
        there.with_columns(known=pl.lit(True)), on=key, how="left", maintain_order="left"
    )
    first = [
        pl.when(_comparable(both, column).ne_missing(_comparable(both, f"{column}.there"))).then(pl.lit(column))
        for column in columns
    ]
    unknown = pl.when(pl.col("known").is_null()).then(pl.lit("(no such row)"))
    return both.select(pl.coalesce(unknown, *first, pl.lit(None, pl.String())).alias("differs_in"))["differs_in"]


def _comparable(table: pl.DataFrame, column: str) -> pl.Expr:
    expression = pl.col(column)
    return expression.list.join("\x1f") if table.schema[column] == pl.List(pl.String()) else expression


def first_null(columns: Iterable[str]) -> pl.Expr:
    """The first of `columns` that is null in a row; null if none is."""
    return pl.coalesce(
        *(pl.when(pl.col(column).is_null()).then(pl.lit(column)) for column in columns), pl.lit(None, pl.String())
    )


def first_given(columns: Iterable[str]) -> pl.Expr:
    """The first of `columns` that is not null in a row; null if all are."""
    return pl.coalesce(
        *(pl.when(pl.col(column).is_not_null()).then(pl.lit(column)) for column in columns), pl.lit(None, pl.String())
    )


def count_rows(reported: Mapping[str, Mapping[str, int]], table: pl.DataFrame, group: str = "split") -> pl.DataFrame:
    """A stage's reported counts next to those of its table.

    Args:
        reported: Group → {"in": rows, reason: rows, ..., "ok": rows}.
        table: With the columns `group`, status, reason.
        group: The column to count by.

    Returns:
        `count` (e.g. "test.ok"), `reported`, `counted`; one row per count on either side, 0 if a side lacks it.
    """
    counted = {f"{name}.in": rows for name, rows in table.group_by(group).len().iter_rows()}
    for name, status, reason, rows in table.group_by(group, "status", "reason").len().iter_rows():
        key = f"{name}.{'ok' if status == 'ok' else reason or status}"
        counted[key] = counted.get(key, 0) + rows
    said = {f"{name}.{key}": rows for name, counts in reported.items() for key, rows in counts.items()}
    return counts_beside(said, counted)


def counts_beside(reported: Mapping[str, int], counted: Mapping[str, int]) -> pl.DataFrame:
    """`count`, `reported`, `counted`: one row per key of either, 0 if one lacks it."""
    keys = sorted({*reported, *counted})
    return pl.DataFrame(
        {
            "count": keys,
            "reported": [reported.get(key, 0) for key in keys],
            "counted": [counted.get(key, 0) for key in keys],
        },
        schema={"count": pl.String(), "reported": pl.Int64(), "counted": pl.Int64()},
    )


def file_states(table: pl.DataFrame, title: str, workers: int, ray: RayParams | None = None) -> pl.Series:
    """For each row (columns of FILE): "as recorded", "missing" or "changed"; null if the row has no file.

    A file that several rows name is read once.

    Args:
        table: With the columns of FILE.
        title: See `file_hashes`, as are the others.
        workers: Files at a time.
        ray: How to reach Ray; None: this machine.
    """
    paths = table["path"].drop_nulls().unique().sort().to_list()
    hashes = file_hashes([Path(path) for path in paths], workers=workers, title=title, ray=ray)
    with Progress(f"{title}: hash clips", len(paths), unit="file") as progress:
        found = {}
        for path, sha256 in zip(paths, hashes, strict=True):
            found[path] = sha256
            progress.advance()
    states = [_state(found.get(path), path, sha256) for path, sha256 in table.select(list(FILE)).iter_rows()]
    return pl.Series("file_state", states, dtype=pl.String())


def _state(found: str | None, path: str | None, recorded: str | None) -> str | None:
    if path is None:
        return None
    if found is None:
        return "missing"
    return "as recorded" if found == recorded else "changed"
