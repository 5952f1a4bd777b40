"""Atomic writes, content hashes and path-safe names."""

import ctypes
import errno
import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import ConfigError, InvalidInput, MachineFault
from mma_bench.faults import machine_fault

# YouTube ids may start with "-" and contain "_"; a dot separates the parts of a variant's id.
_SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


_OF_WRITES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})

# The list that `synced_later` has given out, if any; threads that a caller starts have none and sync by themselves.
_renamed: ContextVar[list[Path] | None] = ContextVar("renamed", default=None)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success fsync it and rename it onto `path`, on error remove it.

    A reader sees either the old or the new bytes, never a partial file; a kill leaves at most a `.tmp-*` file.

    Raises:
        OSError: The file cannot be written; names `path`, not the temporary file.
        MachineFault: The same, found in another library's error.
    """
    renamed = _renamed.get()
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept at the end because muxers choose the container by it.
    staged = path.with_name(f".tmp-{uuid.uuid4().hex}{path.suffix}")
    try:
        yield staged
        if renamed is None:
            fsync(staged)
        staged.replace(path)
        if renamed is None:
            fsync(path.parent)
        else:
            renamed.append(path.absolute())
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            # Some writes that fail name no file at all.
            if str(error.filename) == str(staged) or (error.filename is None and error.errno in _OF_WRITES):
                error.filename = str(path)
            raise
        fault = machine_fault(error)  # in the words of another library
        if not isinstance(fault, MachineFault) or fault is error:
            raise
        fault.subject = path
        raise fault from error
    finally:
        if staged.exists():  # on a read-only disk, removing a file that is not there fails too
            staged.unlink()


@contextmanager
def synced_later() -> Iterator[list[Path]]:
    """Inside, `atomic_path` does not wait for the disk; yields the list of the paths that it renames, for `sync_files`.

    Until they are synced, a kill leaves them whole, but a power failure may leave them empty or cut: nothing that
    stays on the disk may say before then that they are there.
    """
    paths: list[Path] = []
    token = _renamed.set(paths)
    try:
        yield paths
    finally:
        _renamed.reset(token)


def sync_files(paths: Iterable[Path]) -> None:
    """Flush files and the entries of their folders to disk; those that are gone again are left out.

    Where the system can flush a whole file system in one call, and says if that failed (Linux 5.8), that is done, since
    it takes about as long as one file.

    Raises:
        OSError: Something could not be written.
    """
    files = [path for path in paths if path.exists()]
    folders = {path.parent for path in files}
    if _SYNCFS is None:
        for path in (*files, *folders):
            fsync(path)
        return
    for folder in {folder.stat().st_dev: folder for folder in folders}.values():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if _SYNCFS(descriptor) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), str(folder))
        finally:
            os.close(descriptor)


def _syncfs() -> Callable[[int], int] | None:
    """The system's call, which returns 0 or sets errno; None if there is none or it does not report lost writes."""
    if not sys.platform.startswith("linux"):
        return None
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if version is None or (int(version[1]), int(version[2])) < (5, 8):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return found


_SYNCFS: Final = _syncfs()


def fsync(path: Path) -> None:
    """Flush a file, or a directory's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; lone surrogates, which a model's answer may hold, are written as their escapes."""
    with atomic_path(path) as staged:
        staged.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: two spaces, keys in the order given, a newline at the end; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def set_aside(path: Path, what: str) -> None:
    """Rename a damaged file, so that it neither stops this run nor is lost, and say so on stderr.

    Args:
        what: What follows from it.
    """
    kept = path.with_name(f"{path.name}.damaged")
    path.replace(kept)
    print(f"{path} is damaged and was renamed to {kept.name}: {what}", file=sys.stderr)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(*parts: Any) -> str:
    """SHA-256 of the JSON form of `parts`: equal for equal inputs and parameters, in any process."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def clip_path(folder: Path, clip_id: str, suffix: str = ".mp4") -> Path:
    """The path of a clip in `folder`.

    Raises:
        InvalidInput: `unsafe_id` if the id could escape the folder or be a hidden file.
    """
    if not _SAFE_ID.fullmatch(clip_id) or ".." in clip_id:
        raise InvalidInput(
            "unsafe_id", f"{clip_id[:80]!r} is not a clip id: letters, digits, '-', '_' and single dots only"
        )
    return folder / f"{clip_id}{suffix}"


def named_file(path: Path, key: str, hint: str) -> Path:
    """The path of a file that a key of params.yaml names.

    Raises:
        ConfigError: It is a folder, or does not exist.
    """
    if path.is_dir():
        raise ConfigError(f"{key} names {str(path)!r}, which is a folder", hint=f"name a file; {hint}")
    if not path.is_file():
        raise ConfigError(f"{key} names {str(path)!r}, which does not exist", hint=hint)
    return path


def remove_strays(folder: Path, keep: Iterable[Path]) -> list[Path]:
    """Remove the files below `folder` that are not in `keep`, such as clips of earlier parameters; return them."""
    wanted = {path.absolute() for path in keep}
    strays = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.absolute() not in wanted]
    for path in strays:
        path.unlink()
    return strays
