"""Availability: which clips were available on which day, and the name of the subset that this build holds.

`data/availability.csv` has a row per clip with the day of its last attempt. Nothing in the build depends on it.
`metrics/subset.json` names the surviving subset by its hash: equal names mean equal clips in equal splits.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.executor.ledger import Entry
from mma_bench.files import write_json, write_text
from mma_bench.frozen import subset_name
from mma_bench.tables import drops, drops_text

AVAILABILITY: Final = layout.DATA / "availability.csv"
COLUMNS: Final = ("split", "clip_id", "video_id", "start_s", "source", "status", "reason", "checked")


def availability(acquired: pl.DataFrame, entries: Iterable[Entry]) -> pl.DataFrame:
    """One row per clip, sorted by split and clip id.

    Args:
        acquired: Schema ACQUIRED.
        entries: From the executor, with `key` (the clip id) and `at`.
    """
    schema = dict.fromkeys(("clip_id", "checked"), pl.String())
    days = pl.DataFrame([(entry["key"], _day(entry)) for entry in entries], schema=schema, orient="row")
    dated = acquired.join(days, on="clip_id", how="left")
    return dated.select(COLUMNS).sort("split", "clip_id")


def _day(entry: Entry) -> str:
    return str(entry.get("at", ""))[:10]


def subset(acquired: pl.DataFrame, manifest: str | None) -> Mapping[str, Any]:
    """The wanted clips that are available: counts by split, and the name of the set.

    Args:
        acquired: Schema ACQUIRED.
        manifest: The frozen manifest's path, if there is one.
    """
    here = acquired.filter(pl.col("status") == "ok")
    splits = sorted(acquired["split"].unique())
    return {
        "manifest": manifest,
        "sha256": subset_name(here),
        **{
            split: {
                "wanted": acquired.filter(pl.col("split") == split).height,
                "here": here.filter(pl.col("split") == split).height,
            }
            for split in splits
        },
    }


def publish(acquired: pl.DataFrame, entries: Iterable[Entry], manifest: str | None) -> str:
    """Write both files; returns a one-line summary of the missing clips."""
    table = availability(acquired, entries)
    write_text(AVAILABILITY, table.write_csv())
    write_json(layout.metrics("subset"), subset(acquired, manifest))
    missing = table.filter(pl.col("status") != "ok")
    if missing.is_empty():
        return f"all {table.height} clips are available"
    first = drops(acquired).row(0, named=True)
    example = f"{first['first']} is {first['reason']}: {first['detail']}"
    counts = drops_text(acquired)
    return f"{missing.height} of {table.height} clips are missing ({counts}), listed in {AVAILABILITY}; {example}"
