"""Tombstones: clips and videos that must never be fetched again or redistributed, each with a reason and a date.

The list is a small CSV that is kept in version control, so that every later build and every fork honours it. A row's
id is a clip's (one segment) or a video's (all of its segments).
"""

import csv
import io
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mma_bench import layout
from mma_bench.errors import ConfigError, DataError, InvalidInput
from mma_bench.files import clip_path, write_text

_COLUMNS = ("id", "reason", "date")
_LONGEST_REASON = 500


@dataclass(frozen=True)
class Tombstone:
    """Why an id is gone for good.

    Attributes:
        id: Of a clip or of a video.
        reason: One line.
        date: The day of the request, ISO 8601.
    """

    id: str
    reason: str
    date: str


def read_tombstones(path: Path) -> dict[str, Tombstone]:
    """Tombstones by id.

    Raises:
        ConfigError: The file does not exist: without it, what was removed would come back.
        DataError: A row is not `id,reason,date`; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"acquire.tombstones names {str(path)!r}, which does not exist",
            hint="restore it from version control, or correct the key; a new list is one line: id,reason,date",
        ) from None
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise DataError(f"{path}, line 1: the columns are not {','.join(_COLUMNS)}", hint="correct the line")
    found = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(_COLUMNS) or not row[0]:
            raise DataError(f"{path}, line {number}: not id,reason,date", hint="correct the line")
        found[row[0]] = Tombstone(*row)
    return found


def add_tombstone(path: Path, stone: Tombstone) -> bool:
    """Add a row; False if the id has one already.

    Raises:
        ConfigError: The id or the reason cannot be used, or the file is missing.
    """
    try:
        clip_path(Path(), stone.id)
    except InvalidInput as error:
        raise ConfigError(error.detail, hint="name a clip, e.g. aBcDeFgHiJk_30000, or a video") from None
    reason = stone.reason.strip()
    if not reason or not reason.isprintable() or len(reason) > _LONGEST_REASON:
        raise ConfigError(
            f"a reason is one line of 1 to {_LONGEST_REASON} printable characters", hint="say it shorter, or at all"
        )
    stones = read_tombstones(path)
    if stone.id in stones:
        return False
    stones[stone.id] = Tombstone(stone.id, reason, stone.date)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((row.id, row.reason, row.date) for row in sorted(stones.values(), key=lambda row: row.id))
    write_text(path, text.getvalue())
    return True


def media_of(stone_id: str, folders: Iterable[Path]) -> list[Path]:
    """The files and folders below `folders` that hold the clip, or a clip of the video, or a variant made with one."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if any(_is_of(part, stone_id) for part in path.name.split("."))
    ]


def _is_of(clip_id: str, stone_id: str) -> bool:
    video_id, _, start = clip_id.rpartition("_")
    return stone_id == clip_id or (stone_id == video_id and start.isascii() and start.isdigit())


def main(path: Path, stone_id: str, reason: str, today: date) -> tuple[bool, list[Path]]:
    """Bury an id: write the tombstone and remove its media at once.

    Returns:
        Whether the tombstone is new, and what was removed.
    """
    new = add_tombstone(path, Tombstone(stone_id, reason, today.isoformat()))
    folders = [layout.ACQUIRED_CLIPS, layout.NORMALISED_CLIPS, layout.VARIANT_CLIPS, layout.PARTIAL_CLIPS]
    removed = media_of(stone_id, folders)
    for media in removed:
        if media.is_dir():
            shutil.rmtree(media)
        else:
            media.unlink(missing_ok=True)
    return new, removed
