"""Stage `acquire`: fetches the clip of every candidate from the source configured in params.yaml.

In: `candidates.parquet`, optionally a frozen manifest, and the list of tombstones. Out: `data/acquired/<split>/<clip
id>.<suffix>`, `acquired.parquet` with one row for every candidate of the chosen subsets (unavailable ones included,
with the reason), `files.parquet` with one row for every file of the source's folder, `metrics/acquire.json`, and what
`availability` publishes.

Only the size and the header are checked here, which is cheap, so that an unusable download is not kept; problems that
only decoding shows (silence, no frames, too short) are left to the stage `normalise`. `sources` fetches a single clip.
"""

import shutil
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench import layout
from mma_bench.builders.sources import accounts, open_source
from mma_bench.builders.sources.availability import publish
from mma_bench.builders.sources.contracts import ClipSource, Refusal, Request, Segment
from mma_bench.builders.sources.licences import read_licences, with_licences
from mma_bench.builders.sources.selection import chosen
from mma_bench.builders.sources.tombstones import Tombstone, read_tombstones
from mma_bench.config import Params
from mma_bench.csv_rows import warn_unknown
from mma_bench.errors import DataError, InvalidInput, Permanent
from mma_bench.executor import run
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import SETTLED, Payload, Task
from mma_bench.files import atomic_path, clip_path, file_sha256, fingerprint, remove_strays, write_json
from mma_bench.media.probe import probe
from mma_bench.schema import ACQUIRED, CANDIDATES, FILES
from mma_bench.tables import drops, drops_text, from_rows, outcome_counts, outcome_table, read_table, write_table

_VERSION = 1  # raise it when the rules for accepting a clip change


def acquire_clip(payload: Payload, max_bytes: int) -> dict[str, Any]:
    """Fetch one clip and check its header; runs in a worker.

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
    if isinstance(request, Refusal):
        raise request.error
    with atomic_path(path) as staged:
        fetched = request.fetch(staged)
        try:
            probe(staged, max_bytes=max_bytes)
        except InvalidInput as error:
            error.subject = fetched.origin  # the file is removed, and its name differs in each run
            raise
        size, sha256 = staged.stat().st_size, file_sha256(staged)
    return {"path": str(path), "sha256": sha256, "bytes": size, **vars(fetched)}


def tasks(
    selected: pl.DataFrame, source: ClipSource, max_bytes: int, tombstones: Mapping[str, Tombstone] | None = None
) -> list[Task]:
    """One task per row of `selected`; requests to a site that may block us are last.

    Args:
        selected: From `sources.selection.select`.
        source: Asked for each clip, unless there is a tombstone.
        max_bytes: Larger files are refused.
        tombstones: By the id of the clip or the video.
    """
    tombstones = tombstones or {}
    local: list[Task] = []
    remote: list[Task] = []
    columns = ("clip_id", "video_id", "start_s", "end_s", "split")
    for clip_id, video_id, start_s, end_s, split in selected.select(columns).iter_rows():
        removed = tombstones.get(clip_id) or tombstones.get(video_id)
        request: Request = (
            source.request(Segment(clip_id, video_id, start_s, end_s))
            if removed is None
            else Refusal(Permanent("tombstoned", f"removed on {removed.date}: {removed.reason}"))
        )
        (remote if request.remote else local).append(
            Task(
                key=clip_id,
                fingerprint=fingerprint(_VERSION, split, request.revision, request.suffix, max_bytes),
                payload={"request": request, "split": split, "clip_id": clip_id},
                at_once=isinstance(request, Refusal),
            )
        )
    return local + remote


def remove_partial(entries: Iterable[Entry]) -> None:
    """Remove the working state of settled clips."""
    if layout.PARTIAL_CLIPS.is_dir():
        settled = {entry["key"] for entry in entries if entry["status"] in SETTLED}
        for folder in layout.PARTIAL_CLIPS.iterdir():
            if folder.name in settled:
                shutil.rmtree(folder)


def main(params: Params) -> None:
    """Run the stage."""
    rule = params.acquire
    tombstones = read_tombstones(Path(rule.tombstones))
    candidates = read_table(layout.CANDIDATES, CANDIDATES)
    warn_unknown(Path(rule.tombstones), "id", tombstones, {*candidates["clip_id"], *candidates["video_id"]})
    selected = chosen(params, candidates)
    listed = None if rule.licences is None else read_licences(Path(rule.licences))
    if listed is not None:
        warn_unknown(Path(rule.licences or ""), "video_id", listed, selected["video_id"])
    source = open_source(rule)
    requested = tasks(selected, source, rule.max_bytes, tombstones)
    for account in accounts(source):
        if text := account.describe():
            print(f"acquire: {text}", file=sys.stderr)
    entries = run(
        requested,
        partial(acquire_clip, max_bytes=rule.max_bytes),
        layout.ledger("acquire"),
        workers=params.workers,
        title="acquire",
        give_up_after=params.give_up_after,
        ray=params.on_ray(),
    )
    rows = selected.with_columns(source=pl.lit(source.name)).iter_rows(named=True)
    table = outcome_table(rows, entries.by_key(selected["clip_id"]), ACQUIRED)
    if listed is not None:
        table = with_licences(table, listed)
    clips = table.filter(pl.col("status") == "ok")
    remove_partial(entries)
    remove_strays(layout.ACQUIRED_CLIPS, map(Path, clips["path"]))
    write_json(layout.metrics("acquire"), outcome_counts(table))
    files: list[dict[str, Any]] = []
    for account in accounts(source):
        claimed = account.claimed
        files += account.rows(dict(zip(claimed, entries.by_key(claimed), strict=True)))
    write_table(from_rows(files, FILES), layout.FILES, FILES, sort_by=["path"])
    write_table(table, layout.ACQUIRED, ACQUIRED, sort_by=["split", "clip_id"])
    print(f"acquire: {publish(table, entries, rule.manifest)}", file=sys.stderr)
    _print_notes(entries)
    if clips.is_empty():
        first = drops(table).row(0, named=True)
        raise DataError(
            f"acquire: none of {table.height} clips could be acquired ({drops_text(table)}); "
            f"{first['first']} is {first['reason']}: {first['detail']}",
            hint="correct acquire.source, acquire.folder or acquire.splits in params.yaml",
        )


def _print_notes(entries: Iterable[Entry]) -> None:
    notes = [f"{entry['key']}: {entry['result']['note']}" for entry in entries if entry["result"].get("note")]
    if notes:
        print(
            f"acquire: {len(notes)} clips with a note in {layout.ledger('acquire')}, the first is {notes[0]}",
            file=sys.stderr,
        )
