"""A local folder or mirror of AudioSet clips as a source: each clip is found by its file name and copied.

Names, at any depth, with the suffix .mp4, .m4v, .mkv or .webm; `<id>` is YouTube's, 11 characters:

    Y<id>.mp4   <id>.mp4   <id>_<start>.mp4   <id>_<start>_<end>.mp4   <id>_<start>-<end>.mp4   (Y<id> for any <id>)

Times are seconds (30, 30.0, 000030) or, from 1000 on and without a decimal point, milliseconds (30000). This is
unambiguous: no segment of AudioSet starts after 590 s, and none within the first second except at 0. So is the Y: if it
is part of the id, the id would otherwise have 10 characters.
"""

import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from mma_bench import layout
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.errors import ConfigError, InvalidInput, Permanent, Retryable
from mma_bench.files import fingerprint
from mma_bench.media.probe import probe

SUFFIXES: Final = (".mp4", ".m4v", ".mkv", ".webm")
LICENCE: Final = "video: its uploader's terms on YouTube; labels: CC BY 4.0 (AudioSet)"

_TIME = r"\d{1,9}(?:\.\d{1,9})?"
_NAME = re.compile(rf"Y?([A-Za-z0-9_-]{{11}})(?:_({_TIME})(?:[_-]({_TIME}))?)?", re.ASCII)
_MILLISECONDS_FROM: Final = 1000
_LONGEST_CUT_S: Final = 12.0  # AudioSet's segments last at most 10 s; cutting at keyframes adds up to 2
_HINT: Final = "correct acquire.folder in params.yaml"
_FICLONE: Final = 0x40049409  # Linux: let two files share their blocks until one is written to


@dataclass(frozen=True)
class Cut:
    """The contents of a file by its name; times in milliseconds of the source video, None if the name has none."""

    video_id: str
    start_ms: int | None = None
    end_ms: int | None = None


def parse_name(name: str) -> Cut | None:
    """Parse a file name; None if it has none of the known forms."""
    stem, dot, suffix = name.rpartition(".")
    match = _NAME.fullmatch(stem)
    if match is None or f"{dot}{suffix}".lower() not in SUFFIXES:
        return None
    video_id, start, end = match.groups()
    return Cut(video_id, _milliseconds(start), _milliseconds(end))


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    if "." not in text and int(text) >= _MILLISECONDS_FROM:
        return int(text)
    return round(float(text) * 1000)


class Named(Protocol):
    """Something found by its name."""

    @property
    def path(self) -> str:
        """Its path in the folder or shard."""

    @property
    def cut(self) -> Cut:
        """The parsed name."""


Clip = TypeVar("Clip", bound=Named)


def best_first(found: Sequence[Clip], segment: Segment) -> list[Clip]:
    """Candidates for the segment: by start and end, by start, by id alone; each sorted by path."""
    start_ms, end_ms = round(segment.start_s * 1000), round(segment.end_s * 1000)
    wanted = [(start_ms, end_ms), (start_ms, None), (None, None)]
    matching = [clip for clip in found if (clip.cut.start_ms, clip.cut.end_ms) in wanted]
    return sorted(matching, key=lambda clip: (wanted.index((clip.cut.start_ms, clip.cut.end_ms)), clip.path))


@dataclass(frozen=True)
class Found:
    """A file of the folder; `path` is relative to it."""

    path: str
    cut: Cut
    inside: bool  # False for a link to a file elsewhere


@dataclass(frozen=True)
class FolderCopy:
    """The request for a copy of a file."""

    folder: Path
    found: Found
    max_bytes: int
    note: str
    revision: str
    remote = False

    @property
    def suffix(self) -> str:
        """The file's own, in lower case."""
        return Path(self.found.path).suffix.lower()

    def fetch(self, into: Path) -> Fetched:
        """Copy the file.

        Raises:
            Retryable: `not_copied`, e.g. a full disk or an unmounted network folder.
            InvalidInput: `too_many_bytes`; `not_a_cut` if the name gives no start and the file is longer than any
                segment.
        """
        file, shown = self.folder / self.found.path, _shown(self.folder, self.found)
        try:
            if (size := file.stat().st_size) > self.max_bytes:
                raise InvalidInput("too_many_bytes", f"{shown} has {size} bytes, allowed are {self.max_bytes}")
            _copy(file, into)
        except OSError as error:
            raise Retryable("not_copied", f"{shown} cannot be copied ({error.strerror})") from None
        if self.found.cut.start_ms is None:
            refuse_whole_video(into, shown)
        return Fetched(source=FolderSource.name, licence=LICENCE, origin=shown, note=self.note)


