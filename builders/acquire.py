"""Stage `acquire`: gets the clip of every candidate from the source that params.yaml names.

In: `candidates.parquet`, and perhaps a frozen manifest and a list of tombstones. Out: `data/acquired/<split>/<clip
id>.<suffix>`, `acquired.parquet` with one row for every candidate of the chosen subsets (also for those that could not
be had, with the reason), `metrics/acquire.json`, and what `availability` publishes.

Only what is cheap is looked at here, the size and the header, so that a download that cannot be used is not kept; what
decoding shows (silence, no frames, too short) is for the stage `normalise`. How one clip is got is in `sources`.
"""

import hashlib
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from mma_bench import layout
from mma_bench.builders.availability import publish
from mma_bench.builders.frozen import read_manifest, thaw
from mma_bench.builders.sources import ClipSource, Refusal, Request, Segment, open_source
from mma_bench.builders.tombstones import Tombstone, read_tombstones
from mma_bench.config import Params
from mma_bench.errors import ConfigError, DataError, InvalidInput, Permanent
from mma_bench.executor import SETTLED, Payload, Task, run
from mma_bench.files import atomic_path, clip_path, file_sha256, fingerprint, remove_strays, write_json
from mma_bench.ledger import Entry
from mma_bench.media.probe import probe
from mma_bench.schema import ACQUIRED, CANDIDATES, OUTCOME
from mma_bench.tables import from_rows, outcome_counts, read_table, write_table

_VERSION = 1  # raise it when this stage takes or refuses a clip that it did not before


def select(
    candidates: pl.DataFrame, splits: Mapping[Literal["test", "train"], Sequence[str]], limit: int | None
) -> pl.DataFrame:
    """The candidates to get, with the column `split`, sorted by split and clip id.

    Args:
        candidates: Schema CANDIDATES.
        splits: Split → the subsets that feed it.
        limit: At most this many per split: those whose ids have the smallest hashes, so that a limit takes from all
            parts of the list, and a larger one takes the same clips and more. None takes all.

    Raises:
        ConfigError: No subset is named, one has no candidates, or one is named twice.
        DataError: Two of the candidates have the same clip id.
    """
    present = sorted(candidates["subset"].unique())
    split_of: dict[str, str] = {}
    for split, subsets in splits.items():
        for subset in subsets:
            if subset not in present:
                raise ConfigError(
                    f"acquire.splits.{split} names {subset!r}, which has no candidates",
                    mend=f"name any of: {', '.join(present)}",
                )
            if subset in split_of:
                raise ConfigError(
                    f"acquire.splits names {subset!r} for {split_of[subset]} and again for {split}",
                    mend="a subset feeds one split, once",
                )
            split_of[subset] = split
    if not split_of:
        raise ConfigError("acquire.splits names no subset", mend=f"name any of: {', '.join(present)}")
    chosen = candidates.filter(pl.col("subset").is_in(list(split_of))).with_columns(
        split=pl.col("subset").replace_strict(split_of, return_dtype=pl.String())
    )
    twice = chosen.filter(pl.col("clip_id").is_duplicated())
    if twice.height:
        raise DataError(f"{layout.CANDIDATES}: clip {twice['clip_id'][0]!r} is in two of the chosen subsets, or twice")
    if limit is not None:
        ranks = [hashlib.sha256(clip_id.encode()).hexdigest() for clip_id in chosen["clip_id"]]
        order = pl.col("rank").rank("ordinal").over("split")
        chosen = chosen.with_columns(rank=pl.Series(ranks, dtype=pl.String())).filter(order <= limit).drop("rank")
    return chosen.sort("split", "clip_id")


def acquire_clip(payload: Payload, max_bytes: int) -> dict[str, Any]:
    """Fetch one clip and look at its header; runs in a worker.

    Args:
        payload: `request` (a `Request`), `split`, `clip_id`.
        max_bytes: Larger files are refused.

    Returns:
        `path`, `sha256`, `bytes`, `source`, `licence`, `origin`, `note`.

    Raises:
        ClipError: See `Request.fetch` and `mma_bench.media`.
    """
    request: Request = payload["request"]
    path = clip_path(layout.ACQUIRED_CLIPS / payload["split"], payload["clip_id"], request.suffix)
    with atomic_path(path) as beside:
        fetched = request.fetch(beside)
        try:
            probe(beside, max_bytes=max_bytes)
        except InvalidInput as error:
            # The file is about to go, and its name is another in each run: name where it came from.
            raise InvalidInput(error.reason, error.detail.replace(str(beside), fetched.origin)) from None
        size, sha256 = beside.stat().st_size, file_sha256(beside)
    return {"path": str(path), "sha256": sha256, "bytes": size, **vars(fetched)}


