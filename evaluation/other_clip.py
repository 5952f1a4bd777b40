"""The condition `other_clip`: the question about a clip is put together with the clip of another class.

Which clip that is depends only on the ids: the candidate with the highest hash of both (rendezvous hashing; Thaler and
Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 1998). So it is the
same for every model and question, and a clip that joins or leaves the dataset changes few choices.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from mma_bench.errors import DataError

Row: TypeAlias = dict[str, Any]

# What is needed of a row to choose and to show its clip.
COLUMNS: Final = ("base_id", "visual_class", "audio_class", "video_sha256", "audio_sha256")
_SHOWN: Final = ("video_sha256", "audio_sha256")


def other_clips(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """For each base clip the row of another one, which shares no class with it.

    Args:
        rows: Of `aligned`, with COLUMNS.

    Raises:
        DataError: All clips are of one class.
    """
    chosen: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        others = [each for each in rows if _classes(each).isdisjoint(_classes(row))]
        if not others:
            raise DataError(
                f"{row['base_id']}: no other clip is of another class than {row['visual_class']}",
                hint="ask other_clip on a dataset with several classes",
            )
        chosen[row["base_id"]] = max(others, key=lambda each: _hash(row["base_id"], each["base_id"]))
    return chosen


def with_clip_of(row: Row, other: Mapping[str, Any]) -> Row:
    """The row with another clip's id, as its donor, and hashes, in those columns that it has."""
    shown = {"donor_id": other["base_id"], **{name: other[name] for name in _SHOWN}}
    return {**row, **{name: value for name, value in shown.items() if name in row}}


def _classes(row: Mapping[str, Any]) -> set[str]:
    return {row["visual_class"], row["audio_class"]}


def _hash(base_id: str, other_id: str) -> bytes:
    return hashlib.blake2b(f"{base_id}\x1f{other_id}".encode(), digest_size=8).digest()
