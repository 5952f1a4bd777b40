"""The append-only ledger of a clip-by-clip stage: JSON lines, one per attempt, fsynced some at a time.

A clip's line is written after its file was renamed into place and has reached the disk, so a line without its file
means that the file was removed, and a file without its line is made again. A line truncated by a kill is dropped when
the ledger is opened.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from pydantic_core import from_json

from mma_bench.errors import DataError, StageError
from mma_bench.faults import advice, machine_fault

Entry: TypeAlias = dict[str, Any]


class Ledger:
    """Attempts by key. Use as a context manager; one process at a time holds a ledger.

    Raises:
        StageError: Another process holds it.
        DataError: A line in the middle is not a JSON object (a truncated last line is normal and dropped).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._latest: dict[str, int] = {}  # as places in the file: 200,000 dictionaries would take 0.9 GB
        self._file: FileIO | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._file = self.path.open("r+b", buffering=0)  # so that nothing is left to be written after a full disk
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise StageError(
                f"{self.path} is held by another process", hint="wait until the other command ends, or stop it"
            ) from None
        self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> None:
        assert self._file is not None
        whole = 0  # bytes up to the last complete line
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    self._latest[parse_entry(line)["key"]] = _place(whole, len(line))
                except (ValueError, TypeError, KeyError):
                    self._file.close()
                    raise DataError(
                        f"{self.path}, line {number}: not a ledger entry",
                        hint="remove the line, or the whole file to start the stage from scratch",
                    ) from None
                whole += len(line)
        self._file.truncate(whole)
        self._file.seek(whole)

    def latest(self, key: str) -> Entry | None:
        """The last attempt at `key`, or None."""
        assert self._file is not None
        place = self._latest.get(key)
        return None if place is None else _entry_at(self._file, place)

    def entries(self) -> Iterator[Entry]:
        """The last attempt at each key."""
        assert self._file is not None
        for place in self._latest.values():
            yield _entry_at(self._file, place)

    def of(self, keys: Sequence[str]) -> "Entries":
        """The last attempts at these keys, of which each has one; they can be read after the ledger is closed."""
        return Entries(self.path, keys, self._latest)

    def append(self, *entries: Entry) -> None:
        """Add attempts; on return they have reached the disk.

        Raises:
            StageError: They cannot be written, e.g. on a full disk.
        """
        assert self._file is not None
        at = self._file.tell()
        # A lone surrogate, as in a file name that is not UTF-8, becomes its JSON escape.
        texts = (json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in entries)
        lines = [text.encode(errors="backslashreplace") + b"\n" for text in texts]
        try:
            rest = memoryview(b"".join(lines))
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            fault = machine_fault(error)
            raise StageError(
                f"{self.path} cannot be written ({error.strerror}); the other clips are kept",
                hint=advice(fault.reason if fault else "", "run the same command again"),
            ) from None
        for entry, line in zip(entries, lines, strict=True):
            self._latest[entry["key"]] = _place(at, len(line))
            at += len(line)


class Entries:
    """Entries of a ledger in the order of `keys`, read from its file each time they are asked for."""

    def __init__(self, path: Path, keys: Sequence[str], places: Mapping[str, int]) -> None:
        self._path, self._keys, self._places = path, keys, places

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Entry]:
        return self.by_key(self._keys)

    def by_key(self, keys: Iterable[str]) -> Iterator[Entry]:
        """The entries of these keys, in their order.

        Raises:
            KeyError: One has no entry.
        """
        with self._path.open("rb", buffering=0) as file:
            for key in keys:
                yield _entry_at(file, self._places[key])


def _place(start: int, length: int) -> int:
    return start << 32 | length


def _entry_at(file: FileIO, place: int) -> Entry:
    return parse_entry(os.pread(file.fileno(), place & 0xFFFFFFFF, place >> 32))


def parse_entry(line: bytes) -> Entry:
    """An entry from its line; raises ValueError if it is not JSON."""
    try:
        return cast(Entry, from_json(line))
    except ValueError:  # also for an escaped lone surrogate, which only the standard library reads
        return cast(Entry, json.loads(line))