def tasks(
    selected: pl.DataFrame, source: ClipSource, max_bytes: int, tombstones: Mapping[str, Tombstone] | None = None
) -> list[Task]:
    """One task per row of `selected`, those last that ask a site that may block us.

    Args:
        selected: From `select`.
        source: Asked for each clip, unless there is a tombstone.
        max_bytes: Larger files are refused.
        tombstones: By the id of the clip or the video.
    """
    stones = tombstones or {}
    near: list[Task] = []
    far: list[Task] = []
    columns = ("clip_id", "video_id", "start_s", "end_s", "split")
    for clip_id, video_id, start_s, end_s, split in selected.select(columns).iter_rows():
        stone = stones.get(clip_id) or stones.get(video_id)
        request: Request = (
            source.request(Segment(clip_id, video_id, start_s, end_s))
            if stone is None
            else Refusal(Permanent("tombstoned", f"removed on {stone.date}: {stone.reason}"))
        )
        (far if request.remote else near).append(
            Task(
                key=clip_id,
                fingerprint=fingerprint(_VERSION, split, request.revision, request.suffix, max_bytes),
                payload={"request": request, "split": split, "clip_id": clip_id},
            )
        )
    return near + far


def acquired(selected: pl.DataFrame, entries: Sequence[Entry], source: str) -> pl.DataFrame:
    """The stage's table (schema ACQUIRED): the rows of `selected` with what came of each.

    Args:
        selected: From `select`.
        entries: What the executor says of each row, in any order.
        source: For the rows of clips that could not be had.
    """
    by_clip = {entry["key"]: entry for entry in entries}
    rows = []
    for clip in selected.iter_rows(named=True):
        entry = by_clip[clip["clip_id"]]
        rows.append({**clip, "source": source, **{name: entry[name] for name in OUTCOME}, **entry["result"]})
    return from_rows(rows, ACQUIRED)


def remove_partial(entries: Sequence[Entry]) -> None:
    """Remove the working state of the clips that are settled."""
    settled = {entry["key"] for entry in entries if entry["status"] in SETTLED}
    if layout.PARTIAL_CLIPS.is_dir():
        for folder in layout.PARTIAL_CLIPS.iterdir():
            if folder.name in settled:
                shutil.rmtree(folder)


def chosen(params: Params, candidates: pl.DataFrame) -> pl.DataFrame:
    """The clips that the parameters ask for: those of a frozen manifest, or what `select` takes."""
    rule = params.acquire
    selected = select(candidates, rule.splits, rule.limit)
    if rule.manifest is None:
        return selected
    path = Path(rule.manifest)
    return thaw(selected, read_manifest(path), path)


def main(params: Params) -> None:
    """Run the stage."""
    rule = params.acquire
    stones = read_tombstones(Path(rule.tombstones))
    selected = chosen(params, read_table(layout.CANDIDATES, CANDIDATES))
    source = open_source(rule)
    entries = run(
        tasks(selected, source, rule.max_bytes, stones),
        partial(acquire_clip, max_bytes=rule.max_bytes),
        layout.ledger("acquire"),
        workers=params.workers,
        title="acquire",
        ray=params.on_ray(),
    )
    table = acquired(selected, entries, source.name)
    clips = table.filter(pl.col("status") == "ok")
    remove_partial(entries)
    remove_strays(layout.ACQUIRED_CLIPS, map(Path, clips["path"]))
    write_json(layout.metrics("acquire"), outcome_counts(table))
    write_table(table, layout.ACQUIRED, ACQUIRED, sort_by=["split", "clip_id"])
    print(f"acquire: {publish(table, entries, rule.manifest)}", file=sys.stderr)
    _tell_notes(entries)
    if clips.is_empty():
        reason, count = Counter(table["reason"].to_list()).most_common(1)[0]
        example = table.filter(pl.col("reason") == reason)["detail"][0]
        raise DataError(
            f"acquire: none of {table.height} clips could be had, {count} for {reason}, e.g. {example}",
            mend="correct acquire.source or acquire.folder in params.yaml, or acquire.splits if it names other clips",
        )


def _tell_notes(entries: Sequence[Entry]) -> None:
    notes = [f"{entry['key']}: {entry['result']['note']}" for entry in entries if entry["result"].get("note")]
    if notes:
        print(
            f"acquire: {len(notes)} clips with a note in {layout.ledger('acquire')}, the first is {notes[0]}",
            file=sys.stderr,
        )
