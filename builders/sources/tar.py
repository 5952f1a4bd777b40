"""WebDataset shards as a source: tar files below a folder, each clip is found by its member's name and read in place.

Members are named like the files of a folder of clips (`folder`). Shards are plain tar files, whose members can be read
in place; compressed ones are skipped with a message. A shard with an invalid member is rejected as a whole, before any
clip is fetched: an absolute name, `..`, a link, a device, a member that claims to be larger than the rest of its file
(a bomb, or a truncated shard).
"""

import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

from mma_bench.builders.sources.account import FileAccount, unnamed
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.builders.sources.folder import LICENCE
from mma_bench.builders.sources.naming import (
    VERSION,
    Cut,
    best_first,
    check_length,
    first_usable,
    parse_name,
)
from mma_bench.errors import ConfigError, InvalidInput, Permanent, Retryable
from mma_bench.files import fingerprint
from mma_bench.folders import is_file, walk
from mma_bench.progress import Progress

_LARGEST_HEADER: Final = 1 << 16  # bytes; a longer extended header is not a clip's name
_PIECE: Final = 1 << 20
_HINT: Final = "remove the shard from the folder that acquire.shards in params.yaml names, or recreate it"


@dataclass(frozen=True)
class Member:
    """A clip in a shard; `path` is the member's name."""

    shard: Path
    path: str
    cut: Cut
    offset: int
    size: int


@dataclass(frozen=True)
class TarRead:
    """The request for a copy of the first of some members that can be used."""

    members: tuple[Member, ...]  # best first, at least one
    segment: Segment
    max_bytes: int
    revision: str
    remote = False

    @property
    def suffix(self) -> str:
        """That of the first member, in lower case; another one may be in another container."""
        return PurePosixPath(self.members[0].path).suffix.lower()

    def fetch(self, into: Path) -> Fetched:
        """Copy the member.

        Raises:
            Retryable: `not_copied`.
            InvalidInput: `too_many_bytes`, those of `naming.check_length` and `mma_bench.media`.
        """
        best, note, refused = first_usable(self.members, lambda member: self._take(member, into), into, _full_path)
        return Fetched(source=TarSource.name, licence=LICENCE, origin=_shown(best), note=note, refused=refused)

    def _take(self, member: Member, into: Path) -> str:
        shown = _shown(member)
        if member.size > self.max_bytes:
            raise InvalidInput("too_many_bytes", f"{shown} has {member.size} bytes, allowed are {self.max_bytes}")
        try:
            with member.shard.open("rb") as reader, into.open("xb") as writer:
                reader.seek(member.offset)
                left = member.size
                while left > 0:
                    piece = reader.read(min(_PIECE, left))
                    if not piece:
                        raise Retryable("not_copied", f"{shown}: the shard became shorter while it was read")
                    writer.write(piece)
                    left -= len(piece)
        except OSError as error:
            raise Retryable("not_copied", f"{shown} cannot be copied ({error.strerror})") from None
        return check_length(into, member.cut, self.segment, shown)


