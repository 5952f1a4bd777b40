"""Licences of videos, looked up without their media: `mma-bench acquire licences`, and the list that it writes.

In: the candidates that params.yaml chooses. Out: a CSV with a row per video whose page could be read, and how large the
edition of the clips under CC BY would be. The ledger keeps what was asked, so that the command resumes, asks again only
for videos that failed, and heeds the limits of `acquire.youtube`.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.builders.sources.credits import Credit
from mma_bench.builders.sources.folder import LICENCE
from mma_bench.builders.sources.selection import chosen
from mma_bench.builders.sources.youtube import look_up
from mma_bench.config import Params, YouTubeParams
from mma_bench.csv_rows import CsvRow, Filled, csv_text, read_rows
from mma_bench.errors import ConfigError, StageError
from mma_bench.executor import run
from mma_bench.executor.ledger import Ledger
from mma_bench.executor.task import Task
from mma_bench.files import fingerprint, named_file, write_text
from mma_bench.schema import CANDIDATES
from mma_bench.tables import read_table

LEDGER: Final = "licences"
_VERSION: Final = 1  # raise it when more is read from a page


class _Row(CsvRow):
    video_id: Filled
    licence: str
    title: str
    uploader: str
    uploaded: str
    url: str


def read_licences(path: Path) -> dict[str, Credit]:
    """Video → its credit.

    Raises:
        ConfigError: No such file.
        DataError: See `read_rows`.
    """
    named_file(path, "acquire.licences", "`mma-bench acquire licences` writes it; or set the key to null")
    rows = read_rows(path, _Row, unique=["video_id"])
    return {row.video_id: Credit(**row.model_dump(exclude={"where"})) for row in rows}


def with_licences(table: pl.DataFrame, credits: Mapping[str, Credit]) -> pl.DataFrame:
    """The table with the terms of the list, for clips that have no terms of their own but "the uploader's"."""
    terms = {video: credit.terms for video, credit in credits.items() if credit.is_cc_by}
    known = pl.col("video_id").replace_strict(terms, default=pl.col("licence"), return_dtype=pl.String())
    return table.with_columns(pl.when(pl.col("licence") == LICENCE).then(known).otherwise("licence").alias("licence"))


def look_up_one(settings: YouTubeParams, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Runs in a worker; returns the fields of the video's `Credit`.

    Raises:
        ClipError: See `youtube.look_up`.
    """
    return asdict(look_up(settings, payload["video_id"]))


@dataclass(frozen=True)
class Found:
    """What a look-up has found.

    Attributes:
        clips: The chosen candidates: schema CANDIDATES, and `split`.
        credits: By video, of those whose page could be read.
    """

    clips: pl.DataFrame
    credits: Mapping[str, Credit]

    def lines(self, donors: Mapping[str, int]) -> Iterator[str]:
        """The numbers for the terminal.

        Args:
            donors: Split → other classes that a clip needs for its misaligned variants.
        """
        videos = self.clips["video_id"].n_unique()
        marked = {video for video, credit in self.credits.items() if credit.is_cc_by}
        yield f"{len(self.credits)} of {videos} videos could be read; {len(marked)} are under CC BY"
        free = self.clips.filter(pl.col("video_id").is_in(list(marked)))
        for (split,), clips in sorted(self.clips.group_by("split")):
            kept = free.filter(pl.col("split") == split)
            classes, needed = kept["class_name"].n_unique(), donors.get(str(split), 0)
            yield f"{split}: at most {kept.height} of {clips.height} clips, of {classes} classes"
            if kept.height and classes <= needed:
                yield f"  too few classes for pair.donors.{split} ({needed}): lower it below {classes}"


def main(params: Params, out: Path) -> Found:
    """Look up every video of the chosen candidates that the ledger does not have, and write the list.

    Raises:
        ConfigError: `acquire.youtube` is null.
        StageError: Some videos could not be read now; those that could are in the list.
    """
    settings = params.acquire.youtube
    if settings is None:
        raise ConfigError(
            "acquire.youtube is null, so it is not known how to ask the site",
            hint="pass --params profiles/audioset.yaml, or describe acquire.youtube in params.yaml",
        )
    clips = chosen(params, read_table(layout.CANDIDATES, CANDIDATES))
    revision = fingerprint(_VERSION, settings.url, settings.extractors)
    videos = clips["video_id"].unique().sort().to_list()
    stopped: StageError | None = None
    try:
        run(
            [Task(key=video, fingerprint=revision, payload={"video_id": video}) for video in videos],
            partial(look_up_one, settings),
            layout.ledger(LEDGER),
            workers=params.workers,
            title="licences",
        )
    except StageError as error:  # a block, or videos that cannot be read now: the list of the others is of use
        stopped = error
    with Ledger(layout.ledger(LEDGER)) as ledger:
        entries = [entry for video in videos if (entry := ledger.latest(video)) is not None]
    credits = {
        entry["key"]: Credit(**{field.name: entry["result"][field.name] for field in fields(Credit)})
        for entry in entries
        if entry["status"] == "ok" and entry["fingerprint"] == revision
    }
    write_licences(out, credits)
    if stopped is not None:
        print(f"wrote {out}: {len(credits)} of {len(videos)} videos so far", file=sys.stderr)
        raise stopped
    return Found(clips, credits)


def write_licences(path: Path, credits: Mapping[str, Credit]) -> None:
    """Write the list, sorted by video."""
    columns = [field.name for field in fields(Credit)]
    write_text(path, csv_text(columns, (asdict(credits[video]).values() for video in sorted(credits))))
