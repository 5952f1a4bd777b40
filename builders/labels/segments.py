"""Reads segment lists: AudioSet's CSVs, two million rows in half a second, and small manifests of other clips.

Millions of rows share few distinct label texts. So a list is returned as its distinct label sets, on each of which the
label filter decides once (builders/candidates.py), and as lazy rows that are collected only where needed.

A list is valid in every row or refused: fast vectorised checks say whether anything is wrong, and only then does a slow
pass over the lines find what and where.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from mma_bench.builders.labels.manifests import LABEL_MAP, ManifestClip, read_label_map, read_manifest
from mma_bench.csv_rows import warn_unknown
from mma_bench.errors import DataError

# A row of AudioSet: ID, START, END, "LABEL,LABEL" with one blank after each separator.
_ID: Final = r"[A-Za-z0-9_-]{11}"
_SECONDS: Final = r"[0-9]{1,7}(?:\.[0-9]{1,3})?"  # at most the millisecond resolution of a clip id
_LABELS: Final = r'"[^", ]+(?:,[^", ]+)*"'
_ROW_HINT: Final = 'a row reads: YTID, start_seconds, end_seconds, "label,label"'
_LABEL_HINT: Final = "correct the label, or use the ontology that it comes from"


@dataclass(frozen=True)
class SegmentList:
    """A checked list of segments.

    Attributes:
        rows: Schema SEGMENTS and `labels`, the labels' text in the file; columns are computed when the rows are
            collected, so filter by `labels` first.
        label_sets: Each distinct `labels`, its `label_ids` and how many `segments` carry it.
    """

    rows: pl.LazyFrame
    label_sets: pl.DataFrame


def read_audioset(path: Path, subset: str, known: Collection[str]) -> SegmentList:
    """Read a segment CSV of AudioSet; a clip is called <YouTube id>_<start in ms>.

    Args:
        path: The CSV; lines that begin with `#` are comments.
        subset: What to call it in the column `subset`.
        known: The ontology's label ids.

    Raises:
        DataError: The file is missing, or a row has a wrong column count, a bad id, number or label list, an end not
            after its start, an unknown label, or the clip (video and start) of an earlier row; names file and line.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="run `mma-bench build metadata`")
    # The space is the separator: labels contain none, so a row always has four fields. Quotes are read literally, so
    # that a row is always one line.
    fields = pl.scan_csv(
        path,
        separator=" ",
        quote_char=None,
        comment_prefix="#",
        has_header=False,
        schema=dict.fromkeys(("id", "start", "end", "labels"), pl.String()),
    )
    try:
        raw = fields.collect()
    except pl.exceptions.PolarsError as error:
        raise _first_problem(path, known) or DataError(f"{path}: {error}", hint=_ROW_HINT) from None
    segments = _segment_list(
        raw,
        subset,
        clip_id=pl.format("{}_{}", pl.col("id").str.head(-1), (_seconds("start") * 1000).round().cast(pl.Int64)),
        video_id=pl.col("id").str.head(-1),
        start_s=_seconds("start"),
        end_s=_seconds("end"),
        label_ids=pl.col("labels").str.strip_chars('"').str.split(","),
    )
    if _ends_in_blank(path) and (problem := _first_problem(path, known)):
        raise problem
    if not _is_sound(raw, segments.label_sets, known):
        raise _first_problem(path, known) or DataError(f"{path}: the rows contradict each other", hint=_ROW_HINT)
    return segments


