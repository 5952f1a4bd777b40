"""Reads a remote file like a local one: only the requested byte ranges, each of them once.

A section of ten seconds is about a megabyte of a video that may have hundreds. A demuxer that reads through
`RangedFile` fetches the index and the packets it needs. Blocks are kept on disk with a list of their checksums, so a
download interrupted even by a kill or a power failure resumes; a block that does not match its checksum is fetched
again.
"""

import io
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mma_bench.errors import InvalidInput, Retryable

BLOCK: Final = 1 << 17
_MOST_BLOCKS: Final = 8  # per request: enough to be fast, few enough to waste little at the section's end
_GRACE_S: Final = 2.0  # a connection may start slowly


class Response(Protocol):
    """A response to a request for bytes; `read` reads its body and returns b"" at the end."""

    status: int

    def header(self, name: str) -> str | None:
        """A header's value."""

    def read(self, size: int) -> bytes:
        """The bytes that have arrived, at most `size`; waits only for the first."""

    def close(self) -> None:
        """Drop the connection."""


@dataclass(frozen=True)
class Limits:
    """The bounds of a download.

    Attributes:
        max_bytes: Of one file, kept blocks included.
        min_bytes_per_s: A request that is slower on average is aborted.
        throttle: Called with the size of each piece before it counts; may wait.
    """

    max_bytes: int
    min_bytes_per_s: float
    throttle: Callable[[int], None]