class TarSource:
    """Finds clips by name in the shards under a folder; headers are read once, when the source is opened.

    Args:
        folder: Where the shards are, at any depth.
        max_bytes: Larger clips are refused before they are copied.

    Raises:
        ConfigError: No such folder, no clip in it, or a shard that is refused.
    """

    name = "WebDataset shards of AudioSet clips"

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        if not folder.is_dir():
            raise ConfigError(f"{str(folder)!r} is not a directory", hint="correct acquire.shards in params.yaml")
        self._folder, self._max_bytes = folder, max_bytes
        self._by_video: dict[str, list[Member]] = {}
        self.account = FileAccount(repr(str(folder)))
        files = sorted(Path(entry.path) for entry in walk(folder) if is_file(entry))
        packed = [path for path in files if path.name.endswith((".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"))]
        if packed:
            print(
                f"acquire: {len(packed)} compressed shards are skipped, the first is {str(packed[0])!r}; "
                "unpack them to plain .tar",
                file=sys.stderr,
            )
        shards = [path for path in files if path.suffix == ".tar"]
        with Progress("acquire: reading shards", len(shards), unit="shard") as progress:
            for shard in shards:
                for member in members(shard, self.account):
                    self._by_video.setdefault(member.cut.video_id, []).append(member)
                progress.advance()
        if not self._by_video:
            raise ConfigError(
                f"{str(folder)!r} holds no .tar file with a clip of a known name (<id>_<start>.mp4 and others)",
                hint="correct acquire.shards in params.yaml, or rename the members",
            )

    def request(self, segment: Segment) -> Request:
        """A copy of the best member that can be used, by the rules of `naming`."""
        found = best_first(self._by_video.get(segment.video_id, []), segment)
        if not found:
            where = f"{segment.video_id[:80]!r} from {segment.start_s:g} s to {segment.end_s:g} s"
            return Refusal(Permanent("not_in_shards", f"{str(self._folder)!r} has no member for {where}"))
        self.account.claim([_full_path(member) for member in found], segment.clip_id)
        stats = [(member.shard.stat(), member) for member in found]
        revision = fingerprint(
            VERSION, segment.end_s, [(_shown(m), m.offset, m.size, s.st_size, s.st_mtime_ns) for s, m in stats]
        )
        return TarRead(tuple(found), segment, self._max_bytes, revision)


def _version(member: Member) -> tuple[str, int, int, int, int]:
    stat = member.shard.stat()
    return _shown(member), member.offset, member.size, stat.st_size, stat.st_mtime_ns


def members(shard: Path, account: FileAccount) -> Iterator[Member]:
    """The clips of a shard; all its members are added to the account.

    Raises:
        ConfigError: The shard is refused; names it, the member and why.
    """
    size = shard.stat().st_size
    try:
        with shard.open("rb") as stream:
            guarded = cast(BinaryIO, _Guarded(stream))
            with tarfile.open(fileobj=guarded, mode="r:", errorlevel=2) as archive:
                for member in archive:
                    why = _refusal(member, size)
                    if why:
                        raise _refused(shard, member.name, why)
                    cut = parse_name(PurePosixPath(member.name).name) if member.isreg() else None
                    if cut is None and member.isreg():
                        account.add(f"{shard}/{member.name}", unnamed(member.name))
                    if cut is not None:
                        account.add(f"{shard}/{member.name}")
                        yield Member(shard, member.name, cut, member.offset_data, member.size)
                    archive.members.clear()  # type: ignore[attr-defined]  # otherwise a million headers stay in memory
    except (tarfile.TarError, OSError, ValueError) as error:
        raise _refused(shard, "", f"it is not a complete tar file ({error})") from None


def _refusal(member: tarfile.TarInfo, size: int) -> str:
    name = PurePosixPath(member.name)
    if name.is_absolute() or member.name.startswith("\\"):
        return "an absolute name"
    if ".." in name.parts or "\0" in member.name:
        return "a name that leaves the shard"
    if member.issparse():
        return "a sparse member, which claims bytes that it does not have"
    if not (member.isreg() or member.isdir()):
        return "a link or a device"
    if member.size < 0 or member.offset_data < 0:
        return f"a member of {member.size} bytes"
    if member.offset_data + member.size > size:
        return f"a member of {member.size} bytes, more than the rest of the file"
    return ""


def _refused(shard: Path, member: str, why: str) -> ConfigError:
    named = f", member {member[:200]!r}" if member else ""
    return ConfigError(f"{str(shard)!r}{named}: refused, {why}", hint=_HINT)


def _shown(member: Member) -> str:
    return repr(_full_path(member))


def _full_path(member: Member) -> str:
    return f"{member.shard}/{member.path}"


class _Guarded:
    """A stream that refuses to read an oversized header."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.HeaderError(f"a header of {size} bytes")
        return self._stream.read(size)
