"""The append-only ledger of a clip-by-clip stage: JSON lines, one per attempt, fsynced before the next begins.

A clip's line is written after its file was renamed into place, so a line without its file means that the file was
removed, and a file without its line is made again. A line truncated by a kill is dropped when the ledger is opened.
"""

import fcntl
import json
import os
from collections.abc import Iterator
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
        self._latest: dict[str, bytes] = {}  # as lines: 200,000 dictionaries would take half a gigabyte
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
                f"{self.path} is held by another process", hint="wait until the other build ends, or stop it"
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
                    self._latest[parse_entry(line)["key"]] = line
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
        line = self._latest.get(key)
        return None if line is None else parse_entry(line)

    def entries(self) -> Iterator[Entry]:
        """The last attempt at each key."""
        for line in self._latest.values():
            yield parse_entry(line)

    def append(self, entry: Entry) -> None:
        """Add one attempt; on return it has reached the disk.

        Raises:
            StageError: It cannot be written, e.g. on a full disk.
        """
        assert self._file is not None
        # A lone surrogate, as in a file name that is not UTF-8, becomes its JSON escape.
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        line = text.encode(errors="backslashreplace") + b"\n"
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            fault = machine_fault(error)
            raise StageError(
                f"{self.path} cannot be written ({error.strerror}); the other clips are kept",
                hint=advice(fault.reason if fault else "", "run the same command again"),
            ) from None
        self._latest[entry["key"]] = line


def parse_entry(line: bytes) -> Entry:
    """An entry from its line; raises ValueError if it is not JSON."""
    try:
        return cast(Entry, from_json(line))
    except ValueError:  # also for an escaped lone surrogate, which only the standard library reads
        return cast(Entry, json.loads(line))