class RangedFile:
    """A seekable, readable file behind a function that answers requests for byte ranges.

    Args:
        ask: Called with the first and the last byte wanted; raises the connection's errors.
        store: Where blocks are kept (`<store>.bin`, `<store>.json`); the folder exists.
        name: Identifies the file; blocks kept for another name, size or version are dropped.
        limits: See `Limits`.

    Raises:
        InvalidInput: `too_many_bytes`, `empty_file`.
        Retryable: `too_slow`, `short_answer`, `unexpected_status`, `changed_file`.
    """

    def __init__(self, ask: Callable[[int, int], Response], store: Path, name: str, limits: Limits) -> None:
        self._ask, self._name, self._limits = ask, name, limits
        self._bin, self._map = store.with_name(f"{store.name}.bin"), store.with_name(f"{store.name}.json")
        self._blocks: dict[int, int] = {}  # number → CRC-32
        self._size: int | None = None
        self._version = ""
        self._position = 0
        self._ahead = 1
        self._last: tuple[int, bytes] = (-1, b"")
        self.received = 0
        self._resume()

    def tell(self) -> int:
        """The current position."""
        return self._position

    @property
    def size(self) -> int:
        """The file's size in bytes; requests the first block if it is not known yet."""
        if self._size is None:
            self._fetch(0)
        assert self._size is not None
        return self._size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = max(0, offset + (self.size if base is None else base))
        return self._position

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from the current position, none at the end."""
        left = self.size - self._position
        wanted = max(0, left if size < 0 else min(size, left))
        pieces = []
        while wanted > 0:
            number, begin = divmod(self._position, BLOCK)
            piece = self._block(number)[begin : begin + wanted]
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _block(self, number: int) -> bytes:
        if self._last[0] == number:
            return self._last[1]
        kept = self._kept(number)
        if kept is None:
            self._ahead = min(2 * self._ahead, _MOST_BLOCKS) if number - 1 in self._blocks else 1
            self._fetch(number)
            kept = self._kept(number)
        if kept is None:
            raise Retryable("short_answer", f"{self._name}: the bytes from {number * BLOCK} on did not arrive")
        self._last = (number, kept)
        return kept

    def _kept(self, number: int) -> bytes | None:
        if number not in self._blocks:
            return None
        with self._bin.open("rb") as stream:
            stream.seek(number * BLOCK)
            data = stream.read(self._length(number))
        if zlib.crc32(data) != self._blocks[number]:
            del self._blocks[number]
            return None
        return data

    def _length(self, number: int) -> int:
        assert self._size is not None
        return min(BLOCK, self._size - number * BLOCK)

    def _fetch(self, number: int) -> None:
        """Fetch block `number` and the missing read-ahead blocks after it."""
        count = 1
        while count < self._ahead and number + count not in self._blocks:
            count += 1
        first, last = number * BLOCK, (number + count) * BLOCK - 1
        if self._size is not None:
            last = min(last, self._size - 1)
        response = self._ask(first, last)
        try:
            if response.status == 206:
                self._take(response, first, last)
            elif response.status == 200:  # no range support: the whole file from its start
                self._take(response, 0, None)
            else:
                raise Retryable("unexpected_status", f"{self._name}: status {response.status} to a request for bytes")
        finally:
            response.close()

    def _take(self, response: Response, first: int, last: int | None) -> None:
        size = _announced_size(response, whole=last is None)
        if last is None and size is not None and size > self._limits.max_bytes:
            raise InvalidInput(
                "too_many_bytes", f"{self._name}: {size} bytes announced, allowed are {self._limits.max_bytes}"
            )
        if size is None:
            raise Retryable("unexpected_status", f"{self._name}: the response does not give the file's size")
        if size == 0:
            raise InvalidInput("empty_file", f"{self._name} has 0 bytes")
        self._identify(size, response.header("ETag") or response.header("Last-Modified") or "")
        position, pending = first, b""
        started, end = time.monotonic(), size if last is None else min(last + 1, size)
        got = 0
        while position + len(pending) < end:
            piece = response.read(min(BLOCK, end - position - len(pending)))
            if not piece:
                break
            got += len(piece)
            self._count(len(piece))
            passed = time.monotonic() - started
            if passed > _GRACE_S and got < passed * self._limits.min_bytes_per_s:
                raise Retryable("too_slow", f"{self._name}: {got} bytes in {passed:.0f} s")
            pending += piece
            while len(pending) >= BLOCK or (pending and position + len(pending) == size):
                self._keep(position // BLOCK, pending[:BLOCK])
                position += len(pending[:BLOCK])
                pending = pending[BLOCK:]
        if position + len(pending) < end:
            raise Retryable("short_answer", f"{self._name}: {end - position - len(pending)} bytes did not arrive")

    def _count(self, size: int) -> None:
        self._limits.throttle(size)
        self.received += size
        if self.received > self._limits.max_bytes:
            raise InvalidInput(
                "too_many_bytes", f"{self._name}: more than the {self._limits.max_bytes} bytes that are allowed"
            )

    def _keep(self, number: int, data: bytes) -> None:
        with self._bin.open("r+b" if self._bin.exists() else "w+b") as stream:
            stream.seek(number * BLOCK)
            stream.write(data)
        self._blocks[number] = zlib.crc32(data)
        with self._map.open("a") as stream_of_lines:
            stream_of_lines.write(f"{json.dumps([number, self._blocks[number]])}\n")

    def _identify(self, size: int, version: str) -> None:
        if self._size is None:
            self._bin.unlink(missing_ok=True)
            self._map.write_text(f"{json.dumps([self._name, size, version])}\n")
            self._size, self._version = size, version
        elif (size, version) != (self._size, self._version):
            self._map.unlink(missing_ok=True)
            raise Retryable("changed_file", f"{self._name} changed while it was read")

    def _resume(self) -> None:
        """Resume from the blocks of an earlier run, unless a kill has truncated their list."""
        if not (self._map.is_file() and self._bin.is_file()):
            return
        try:
            name, *rest = map(json.loads, self._map.read_text().splitlines(keepends=False))
            if name[0] != self._name:
                return
            self._size, self._version = name[1], name[2]
            self._blocks = dict(rest)
        except (ValueError, IndexError):  # truncated
            self._size, self._blocks = None, {}


def _announced_size(response: Response, *, whole: bool) -> int | None:
    text = response.header("Content-Length") if whole else (response.header("Content-Range") or "").rpartition("/")[2]
    return int(text) if text and text.isascii() and text.isdigit() else None
