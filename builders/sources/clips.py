"""Clips that are not AudioSet's as a source: a folder with a manifest that says which file a clip is and its licence.

In: `manifest.csv` in `acquire.folder`, the table that `candidates.manifests` names, with a column more: licence, the
clip's own terms with its author's name if they require it. Optional: file, its path in the folder (else the clip's id
with the suffix .mp4, .m4v, .mkv or .webm), and source, what the dataset's column of that name says.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mma_bench.builders.sources.account import LINK, NOT_A_VIDEO, NOT_WANTED, UNKNOWN_NAME, FileAccount
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.builders.sources.naming import is_video_name
from mma_bench.csv_rows import ClipId, CsvRow, Filled, read_rows
from mma_bench.errors import ConfigError, DataError, InvalidInput, Permanent, Retryable
from mma_bench.files import fingerprint
from mma_bench.folders import is_file, path_below, walk

MANIFEST: Final = "manifest.csv"
NAME: Final = "own clips"
SUFFIXES: Final = (".mp4", ".m4v", ".mkv", ".webm")


class _Row(CsvRow):
    clip_id: ClipId
    licence: Filled
    file: str = ""
    source: str = ""


@dataclass(frozen=True)
class ClipCopy:
    """The request for a copy of a clip's file."""

    path: Path
    source: str
    licence: str
    max_bytes: int
    revision: str
    remote = False

    @property
    def suffix(self) -> str:
        """The file's own, in lower case."""
        return self.path.suffix.lower()

    def fetch(self, into: Path) -> Fetched:
        """Copy the file.

        Raises:
            Retryable: `not_copied`, e.g. a full disk or an unmounted network folder.
            InvalidInput: `too_many_bytes`.
        """
        try:
            if (size := self.path.stat().st_size) > self.max_bytes:
                raise InvalidInput("too_many_bytes", f"{self.path} has {size} bytes, allowed are {self.max_bytes}")
            shutil.copyfile(self.path, into)
        except OSError as error:
            raise Retryable("not_copied", f"{self.path} cannot be copied ({error.strerror})") from None
        return Fetched(source=self.source, licence=self.licence, origin=str(self.path))


class ClipsSource:
    """Finds each clip by the manifest.

    Args:
        folder: Where manifest and clips are.
        max_bytes: Larger files are refused before they are copied.

    Raises:
        ConfigError: No manifest, or a row is wrong or names a file outside the folder; names file and line.
    """

    name = NAME

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        try:
            rows = read_rows(folder / MANIFEST, _Row, unique=["clip_id"], hint="correct acquire.folder in params.yaml")
        except DataError as error:  # the configuration chose the folder
            raise ConfigError(error.message, hint=error.hint) from None
        for row in rows:
            if Path(row.file).is_absolute() or ".." in Path(row.file).parts:
                raise ConfigError(f"{row.where}: {row.file!r} leads out of {folder}", hint="correct the row")
        self._rows = {row.clip_id: row for row in rows}
        self.account = FileAccount(repr(str(folder)))
        named = {str(folder / name) for row in rows for name in _names(row)}
        for entry in walk(folder):
            path = str(folder / path_below(folder, entry))
            unnamed = UNKNOWN_NAME if is_video_name(entry.name) else NOT_A_VIDEO
            self.account.add(path, LINK if not is_file(entry) else NOT_WANTED if path in named else unnamed)

    def request(self, segment: Segment) -> Request:
        """A copy of the file of the segment's clip id."""
        row = self._rows.get(segment.clip_id)
        if row is None:
            return Refusal(Permanent("not_in_manifest", f"{self._folder / MANIFEST} has no clip {segment.clip_id!r}"))
        names = _names(row)
        there = [self._folder / name for name in names if (self._folder / name).is_file()]
        if not there:
            return Refusal(Permanent("not_in_folder", f"{self._folder} has no {' or '.join(names)}"))
        if not there[0].resolve().is_relative_to(self._folder.resolve()):
            return Refusal(InvalidInput("link_leaves_folder", f"{there[0]} links to a file outside the folder"))
        self.account.claim(list(map(str, there)), row.clip_id)
        stat, source = there[0].stat(), row.source or NAME
        revision = fingerprint(str(there[0]), stat.st_size, stat.st_mtime_ns, row.licence, source)
        return ClipCopy(there[0], source, row.licence, self._max_bytes, revision)


def _names(row: _Row) -> list[str]:
    """The paths, in the folder, that a clip's file may have."""
    return [row.file] if row.file else [f"{row.clip_id}{suffix}" for suffix in SUFFIXES]
