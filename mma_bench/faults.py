"""Faults of the machine, such as a full disk: recognised in exceptions and in FFmpeg's messages, with what to do.

They say nothing about a clip. A fault that meets every clip stops the run (`MachineFault`). Too little memory may
depend on the clip, so only that clip is tried again by the next run (`Retryable`). In both cases nothing is settled.
"""

import errno
import os
import re
import signal
from collections.abc import Iterator
from typing import Final

from mma_bench.errors import ClipError, MachineFault, Retryable

_OUT_OF_MEMORY: Final = "out_of_memory"
# Wherever one of these is among an error's causes, the machine is at fault.
_CERTAIN: Final = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "file_size_limit",
    errno.EMFILE: "too_many_open_files",
    errno.ENFILE: "too_many_open_files",
    errno.EROFS: "not_writable",
    errno.ENOMEM: _OUT_OF_MEMORY,
}
# FFmpeg also reports these for damaged files: they count only as the system's own errors.
_IF_OURS: Final = {
    errno.EACCES: "not_permitted",
    errno.EPERM: "not_permitted",
    errno.EIO: "disk_failed",
    errno.ESTALE: "disk_failed",
    errno.EAGAIN: "too_many_processes",
}
HINTS: Final = {
    "disk_full": "free disk space or raise the quota",
    "file_size_limit": "raise the limit on file sizes (`ulimit -f`)",
    "too_many_open_files": "raise the limit on open files (`ulimit -n`), or lower `workers` in params.yaml",
    "not_writable": "make the folder writable",
    "not_permitted": "give this user access to the file and its folder",
    "missing_file": "mount its folder again, or, if the file was removed, run the stage that makes it (`dvc repro`)",
    "disk_failed": "check the disk or the network folder (`dmesg` shows the system's messages)",
    "too_many_processes": "raise the limit on processes (`ulimit -u`), or lower `workers` in params.yaml",
    _OUT_OF_MEMORY: "free memory or raise its limit, or lower `workers` in params.yaml",
    "worker_killed": "if the system ran out of memory (`dmesg`), lower `workers` in params.yaml",
    "encoder_stopped": "if the system ran out of memory (`dmesg`), lower `workers` in params.yaml",
}
READABLE: Final = "the file itself can be read"  # in the detail of a refusal that quotes one of `_IF_OURS`

# Exit statuses of a process whose code crashed on its input; any other signal came from outside.
CRASHES: Final = {
    -number: number.name for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE)
}

_NUMBER: Final = re.compile(r"(?:os error |\[errno )(\d+)", re.IGNORECASE)  # as Rust and Arrow write it
_MALLOC: Final = re.compile(
    r"malloc of size \d+ failed|out of memory|failed to map segment from shared object", re.IGNORECASE
)
# As written before the signal was recorded, which may have come from outside.
_OLD_CRASH: Final = re.compile(r"the worker process died on |FFmpeg failed without a message")


def machine_fault(error: BaseException) -> MachineFault | Retryable | None:
    """The fault of the machine that caused `error`, or None.

    Causes that were suppressed by `raise … from None` count too.
    """
    if isinstance(error, MachineFault):
        return error
    for cause in _causes(error):
        if (
            isinstance(cause, MemoryError)
            or str(cause) == "can't start new thread"
            or (isinstance(cause, ImportError) and _MALLOC.search(str(cause)))
        ):
            return _fault(_OUT_OF_MEMORY, str(cause) or os.strerror(errno.ENOMEM))
        number = _number(cause)
        reason = _CERTAIN.get(number)
        if cause is error and isinstance(error, OSError):
            reason = reason or _IF_OURS.get(number)
        if reason is not None:
            named = f"{cause.filename}: " if isinstance(cause, OSError) and cause.filename else ""
            return _fault(reason, f"{named}{os.strerror(number)}")
    return None


def fault_in_messages(text: str) -> MachineFault | Retryable | None:
    """The fault of the machine that a program's messages report, or None; those also used for bad files count not."""
    for number, reason in _CERTAIN.items():
        if os.strerror(number) in text:
            return _fault(reason, os.strerror(number))
    return _fault(_OUT_OF_MEMORY, found[0]) if (found := _MALLOC.search(text)) else None


def quotes_system_error(text: str) -> bool:
    """Whether a program's messages report one of the errors that bad files cause too, such as EIO."""
    return any(os.strerror(number) in text for number in (errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE))


def shows_machine_fault(detail: str) -> bool:
    """Whether the detail of a refused clip in a ledger shows that the machine was, or may have been, at fault."""
    if _OLD_CRASH.search(detail) or fault_in_messages(detail) is not None:
        return True
    return quotes_system_error(detail) and READABLE not in detail


def advice(reason: str, then: str) -> str:
    """`then`, preceded by what to do about `reason` if that is known."""
    return f"{HINTS[reason]}, then {then}" if reason in HINTS else then


def _fault(reason: str, problem: str) -> MachineFault | Retryable:
    return Retryable(reason, problem) if reason == _OUT_OF_MEMORY else MachineFault(reason, problem)


def _number(error: BaseException) -> int:
    """The system's error number; 0 if there is none."""
    if isinstance(error, ClipError):
        return 0
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, its causes and what was being handled when they were raised; each once."""
    visited: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is not None and id(cause) not in visited:
            visited.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__]
