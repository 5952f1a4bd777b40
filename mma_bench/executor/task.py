"""A clip's work, and one attempt at it in a worker."""

import os
import stat
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from mma_bench.errors import ClipError
from mma_bench.executor.ledger import Entry
from mma_bench.faults import machine_fault
from mma_bench.redact import redacted

Payload: TypeAlias = Mapping[str, Any]
Work: TypeAlias = Callable[[Payload], dict[str, Any]]
FAILED = ClipError.status  # by a bug
GIVEN_UP = "given_up"
SETTLED = frozenset({"ok", "rejected", "refused", "unavailable", GIVEN_UP})  # not retried by a later run


@dataclass(frozen=True, slots=True)
class Task:
    """The task of one clip.

    Attributes:
        key: The clip's id, unique in the stage.
        fingerprint: Hash of everything the result depends on: input hashes, parameters, the code's version.
        payload: The function's argument; picklable.
        at_once: Whether the function does no work and cannot crash, as for a clip that is known to be missing; it is
            then called in the main process, since handing the clip to a worker would take ten times as long.
    """

    key: str
    fingerprint: str
    payload: Payload
    at_once: bool = False


def file_stamp(path: str) -> list[int] | None:
    """Size and modification time (ns) of a file, which change when it is written to; None if it does not exist."""
    try:
        found = os.stat(path)  # noqa: PTH116 - 200,000 of them
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns] if stat.S_ISREG(found.st_mode) else None


def attempt(work: Work, task: Task) -> Entry:
    """Runs in the worker."""
    try:
        result = work(task.payload)
    except Exception as error:  # noqa: BLE001 - a bug on one clip is recorded by name and stops the run
        told = machine_fault(error) or error
        if not isinstance(told, ClipError):
            print(redacted(traceback.format_exc()), end="", file=sys.stderr)
            return entry_of(task, FAILED, "internal_error", repr(error))
        return entry_of(task, told.status, told.reason, told.detail, told.result)
    status, reason, detail = result.pop("status", "ok"), result.pop("reason", ""), result.pop("detail", "")
    return entry_of(task, status, reason, detail, result)


def entry_of(task: Task, status: str, reason: str, detail: str, result: dict[str, Any] | None = None) -> Entry:
    """An attempt as recorded in the ledger."""
    entry: Entry = {"key": task.key, "fingerprint": task.fingerprint, "status": status, "reason": reason}
    entry |= {
        "detail": redacted(detail),
        "result": result or {},
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    path = entry["result"].get("path")
    return entry if path is None else entry | {"stamp": file_stamp(path)}
