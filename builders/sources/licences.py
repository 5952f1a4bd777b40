"""Licences of videos, looked up without their media: `mma-bench acquire licences`, and the list that it writes.

In: the candidates that params.yaml chooses, the list of tombstones, and the CSV, if it is there: its rows are known and
stay. Out: the CSV with a row per video whose page could be read, and how large the edition of the clips under CC BY
would be. The ledger keeps what was asked, so that the command resumes, asks again only for videos that failed, and
heeds the limits of `acquire.youtube`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.builders.sources.credits import Credit
from mma_bench.builders.sources.folder import LICENCE
from mma_bench.builders.sources.selection import chosen
from mma_bench.builders.sources.tombstones import is_removed, read_tombstones
from mma_bench.builders.sources.youtube import look_up
from mma_bench.config import Params, YouTubeParams
from mma_bench.csv_rows import CsvRow, Filled, csv_text, read_rows
from mma_bench.errors import ConfigError, Retryable, StageError
from mma_bench.executor import run
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.executor.task import SETTLED, Task
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
    """What is known of the videos.

    Attributes:
        clips: The chosen candidates without those that are removed: schema CANDIDATES, and `split`.
        credits: By video, of those whose page could be read.
        unreadable: Reason → videos whose page cannot be read.
        removed: Clips left out because of a tombstone.
        stopped: Why the run ended before all videos were known; None if it did not.
    """

    clips: pl.DataFrame
    credits: Mapping[str, Credit]
    unreadable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    removed: int = 0
    stopped: StageError | None = None

    def lines(self, donors: Mapping[str, int]) -> Iterator[str]:
        """The numbers for the terminal.

        Args:
            donors: Split → other classes that a clip needs for its misaligned variants.
        """
        videos = set(self.clips["video_id"])
        read = videos & self.credits.keys()
        lost = {video for found in self.unreadable.values() for video in found}
        unknown = videos - read - lost
        marked = {video for video in read if self.credits[video].is_cc_by}
        yield f"{len(read)} of {len(videos)} videos could be read; {_are(marked)} under CC BY"
        if lost:
            reasons = ", ".join(f"{len(found)} {reason}" for reason, found in sorted(self.unreadable.items()))
            yield f"  {len(lost)} cannot be read ({reasons})"
        if unknown:
            yield f"  {_are(unknown)} not known yet"
        if self.removed:
            yield f"  {_clips(self.removed)} left out, as acquire.tombstones says"
        for (split,), clips in sorted(self.clips.group_by("split")):
            kept = clips.filter(pl.col("video_id").is_in(list(marked)))
            open_ = clips.filter(pl.col("video_id").is_in(list(unknown))).height
            classes, needed = kept["class_name"].n_unique(), donors.get(str(split), 0)
            rest = f"; {_clips(open_)} not known yet" if open_ else ""
            yield f"{split}: at most {kept.height} of {clips.height} clips, of {classes} classes{rest}"
            if kept.height and classes <= needed and not open_:
                yield f"  too few classes for pair.donors.{split} ({needed}): {_enough(classes)}"


def _are(videos: Collection[str]) -> str:
    return f"{len(videos)} {'is' if len(videos) == 1 else 'are'}"


def _clips(count: int) -> str:
    return "1 clip is" if count == 1 else f"{count} clips are"


def _enough(classes: int) -> str:
    return f"lower it below {classes}" if classes > 1 else "clips of another class are needed"


def main(params: Params, out: Path) -> Found:
    """Look up every video of the chosen candidates that neither the list nor the ledger has, and write the list.

    A row that is in the list stays as it is, whatever happens to the look-ups; only a tombstone removes it.

    Args:
        out: The list.

    Raises:
        ConfigError: `acquire.youtube` is null, or `out` cannot be written.
        DataError: `out` is a file that is no such list.
    """
    settings = params.acquire.youtube
    if settings is None:
        raise ConfigError(
            "acquire.youtube is null, so it is not known how to ask the site",
            hint="pass --params profiles/audioset.yaml, or describe acquire.youtube in params.yaml",
        )
    refuse_unwritable(out)
    stones = read_tombstones(Path(params.acquire.tombstones))
    candidates = read_table(layout.CANDIDATES, CANDIDATES)
    selected = chosen(params, candidates)
    clips = selected.filter(~is_removed(stones))
    gone = {*stones, *candidates["video_id"]} - set(candidates.filter(~is_removed(stones))["video_id"])
    known = read_licences(out) if out.exists() else {}
    revision = fingerprint(_VERSION, settings.url, settings.extractors)
    asked = sorted(set(clips["video_id"]) - known.keys())
    _reopen_incomplete(asked)
    stopped: StageError | None = None
    try:
        run(
            [Task(key=video, fingerprint=revision, payload={"video_id": video}) for video in asked],
            partial(look_up_one, settings),
            layout.ledger(LEDGER),
            workers=params.workers,
            title="licences",
            give_up_after=params.give_up_after,
            again="mma-bench acquire licences --retry REASON",
        )
    except StageError as error:  # a block, or videos that cannot be read now: the list of the others is of use
        stopped = error
    credits = {video: credit for video, credit in known.items() if video not in gone}
    unreadable: dict[str, list[str]] = {}
    for entry in _answers(asked, revision):
        if (credit := _credit(entry)) is not None:
            credits[entry["key"]] = credit
        elif entry["status"] in SETTLED:
            unreadable.setdefault(entry["reason"], []).append(entry["key"])
    write_licences(out, credits)
    return Found(clips, credits, unreadable, selected.height - clips.height, stopped)


def refuse_unwritable(path: Path) -> None:
    """Do nothing if a file can be written at the path, whose folder is made.

    Raises:
        ConfigError: It cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            return
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})", hint="name another file with --out") from None


def _reopen_incomplete(videos: Iterable[str]) -> None:
    """Have the videos asked for again whose answer in the ledger lacks something."""
    with Ledger(layout.ledger(LEDGER)) as ledger:
        for video in videos:
            entry = ledger.latest(video)
            if entry is not None and entry.get("status") == "ok" and _credit(entry) is None:
                ledger.append(entry | {"status": Retryable.status, "reason": "incomplete_answer", "result": {}})


def _answers(videos: Iterable[str], revision: str) -> list[Entry]:
    """The videos' last entries, of those that have one of this revision."""
    with Ledger(layout.ledger(LEDGER)) as ledger:
        entries = [ledger.latest(video) for video in videos]
    return [entry for entry in entries if entry is not None and entry.get("fingerprint") == revision]


def _credit(entry: Entry) -> Credit | None:
    """The credit in an entry; None if it has none."""
    result = entry.get("result")
    names = [each.name for each in fields(Credit)]
    if entry.get("status") != "ok" or not isinstance(result, dict):
        return None
    if not all(isinstance(result.get(name), str) for name in names):
        return None
    return Credit(**{name: result[name] for name in names})


def forget(path: Path, video: str) -> bool:
    """Remove the row of a video from the list; False if it has none.

    Raises:
        DataError: See `read_rows`.
    """
    credits = read_licences(path)
    if credits.pop(video, None) is None:
        return False
    write_licences(path, credits)
    return True


def write_licences(path: Path, credits: Mapping[str, Credit]) -> None:
    """Write the list, sorted by video."""
    columns = [each.name for each in fields(Credit)]
    write_text(path, csv_text(columns, (asdict(credits[video]).values() for video in sorted(credits))))
