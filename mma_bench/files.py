"""Atomic writes, content hashes and path-safe names."""

import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mma_bench.errors import InvalidInput

# YouTube ids may start with "-" and contain "_"; a dot separates the parts of a variant's id.
_SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success fsync it and rename it onto `path`, on error remove it.

    A reader sees either the old or the new bytes, never a partial file; a kill leaves at most a `.tmp-*` file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept at the end because muxers choose the container by it.
    staged = path.with_name(f".tmp-{uuid.uuid4().hex}{path.suffix}")
    try:
        yield staged
        fsync(staged)
        staged.replace(path)
        fsync(path.parent)
    finally:
        staged.unlink(missing_ok=True)


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


def remove_strays(folder: Path, keep: Iterable[Path]) -> list[Path]:
    """Remove the files below `folder` that are not in `keep`, such as clips of earlier parameters; return them."""
    wanted = {path.absolute() for path in keep}
    strays = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.absolute() not in wanted]
    for path in strays:
        path.unlink()
    return strays
