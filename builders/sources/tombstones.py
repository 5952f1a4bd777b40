"""Tombstones: clips and videos that must never be fetched again or redistributed, each with a reason and a date.

The list is a small CSV under version control, so that every later build and every fork honours it. An id names a clip
(one segment) or a video (all of its segments).
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import AfterValidator, ConfigDict

from mma_bench import layout
from mma_bench.builders.sources.known_ids import known_ids, near_ids, refuse_implausible
from mma_bench.csv_rows import ClipId, CsvRow, Filled, csv_text, read_rows
from mma_bench.errors import ConfigError, DataError, InvalidInput
from mma_bench.files import clip_path, named_file, write_text
from mma_bench.redact import redacted

_COLUMNS = ("id", "reason", "date")
_LONGEST_REASON = 500


def _day(text: str) -> str:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) and date.fromisoformat(text):
            return text
    except ValueError:
        pass
    raise ValueError(f"{text[:80]!r} is not a day in the form 2026-01-31")


class Tombstone(CsvRow):
    """Why an id was removed permanently.

    Attributes:
        where: File and line.
        id: Of a clip or of a video.
        reason: One line.
        date: The day of the request, ISO 8601.
    """

    model_config = ConfigDict(extra="forbid")  # the file is rewritten, and another column would be lost

    id: ClipId
    reason: Filled
    date: Annotated[str, AfterValidator(_day)]


def read_tombstones(path: Path) -> dict[str, Tombstone]:
    """Tombstones by id; rows that are equal count once.

    Raises:
        ConfigError: The file does not exist: without it, removed clips would come back.
        DataError: See `read_rows`; the columns are `id,reason,date` and no others; an empty reason, a wrong date,
            or an id with two reasons or dates.
    """
    hint = "restore it from version control, or correct the key; a new list is one line: id,reason,date"
    stones: dict[str, Tombstone] = {}
    for row in read_rows(named_file(path, "acquire.tombstones", hint), Tombstone):
        first = stones.setdefault(row.id, row)
        if (first.reason, first.date) != (row.reason, row.date):
            raise DataError(
                f"{row.where}: id {row.id!r} is already in {first.where}, with another reason or date",
                hint="keep one of the two rows",
            )
    return stones


def is_removed(stones: Iterable[str]) -> pl.Expr:
    """Whether a clip of a table with clip_id and video_id has a tombstone, or its video has."""
    ids = list(stones)
    return pl.col("clip_id").is_in(ids) | pl.col("video_id").is_in(ids)


def add_tombstone(path: Path, stone_id: str, reason: str, day: date) -> bool:
    """Add a row; False if the id already has one.

    Args:
        stone_id: Of a clip or of a video.
        reason: One line.
        day: Of the request.

    Raises:
        ConfigError: The id or the reason cannot be used, or the file is missing.
    """
    try:
        clip_path(Path(), stone_id)
    except InvalidInput as error:
        raise ConfigError(error.detail, hint="name a clip, e.g. aBcDeFgHiJk_30000, or a video") from None
    reason = redacted(reason.strip())  # the list is published
    if not reason or not reason.isprintable() or len(reason) > _LONGEST_REASON:
        raise ConfigError(
            f"a reason is one line of 1 to {_LONGEST_REASON} printable characters", hint="give a reason of that form"
        )
    stones = read_tombstones(path)
    if stone_id in stones:
        return False
    rows = [(stone.id, stone.reason, stone.date) for stone in stones.values()]
    write_text(path, csv_text(_COLUMNS, sorted([*rows, (stone_id, reason, day.isoformat())])))
    return True


def media_of(stone_id: str, folders: Iterable[Path]) -> list[Path]:
    """The files and folders under `folders` with the clip, a clip of the video, or a variant made from one."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if any(_belongs_to(part, stone_id) for part in path.name.split("."))
    ]


def _belongs_to(clip_id: str, stone_id: str) -> bool:
    video_id, _, start = clip_id.rpartition("_")
    return stone_id == clip_id or (stone_id == video_id and start.isascii() and start.isdigit())


@dataclass(frozen=True)
class Removal:
    """What a removal did.

    Attributes:
        new: Whether the tombstone is.
        removed: The paths that were removed.
        is_known: Whether a clip or video of this build has the id.
        near: Ids of this build that may have been meant, if none has it.
    """

    new: bool
    removed: Sequence[Path]
    is_known: bool
    near: Sequence[str]


def main(path: Path, stone_id: str, reason: str, today: date) -> Removal:
    """Write the tombstone of an id and remove its media at once.

    Raises:
        ConfigError: See `add_tombstone`; or nothing here has the id, and it has not the form of one.
    """
    removed = media_of(
        stone_id, [layout.ACQUIRED_CLIPS, layout.NORMALISED_CLIPS, layout.VARIANT_CLIPS, layout.PARTIAL_CLIPS]
    )
    ids = known_ids()
    is_known = bool(removed) or stone_id in ids
    if not is_known and stone_id not in read_tombstones(path):
        refuse_implausible(stone_id)
    new = add_tombstone(path, stone_id, reason, today)
    for media in removed:
        if media.is_dir():
            shutil.rmtree(media)
        else:
            media.unlink(missing_ok=True)
    return Removal(new, removed, is_known, [] if is_known else near_ids(stone_id, ids))
