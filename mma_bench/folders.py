"""Folders: written as a whole, by one writer at a time; and read however deep they are."""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mma_bench.errors import StageError

_OURS = re.compile(r"[0-9a-f]{32}")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of an output, `.tmp-<name>.lock` beside it, which is released however the process ends.

    Raises:
        StageError: Another process holds it.
    """
    path = path.resolve()
    lock = path.with_name(f".tmp-{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StageError(
                f"{path} is being written by another process", hint="wait until that ends, or stop it"
            ) from None
        if _is_at(descriptor, lock):
            break
        os.close(descriptor)  # its holder removed it meanwhile
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Hold the lock of `folder` and yield a new, empty folder beside it, which is removed at the end if it is left.

    If `folder` is a symbolic link, its target's lock and place are meant.
    """
    folder = folder.resolve()
    with exclusive(folder):
        stem = f".tmp-{folder.name}-"
        for left in folder.parent.iterdir():
            # Only those of processes that were killed, not those of an output with a longer name.
            if left.name.startswith(stem) and _OURS.fullmatch(left.name.removeprefix(stem)):
                shutil.rmtree(left)
        staged = folder.with_name(f"{stem}{uuid.uuid4().hex}")
        staged.mkdir()
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def walk(folder: Path, on_error: Callable[[OSError], None] = lambda _: None) -> Iterator[os.DirEntry[str]]:
    """Everything below `folder` but folders: of each folder first its own entries, then those of its folders, by name.

    Links to folders are yielded, not followed, so that there are no loops. Unlike `os.walk` in Python 3.11, it does not
    recurse: a folder may be any number of levels deep.

    Args:
        folder: The path of an entry begins with it.
        on_error: Told of a folder that cannot be read, which is skipped.
    """
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            on_error(error)
            continue
        folders = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from (entry for entry in entries if not entry.is_dir(follow_symlinks=False))
        waiting += reversed(folders)


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to one; unlike the entry's own method, also of a link to itself."""
    try:
        return entry.is_file()
    except OSError:
        return False


def path_below(folder: Path, entry: os.DirEntry[str]) -> str:
    """The path of an entry of `walk(folder)`, relative to the folder."""
    return entry.path.removeprefix(os.fspath(folder)).lstrip("/")
