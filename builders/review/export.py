"""From votes to files: the table that the stage `verify` reads, and what must be known about it.

`reviews.parquet` (schema REVIEWS) has one row for each clip and person, under random ids; equal votes give equal
bytes. `reviews.json` beside it names its version (its hash), the wordings that people were shown, the decisions, the
split clips, agreement, attention, whose votes were left out and, after adjudication, the votes that were overruled.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
from sqlalchemy import select

from mma_bench.builders.review.consensus import as_report, attention, settle
from mma_bench.builders.review.store import Store, items
from mma_bench.builders.review.votes import current
from mma_bench.errors import ConfigError, DataError
from mma_bench.files import file_sha256, write_json
from mma_bench.schema import REVIEWS
from mma_bench.tables import from_rows, write_table
from mma_bench.web.store import annotators

FOLDER: Final = Path("reviews")


def votes_table(store: Store) -> pl.DataFrame:
    """The current votes on the review set, controls and adjudicators' votes included (schema REVIEWS)."""
    with store.reading() as connection:
        codes = {row.id: row.code for row in connection.execute(select(annotators.c.id, annotators.c.code))}
        rows = [
            {
                **vote._mapping,
                "annotator": codes[vote.annotator],
                "reviewed_at": datetime.fromtimestamp(vote.at, UTC).isoformat(timespec="seconds"),
                "is_control": bool(vote.failing),
            }
            for vote in connection.execute(current())
        ]
    return from_rows(rows, REVIEWS).sort("clip_id", "annotator")


def adjudicators(store: Store) -> frozenset[str]:
    """The anonymous ids of those who decide split votes."""
    with store.reading() as connection:
        return frozenset(connection.execute(select(annotators.c.code).where(annotators.c.adjudicator)).scalars())


def controls(store: Store) -> dict[str, tuple[str, ...]]:
    """Active controls: clip id → the criteria that are not met."""
    chosen = select(items.c.clip_id, items.c.failing).where(items.c.active & (items.c.failing != ""))
    with store.reading() as connection:
        return {clip: tuple(failing.split(",")) for clip, failing in connection.execute(chosen)}


def names(store: Store) -> dict[str, str]:
    """Anonymous id → name, which no exported file has."""
    with store.reading() as connection:
        return {row.code: row.name for row in connection.execute(select(annotators.c.code, annotators.c.name))}


def export(
    store: Store, folder: Path, needed: int, *, adjudicated: bool = False, without: Collection[str] = ()
) -> dict[str, Any]:
    """Write both files; returns what `reviews.json` says.

    Args:
        needed: How many people must agree.
        adjudicated: Let adjudicators decide split votes; otherwise their votes are left out.
        without: Names of people whose votes are left out, so that their clips count as judged by fewer.

    Raises:
        ConfigError: `without` has a name that nobody has.
        DataError: There is no vote.
    """
    codes = {name: code for code, name in names(store).items()}
    if unknown := sorted({name.casefold() for name in without} - codes.keys()):
        raise ConfigError(f"there is no annotator named {unknown[0]!r}", hint="`mma-bench review status` lists them")
    left_out = sorted({codes[name.casefold()] for name in without})
    votes = votes_table(store).filter(~pl.col("annotator").is_in(left_out))
    third = adjudicators(store)
    by_two = votes.filter(~pl.col("annotator").is_in(sorted(third)))
    exported, overruled = settle(votes, third) if adjudicated else (by_two, votes.clear())
    if exported.is_empty():
        raise DataError(f"{store.where} holds no vote", hint="name the right one with --database, or have clips judged")
    path = folder / "reviews.parquet"
    write_table(exported, path, REVIEWS, ["clip_id", "annotator"])
    report = {
        "version": file_sha256(path),
        "votes": exported.filter(~pl.col("is_control")).height,
        "annotators": exported["annotator"].n_unique(),
        "annotators_per_clip": needed,
        "guideline_versions": sorted(exported["guideline_version"].unique()),
        "adjudicated": adjudicated,
        **as_report(by_two, needed),
        **({"settled": as_report(exported, needed)["decisions"]} if adjudicated else {}),
        "overruled": overruled.select("clip_id", "annotator").rows(named=True),
        "left_out": left_out,
        "attention": attention(by_two, controls(store)),
    }
    write_json(folder / "reviews.json", report)
    return report
