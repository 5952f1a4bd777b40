"""A local folder or mirror of AudioSet clips as a source: each clip is found by its file name and copied.

Names and the check of lengths are those of `naming`; files may be at any depth. Files that may hold the segment are
tried in order until one can be used: an empty file, an error page or a picture without sound under a better name does
not hide a good clip.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mma_bench import layout
from mma_bench.builders.sources.account import LINK, FileAccount, unnamed
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.builders.sources.naming import (
    SUFFIXES,
    VERSION,
    Cut,
    best_first,
    check_length,
    first_usable,
    parse_name,
)
from mma_bench.errors import ConfigError, InvalidInput, Permanent, Retryable
from mma_bench.files import fingerprint
from mma_bench.folders import is_file, path_below, walk

LICENCE: Final = "video: its uploader's terms on YouTube; labels: CC BY 4.0 (AudioSet)"

_HINT: Final = "correct acquire.folder in params.yaml"
_FICLONE: Final = 0x40049409  # Linux: let two files share their blocks until one is written to


@dataclass(frozen=True)
class Found:
    """A file of the folder; `path` is relative to it."""

    path: str
    cut: Cut
    inside: bool  # False for a link to a file elsewhere


@dataclass(frozen=True)
class FolderCopy:
    """The request for a copy of the first of some files that can be used."""

    folder: Path
    found: tuple[Found, ...]  # best first, at least one
    segment: Segment
    max_bytes: int
    revision: str
    remote = False

    @property
    def suffix(self) -> str:
        """That of the first file, in lower case; another one may be in another container."""
        return Path(self.found[0].path).suffix.lower()

    def fetch(self, into: Path) -> Fetched:
        """Copy the file.

        Raises:
            Retryable: `not_copied`, e.g. a full disk or an unmounted network folder.
            InvalidInput: `too_many_bytes`, `link_leaves_folder`, `not_readable`, those of `check_length` and
                `mma_bench.media`.
        """
        best, note, refused = first_usable(
            self.found, lambda found: self._take(found, into), into, lambda found: str(self.folder / found.path)
        )
        origin = _shown(self.folder, best)
        return Fetched(source=FolderSource.name, licence=LICENCE, origin=origin, note=note, refused=refused)

    def _take(self, found: Found, into: Path) -> str:
        file, shown = self.folder / found.path, _shown(self.folder, found)
        if not found.inside:
            raise InvalidInput("link_leaves_folder", f"{shown} links to a file outside the folder")
        if file.exists() and not os.access(file, os.R_OK):
            raise InvalidInput("not_readable", f"{shown} may not be read by this user")
        try:
            if (size := file.stat().st_size) > self.max_bytes:
                raise InvalidInput("too_many_bytes", f"{shown} has {size} bytes, allowed are {self.max_bytes}")
            _copy(file, into)
        except OSError as error:
            raise Retryable("not_copied", f"{shown} cannot be copied ({error.strerror})") from None
        return check_length(into, found.cut, self.segment, shown)


def _version(folder: Path, found: Found) -> tuple[str, int, int]:
    # Size and modification time instead of a content hash: a full mirror has terabytes.
    try:
        stat = (folder / found.path).stat()
    except OSError:  # removed since the scan
        return _shown(folder, found), 0, 0
    return _shown(folder, found), stat.st_size, stat.st_mtime_ns


def _shown(folder: Path, found: Found) -> str:
    # Untrusted names may hold control characters, text directions, or bytes that are not text; repr escapes them.
    return repr(str(folder / found.path))


def _copy(source: Path, target: Path) -> None:
    # Never a hard link: a cache that write-protects its files would write-protect the mirror's.
    with source.open("rb") as reader, target.open("xb") as writer:
        try:
            fcntl.ioctl(writer, _FICLONE, reader.fileno())
        except OSError:  # another file system, or one without block sharing
            shutil.copyfileobj(reader, writer, 1 << 20)


class FolderSource:
    """Finds clips by name under a folder, which is scanned once, when the source is opened.

    Args:
        folder: Where the clips are.
        max_bytes: Larger files are refused before they are copied.

    Raises:
        ConfigError: No such folder, one that overlaps with this stage's output, or no clip in it.
    """

    name = "folder of AudioSet clips"

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        if not folder.is_dir():
            raise ConfigError(f"{str(folder)!r} is not a directory", hint=_HINT)
        mirror, clips = folder.resolve(), layout.ACQUIRED_CLIPS.resolve()
        if mirror.is_relative_to(clips) or clips.is_relative_to(mirror):
            raise ConfigError(
                f"{str(folder)!r} and {layout.ACQUIRED_CLIPS}, where this stage writes and removes files, overlap",
                hint="move the clips to a separate folder, and set acquire.folder in params.yaml to it",
            )
        self._folder = folder
        self._max_bytes = max_bytes
        self._by_video: dict[str, list[Found]] = {}
        self.account = FileAccount(repr(str(folder)))
        for found in _files(folder, self.account):
            self._by_video.setdefault(found.cut.video_id, []).append(found)
        if not self._by_video:
            others = self.account.describe()
            raise ConfigError(
                f"{str(folder)!r} holds no clip with a known name (Y<id>.mp4, <id>_<start>.mp4, "
                f"<id>_<start>_<end>.mp4, title [<id>].mp4; also {', '.join(SUFFIXES[1:-1])})"
                + (f"; {others}" if others else ""),
                hint=f"{_HINT}, or rename the files",
            )

    def request(self, segment: Segment) -> Request:
        """A copy of the best file that can be used: by start and end, by start, by id alone; each by path."""
        files = self._by_video.get(segment.video_id, [])
        matching = best_first(files, segment)
        if not matching:
            others = f"; of this video it holds {files[0].path!r}" if files else ""
            where = f"{segment.video_id[:80]!r} from {segment.start_s:g} s to {segment.end_s:g} s"
            return Refusal(Permanent("not_in_folder", f"{str(self._folder)!r} has no file for {where}{others}"))
        self.account.claim([str(self._folder / found.path) for found in matching], segment.clip_id)
        revision = fingerprint(VERSION, segment.end_s, [_version(self._folder, found) for found in matching])
        return FolderCopy(self._folder, tuple(matching), segment, self._max_bytes, revision)


def _files(folder: Path, account: FileAccount) -> Iterator[Found]:
    """The clips under `folder`; all its files are added to the account. Links to folders are not followed."""

    def skipped(error: OSError) -> None:
        print(f"acquire: {error.filename!r} cannot be read ({error.strerror}) and is skipped", file=sys.stderr)

    for entry in walk(folder, skipped):
        path = path_below(folder, entry)
        shown = str(folder / path)
        if not is_file(entry):
            account.add(shown, LINK)
            if entry.is_symlink() and Path(entry.path).is_dir():
                print(f"acquire: {shown!r} is a link to a folder and is skipped", file=sys.stderr)
        elif (cut := parse_name(entry.name)) is not None:
            account.add(shown)
            yield Found(path, cut, not entry.is_symlink() or _stays_inside(folder, path))
        else:
            account.add(shown, unnamed(entry.name))


def _stays_inside(folder: Path, path: str) -> bool:
    return (folder / path).resolve().is_relative_to(folder.resolve())