def _shown(folder: Path, found: Found) -> str:
    # Untrusted names may hold control characters, text directions, or bytes that are not text; repr escapes them.
    return repr(str(folder / found.path))


def refuse_whole_video(clip: Path, shown: str) -> None:
    """Refuse a clip whose name has no start if it is longer than any segment.

    Raises:
        InvalidInput: `not_a_cut`, or why it cannot be read.
    """
    try:
        seconds = probe(clip).duration_s
    except InvalidInput as error:
        error.subject = shown
        raise
    if seconds is None or seconds > _LONGEST_CUT_S:
        lasts = "does not say how long it is" if seconds is None else f"lasts {seconds:.1f} s"
        raise InvalidInput("not_a_cut", f"{shown} {lasts} and its name has no start, so where to cut is not known")


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
        for found in _files(folder):
            self._by_video.setdefault(found.cut.video_id, []).append(found)
        if not self._by_video:
            raise ConfigError(
                f"{str(folder)!r} holds no clip with a known name (Y<id>.mp4, <id>_<start>.mp4, "
                "<id>_<start>_<end>.mp4; .m4v, .mkv and .webm too)",
                hint=f"{_HINT}, or rename the files",
            )

    def request(self, segment: Segment) -> Request:
        """A copy of the best match: by start and end, by start, by id alone; then the first by path."""
        files = self._by_video.get(segment.video_id, [])
        matching = best_first(files, segment)
        if not matching:
            others = f"; of this video it holds {files[0].path!r}" if files else ""
            where = f"{segment.video_id[:80]!r} from {segment.start_s:g} s to {segment.end_s:g} s"
            return Refusal(Permanent("not_in_folder", f"{str(self._folder)!r} has no file for {where}{others}"))
        inside = [found for found in matching if found.inside]
        if not inside:
            shown = _shown(self._folder, matching[0])
            return Refusal(InvalidInput("link_leaves_folder", f"{shown} links to a file outside the folder"))
        best, *rest = inside
        note = f"took {best.path!r}, not {', '.join(repr(other.path) for other in rest)}" if rest else ""
        return self._copy_of(best, note)

    def _copy_of(self, found: Found, note: str) -> Request:
        file, shown = self._folder / found.path, _shown(self._folder, found)
        if not os.access(file, os.R_OK):
            return Refusal(InvalidInput("not_readable", f"{shown} may not be read by this user"))
        stat = file.stat()
        # Size and modification time instead of a content hash: a full mirror has terabytes.
        revision = fingerprint(shown, stat.st_size, stat.st_mtime_ns, note)
        return FolderCopy(self._folder, found, self._max_bytes, note, revision)


def _files(folder: Path, below: str = "") -> Iterator[Found]:
    """The clips under `folder`, sorted; links to folders are not followed, which avoids loops."""
    try:
        with os.scandir(folder / below) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        print(f"acquire: {str(folder / below)!r} cannot be read ({error.strerror}) and is skipped", file=sys.stderr)
        return
    for entry in entries:
        path = os.path.join(below, entry.name)  # noqa: PTH118 - millions of them
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder, path)
        elif entry.is_symlink():
            yield from _linked(folder, path)
        elif (cut := parse_name(entry.name)) is not None and entry.is_file(follow_symlinks=False):
            yield Found(path, cut, inside=True)


def _linked(folder: Path, path: str) -> Iterator[Found]:
    link = folder / path
    if link.is_dir():
        print(f"acquire: {str(link)!r} is a link to a folder and is skipped", file=sys.stderr)
    elif (cut := parse_name(link.name)) is not None and link.is_file():
        yield Found(path, cut, inside=link.resolve().is_relative_to(folder.resolve()))
