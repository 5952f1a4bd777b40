"""What becomes of every file of a folder, or member of a shard: each ends in exactly one way (schema FILES).

A file that may hold a clip of this build is taken (`ok`), refused with a reason, or `unused`; one that holds none is
`unused`:

| reason | meaning |
|---|---|
| `another_file_taken` | another file of the same clip was taken |
| `not_wanted` | its name is that of a segment that this build does not use |
| `misaligned_by_name` | its name says that its sound is another clip's, as the paper's authors name such clips |
| `unknown_name` | a video file whose name has none of the known forms, or is not in the manifest |
| `not_a_video` | another kind of file |
| `link` | a link to a folder or to nothing, or neither a file nor a folder |
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mma_bench.builders.sources.naming import is_video_name, replaced_sound
from mma_bench.executor.ledger import Entry
from mma_bench.tables import escaped

TAKEN: Final = ("ok", "")
ANOTHER_TAKEN: Final = ("unused", "another_file_taken")
NOT_WANTED: Final = "not_wanted"
UNKNOWN_NAME: Final = "unknown_name"
MISALIGNED: Final = "misaligned_by_name"
NOT_A_VIDEO: Final = "not_a_video"
LINK: Final = "link"


def unnamed(name: str) -> str:
    """Why a file is not used whose name is not that of a clip."""
    if not is_video_name(name):
        return NOT_A_VIDEO
    return UNKNOWN_NAME if replaced_sound(name.rpartition(".")[0]) is None else MISALIGNED


class FileAccount:
    """The files of one source, and which clips asked for them.

    Args:
        place: The source's folder, for messages.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._reason: dict[str, str] = {}  # path → why it is not used if no clip asks for it
        self._clips: dict[str, list[str]] = {}  # path → the clips that may be made from it

    def add(self, path: str, reason: str = NOT_WANTED) -> None:
        """A file, by its path from the current folder, and why it is not used if no clip asks for it."""
        self._reason[path] = reason

    def claim(self, paths: Sequence[str], clip_id: str) -> None:
        """A clip may be made from these."""
        for path in paths:
            self._clips.setdefault(path, []).append(clip_id)

    def describe(self) -> str:
        """One line about the video files that no clip asked for, or ""; paths are escaped."""
        videos = {path: reason for path, reason in self._reason.items() if reason in (NOT_WANTED, UNKNOWN_NAME)}
        strange = sorted(path for path, reason in videos.items() if reason == UNKNOWN_NAME)
        idle = sorted(path for path, reason in videos.items() if reason == NOT_WANTED and path not in self._clips)
        parts = [
            f"{len(paths)} {what}, e.g. {', '.join(map(repr, paths[:3]))}"
            for paths, what in ((strange, "with a name of no known form"), (idle, "of segments that are not wanted"))
            if paths
        ]
        unused = len(strange) + len(idle)
        said = f"{unused} of {len(videos)} video files in {self._place} are not used: {'; '.join(parts)}"
        return said if parts else ""

    @property
    def claimed(self) -> list[str]:
        """The clips that asked for a file."""
        return sorted({clip_id for clips in self._clips.values() for clip_id in clips})

    def rows(self, entries: Mapping[str, Entry]) -> Iterator[dict[str, Any]]:
        """A row of FILES per file.

        Args:
            entries: Clip of `claimed` → its entry in the ledger.
        """
        for path, reason in self._reason.items():
            fates: list[tuple[str, str, str | None]] = [
                (*_fate(path, entries[clip_id]), clip_id) for clip_id in self._clips.get(path, ())
            ]
            # A whole video may hold several clips: taken for any of them, it is taken.
            taken = [fate for fate in fates if fate[:2] == TAKEN]
            status, why, clip_id = (taken or fates or [("unused", reason, None)])[0]
            yield {"path": escaped(path), "clip_id": clip_id, "status": status, "reason": why}


def _fate(path: str, entry: Entry) -> tuple[str, str]:
    """Status and reason of a file that the entry's clip asked for."""
    result = entry["result"]
    if path in result.get("refused", {}):
        return "refused", result["refused"][path]
    if entry["status"] != "ok":
        return entry["status"], entry["reason"]
    return TAKEN if result["origin"] in (path, repr(path)) else ANOTHER_TAKEN