def _ends_in_blank(path: Path) -> bool:
    """Whether the last byte is a separator, which polars ignores there."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 1))
        return stream.read(1) == b" "


def _seconds(column: str) -> pl.Expr:
    return pl.col(column).str.head(-1).cast(pl.Float64)


def _segment_list(raw: pl.DataFrame, subset: str, **columns: pl.Expr) -> SegmentList:
    label_sets = raw.lazy().group_by("labels").agg(segments=pl.len().cast(pl.Int64))
    return SegmentList(
        rows=raw.lazy().select(pl.lit(subset).alias("subset"), "labels", **columns),
        label_sets=label_sets.select("labels", "segments", label_ids=columns["label_ids"]).collect(),
    )


def _is_sound(raw: pl.DataFrame, label_sets: pl.DataFrame, known: Collection[str]) -> bool:
    """Whether no row is malformed; times and label lists have few distinct texts, so only those are checked."""
    lazy = raw.lazy()
    ids, times = pl.collect_all([lazy.select(_matches("id", f"^{_ID},$")), lazy.group_by("start", "end").agg()])
    texts = label_sets.select(_matches("labels", f"^{_LABELS}$"))
    spans = times.select(_matches("start", f"^{_SECONDS},$") & _matches("end", f"^{_SECONDS},$"))
    if not (ids.item() and texts.item() and spans.item()):
        return False
    if not label_sets["label_ids"].explode().unique().is_in(list(known)).all():
        return False
    if not times.select((_seconds("start") < _seconds("end")).all()).item():
        return False
    # AudioSet is sorted by video with one segment per video, so comparing neighbours suffices and nothing is hashed.
    videos = raw["id"]
    if videos.is_sorted() and not (videos == videos.shift()).any():
        return True
    return not raw.select("id", _seconds("start")).is_duplicated().any()


def _matches(column: str, pattern: str) -> pl.Expr:
    # A line with fewer fields gives a null, which `all` would ignore.
    return pl.col(column).str.contains(pattern).all() & (pl.col(column).null_count() == 0)


def _first_problem(path: Path, known: Collection[str]) -> DataError | None:
    """Check each line in turn; return the error of the first invalid one."""
    try:
        _check_lines(path, known)
    except DataError as error:
        return error
    return None


def _check_lines(path: Path, known: Collection[str]) -> None:
    seen: dict[tuple[str, float], int] = {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if line.startswith("#"):
                continue
            where = f"{path}, line {number}"
            # As polars does, a carriage return before a separator counts as part of it.
            columns = re.sub(r"\r(?= |$)", "", line.removesuffix("\n")).split(", ")
            if len(columns) != 4:
                raise DataError(f"{where}: {len(columns)} columns, expected 4", hint=_ROW_HINT)
            video_id, start, end, labels = columns
            if not re.fullmatch(_ID, video_id):
                raise DataError(f"{where}: {video_id!r} is not a YouTube id of 11 characters", hint=_ROW_HINT)
            for text in (start, end):
                if not re.fullmatch(_SECONDS, text):
                    raise DataError(f"{where}: {text!r} is not a number of seconds", hint=_ROW_HINT)
            if float(end) <= float(start):
                raise DataError(f"{where}: the end ({end}) is not after the start ({start})", hint=_ROW_HINT)
            if not re.fullmatch(_LABELS, labels):
                raise DataError(f"{where}: {labels!r} is not a list of label ids in quotes", hint=_ROW_HINT)
            _check_labels(labels.strip('"').split(","), known, where)
            first = seen.setdefault((video_id, float(start)), number)
            if first != number:
                raise DataError(
                    f"{where}: segment {video_id} from {start} s is already in line {first}",
                    hint="remove one of the two",
                )


def _check_labels(labels: list[str], known: Collection[str], where: str, hint: str = _LABEL_HINT) -> None:
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise DataError(f"{where}: unknown label {unknown[0]!r}", hint=hint)


def read_clip_manifest(path: Path, name: str, known: Collection[str]) -> dict[str, SegmentList]:
    """Read a manifest of clips from elsewhere, such as the bundled sample.

    Args:
        path: See `mma_bench.builders.labels.manifests`.
        name: The subsets are called `<name>_<split>`.
        known: The ontology's label ids.

    Returns:
        A list for each subset.

    Raises:
        DataError: As `read_manifest`; or an unknown label; names file and line.
    """
    clips = read_manifest(path)
    label_map = path.parent / LABEL_MAP
    if label_map.is_file():  # a label that no clip has yet is not an error
        warn_unknown(label_map, "label_id", read_label_map(label_map).values(), known)
    for clip in clips:
        _check_labels(list(clip.label_ids), known, clip.where, f"see `mma-bench candidates check {path}`")
    return clip_lists(clips, name)


def clip_lists(clips: Sequence[ManifestClip], name: str) -> dict[str, SegmentList]:
    """The clips of a manifest as a list for each split, called `<name>_<split>`."""
    rows = [
        (clip.split, clip.clip_id, clip.video_id, ";".join(clip.label_ids), clip.start_s, clip.end_s) for clip in clips
    ]
    texts = dict.fromkeys(("split", "clip_id", "video_id", "labels"), pl.String())
    table = pl.DataFrame(rows, schema=texts | {"start_s": pl.Float64(), "end_s": pl.Float64()}, orient="row")
    return {
        f"{name}_{split}": _segment_list(
            table.filter(pl.col("split") == split),
            f"{name}_{split}",
            clip_id=pl.col("clip_id"),
            video_id=pl.col("video_id"),
            start_s=pl.col("start_s"),
            end_s=pl.col("end_s"),
            label_ids=pl.col("labels").str.split(";"),
        )
        for split in table["split"].unique(maintain_order=True)
    }
