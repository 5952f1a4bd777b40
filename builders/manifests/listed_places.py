"""Where the clips of a published list are in their videos, and how long they are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mma_bench.builders.manifests.audioset_segments import AudioSetSegment
from mma_bench.builders.manifests.listed_clips import HINT, Named
from mma_bench.builders.manifests.listed_entries import Listed
from mma_bench.errors import DataError

SEGMENT_MS: Final = 10_000  # AudioSet's segments, but for those that a video's end cuts short


@dataclass(frozen=True)
class Places:
    """Where clips are in their videos: by the list, and by AudioSet.

    Attributes:
        listed: Video → start → the ends that the list states, in milliseconds, wherever in the list.
        audioset: Video → its segments.
    """

    listed: Mapping[str, Mapping[int, Collection[int]]]
    audioset: Mapping[str, Sequence[AudioSetSegment]]

    @classmethod
    def of(cls, entries: Sequence[Listed], audioset: Mapping[str, Sequence[AudioSetSegment]]) -> "Places":
        listed: dict[str, dict[int, set[int]]] = {}
        for clip in (entry.clip for entry in entries):
            if clip.start_ms is not None:
                ends = listed.setdefault(clip.video_id, {}).setdefault(clip.start_ms, set())
                ends.update(() if clip.end_ms is None else (clip.end_ms,))
        return cls(listed, audioset)

    def of_clip(self, clip: Named, where: str) -> tuple[str, int, int]:
        """Id, start and end of a clip: as the entry says, else as another of its video does, else as AudioSet does."""
        listed, segments = self.listed.get(clip.video_id, {}), self.audioset.get(clip.video_id, ())
        start_ms = clip.start_ms
        if start_ms is None:
            starts = set(listed) or {segment.start_ms for segment in segments}
            if len(starts) != 1:
                place = "the list" if listed else "AudioSet"
                said = f"has {len(starts)} segments in {place}" if starts else "is not in AudioSet"
                raise DataError(f"{where}: its start is not stated, and {clip.video_id} {said}", hint=HINT)
            start_ms = starts.pop()
        ends = sorted(listed.get(start_ms, ())) or [each.end_ms for each in segments if each.start_ms == start_ms]
        end_ms = clip.end_ms or next(iter(ends), start_ms + SEGMENT_MS)
        if end_ms - start_ms > SEGMENT_MS:
            raise DataError(f"{where}: {(end_ms - start_ms) / 1000:g} s are longer than AudioSet's 10 s", hint=HINT)
        return f"{clip.video_id}_{start_ms}", start_ms, end_ms
