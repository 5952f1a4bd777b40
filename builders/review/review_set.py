"""Which clips people judge, and the controls among them: from the build's tables to rows of `items`.

A clip is the file that is shown and the class that is asked for; if either changes with a later build, it is another
item and is judged again. Controls are clips whose right answer is known, planted to measure attention. Half of them
carry another clip's sound, half are asked for under the name of another class, so no annotator sees the answer from
the player, the file's name or its address.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import polars as pl
from sqlalchemy import bindparam, insert, select, update

from mma_bench import layout
from mma_bench.builders.review import FOLDER
from mma_bench.builders.review.store import Store, items
from mma_bench.errors import DataError, InvalidInput
from mma_bench.files import clip_path, fingerprint
from mma_bench.progress import Progress
from mma_bench.schema import NORMALISED, VERDICTS
from mma_bench.tables import read_table

CONTROLS: Final = FOLDER / "controls"
CONTROL_SHARE: Final = 0.05
_SLACK_S: Final = 0.1  # as `pair.slack_s` in params.yaml


@dataclass(frozen=True)
class Item:
    """One thing to judge.

    Attributes:
        id: Opaque, 32 hex digits.
        class_name: The class that is asked for.
        path: The file, relative to the project's root.
        failing: Of a control: the criteria that must be answered with no; else empty.
    """

    id: str
    clip_id: str
    class_name: str
    path: str
    failing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A control to be made: `base` is shown as `class_name`, with the sound of `donor` unless that is None."""

    clip_id: str
    class_name: str
    base: str
    donor: str | None
    failing: tuple[str, ...]


def clips_to_review(normalised: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """The clips that the judge passed, as `verify` joins them: clip_id, class_name, path and the packets' hashes."""
    passed = verdicts.filter(pl.col("status") == "ok").select("split", "clip_id")
    clips = normalised.filter(pl.col("status") == "ok").join(passed, on=["split", "clip_id"], how="inner")
    columns = ["clip_id", "class_name", "path", "video_sha256", "audio_sha256", "duration_s"]
    return clips.select(columns).unique("clip_id", keep="first").sort("clip_id")


def as_items(clips: pl.DataFrame) -> list[Item]:
    """One item for each clip."""
    return [
        Item(item_id(*row), row[0], row[1], path)
        for *row, path in clips.select("clip_id", "class_name", "video_sha256", "audio_sha256", "path").iter_rows()
    ]


def plan_controls(clips: pl.DataFrame, share: float) -> list[Plan]:
    """As many controls as `share` of the clips, at least two if there are any; the same ones for the same clips.

    A wrong sound comes from a clip of another class that lasts as long; it fails audio purity. A wrong name is that of
    another class of the set; it fails audio purity and object visibility. Fewer are planned if the clips allow no more.
    """
    rows = sorted(clips.iter_rows(named=True), key=lambda row: fingerprint("control", row["clip_id"]))
    wanted = max(2, round(share * len(rows))) if share > 0 else 0
    plans: list[Plan] = []
    for number, row in enumerate(rows):
        if len(plans) == wanted:
            break
        # The first after this row that fits, so that few rows are looked at.
        later = (rows[(number + step) % len(rows)] for step in range(1, len(rows)))
        first = next((other for other in later if other["class_name"] != row["class_name"]), None)
        if first is None:
            break  # all clips are of one class
        others = chain([first], (other for other in later if other["class_name"] != row["class_name"]))
        needed_s = row["duration_s"] - _SLACK_S
        donor = next((other for other in others if other["duration_s"] >= needed_s), None)
        if len(plans) % 2 == 0 and donor is not None:
            name = f"{row['clip_id']}.control.sound"
            plans.append(Plan(name, row["class_name"], row["clip_id"], donor["clip_id"], ("audio_pure",)))
        else:
            name, failing = f"{row['clip_id']}.control.name", ("object_visible", "audio_pure")
            plans.append(Plan(name, first["class_name"], row["clip_id"], None, failing))
    return plans


def make_controls(plans: Sequence[Plan], clips: pl.DataFrame, folder: Path) -> list[Item]:
    """Write the files of the controls that need one, and return all as items.

    Raises:
        DataError: A clip cannot be read; names it.
    """
    from mma_bench.media.edit import misalign

    files: Mapping[str, Mapping[str, Any]] = {row["clip_id"]: row for row in clips.iter_rows(named=True)}
    made = []
    with Progress("controls", len(plans), "control") as progress:
        for plan in plans:
            base = files[plan.base]
            donor = files[plan.donor] if plan.donor is not None else base
            number = item_id(plan.clip_id, plan.class_name, base["video_sha256"], donor["audio_sha256"])
            path = Path(base["path"])
            if plan.donor is not None:
                path = clip_path(folder, number)
                try:
                    if not path.is_file():
                        misalign(Path(base["path"]), Path(donor["path"]), path, slack_s=_SLACK_S)
                except InvalidInput as error:
                    raise DataError(f"no control can be made of {plan.base}: {error}", hint="run `dvc repro`") from None
            made.append(Item(number, plan.clip_id, plan.class_name, path.as_posix(), plan.failing))
            progress.advance()
    return made


def put(store: Store, wanted: Sequence[Item]) -> None:
    """Make `wanted` the active items of the database; votes on others stay, but are neither asked for nor exported."""
    with store.writing() as connection:
        known = set(connection.execute(select(items.c.id)).scalars())
        connection.execute(update(items).values(active=False))
        if kept := [{"key": item.id, "at": item.path} for item in wanted if item.id in known]:
            again = update(items).where(items.c.id == bindparam("key")).values(active=True, path=bindparam("at"))
            connection.execute(again, kept)
        if fresh := [item for item in wanted if item.id not in known]:
            rows = [{**vars(item), "failing": ",".join(item.failing), "active": True} for item in fresh]
            connection.execute(insert(items), rows)


def active(store: Store) -> list[Item]:
    """The active items, by id."""
    with store.reading() as connection:
        rows = connection.execute(select(items).where(items.c.active).order_by(items.c.id)).all()
    return [
        Item(row.id, row.clip_id, row.class_name, row.path, tuple(filter(None, row.failing.split(",")))) for row in rows
    ]


def load(store: Store, share: float) -> list[Item]:
    """Bring the database to the tables of the build in the current folder; returns its active items.

    Raises:
        DataError: A table or a file is missing, or nothing passed the judge.
    """
    clips = clips_to_review(read_table(layout.NORMALISED, NORMALISED), read_table(layout.VERDICTS, VERDICTS))
    if clips.is_empty():
        raise DataError("no clip passed the judge, so there is none to review", hint="see metrics/judge.json")
    for path in clips["path"]:
        if not Path(path).is_file():
            raise DataError(f"{path} does not exist", hint="run `dvc repro`, or `dvc checkout` where a cache has it")
    wanted = [*as_items(clips), *make_controls(plan_controls(clips, share), clips, CONTROLS)]
    put(store, wanted)
    return sorted(wanted, key=lambda item: item.id)


def item_id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
