"""What AudioSet's own lists say about the videos of a published list."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mma_bench.builders.candidates import AUDIOSET, decide, rule_of
from mma_bench.builders.labels.segments import read_audioset
from mma_bench.classes import ClassTable


@dataclass(frozen=True)
class AudioSetSegment:
    """A segment, and what the label filter of this project makes of it.

    Attributes:
        start_ms, end_ms: In the video.
        reason: Why the filter drops it; "" if it does not.
        class_name: The class that it gives the segment; None if it drops it.
    """

    subset: str
    start_ms: int
    end_ms: int
    label_ids: tuple[str, ...]
    reason: str
    class_name: str | None


def segments_of(
    videos: Collection[str], lists: dict[str, Path], classes: ClassTable
) -> dict[str, list[AudioSetSegment]]:
    """Video → its segments in AudioSet's three lists; videos without any are left out.

    Args:
        videos: Ids of videos.
        lists: File name → path, as `metadata.locate` finds them.
        classes: The class list of the label filter.
    """
    found: dict[str, list[AudioSetSegment]] = {}
    for video, segment in _all(sorted(videos), lists, classes):
        found.setdefault(video, []).append(segment)
    return found


def _all(videos: list[str], lists: dict[str, Path], classes: ClassTable) -> Iterator[tuple[str, AudioSetSegment]]:
    rule, known = rule_of(classes), frozenset(classes.nodes)
    for subset in AUDIOSET:
        listed = read_audioset(lists[f"{subset}_segments.csv"], subset, known)
        rows = listed.rows.filter(pl.col("video_id").is_in(videos)).collect()
        if rows.is_empty():
            continue
        fates = decide(listed.label_sets.filter(pl.col("labels").is_in(rows["labels"].implode())), rule)
        fate = {
            labels: (reason, name) for labels, reason, name in fates.select("labels", "reason", "class_name").rows()
        }
        for row in rows.iter_rows(named=True):
            reason, name = fate[row["labels"]]
            times = round(row["start_s"] * 1000), round(row["end_s"] * 1000)
            yield row["video_id"], AudioSetSegment(subset, *times, tuple(row["label_ids"]), reason, name)
