"""Runs one function over many clips: in worker processes, resumable, one bad clip never stopping the others.

The function gets a task's payload and returns a dictionary (the clip's result) or raises a `ClipError`. What it
returns is kept in the ledger; a later run whose fingerprint is the same, and whose file is still what the ledger
says, does not call it again.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, TypeAlias

from mma_bench.errors import ClipError, StageError
from mma_bench.files import file_sha256
from mma_bench.ledger import Entry, Ledger
from mma_bench.progress import Progress

Payload: TypeAlias = Mapping[str, Any]
Work: TypeAlias = Callable[[Payload], dict[str, Any]]

SETTLED = frozenset({"ok", "rejected", "refused", "unavailable"})  # what a later run does not try again


@dataclass(frozen=True)
class Task:
    """One clip's work.

    Attributes:
        key: The clip's id, unique in the stage.
        fingerprint: Hash of all that the result depends on: input hashes, parameters, the code's version.
        payload: What the function gets; picklable.
    """

    key: str
    fingerprint: str
    payload: Payload


def run(tasks: Sequence[Task], work: Work, ledger_path: Path, *, workers: int, title: str) -> list[Entry]:
    """Run `work` over `tasks` and return one entry per task, in the order of `tasks`.

    An entry has `key`, `fingerprint`, `status`, `reason`, `detail` and `result` (a dictionary, empty unless ok).

    Raises:
        StageError: Some clips are not settled (a passing fault, a block, a bug); all others are kept.
    """
    with Ledger(ledger_path) as ledger:
        due = [task for task in tasks if not _is_done(ledger.latest(task.key), task)]
        if len(due) < len(tasks):
            print(f"{title}: {len(tasks) - len(due)} of {len(tasks)} already done", file=sys.stderr)
        with Progress(title, len(due)) as progress:
            for entry in _outcomes(deque(due), work, workers):
                ledger.append(entry)
                progress.advance()
        entries = [ledger.latest(task.key) for task in tasks]
    finished = [entry for entry in entries if entry is not None]
    _refuse_unsettled(finished, title)
    return finished


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """Counts by status, or by reason where there is one, most frequent first."""
    return dict(Counter(entry["reason"] or entry["status"] for entry in entries).most_common())


def _is_done(entry: Entry | None, task: Task) -> bool:
    if entry is None or entry["fingerprint"] != task.fingerprint or entry["status"] not in SETTLED:
        return False
    path, sha256 = entry["result"].get("path"), entry["result"].get("sha256")
    return path is None or (Path(path).is_file() and file_sha256(Path(path)) == sha256)


def _refuse_unsettled(entries: Sequence[Entry], title: str) -> None:
    open_entries = [entry for entry in entries if entry["status"] not in SETTLED]
    if open_entries:
        first = open_entries[0]
        raise StageError(
            f"{title}: {len(open_entries)} of {len(entries)} clips are not settled; "
            f"first {first['key']}: {first['reason']} ({first['detail']})",
            mend="run the same command again: finished clips are kept, only these are tried again",
        )


def _attempt(work: Work, task: Task) -> Entry:
    """Runs in the worker."""
    entry: Entry = {"key": task.key, "fingerprint": task.fingerprint}
    try:
        result = work(task.payload)
    except ClipError as error:
        return entry | {"status": error.status, "reason": error.reason, "detail": error.detail, "result": {}}
    except Exception as error:  # noqa: BLE001 - a bug on one clip is recorded by name and fails the stage at its end
        traceback.print_exc()
        return entry | {"status": "failed", "reason": "internal_error", "detail": repr(error), "result": {}}
    status, reason = result.pop("status", "ok"), result.pop("reason", "")
    return entry | {"status": status, "reason": reason, "detail": result.pop("detail", ""), "result": result}


def _outcomes(due: deque[Task], work: Work, workers: int) -> Iterator[Entry]:
    """Yield an entry per task as it finishes; a crash of a worker costs only the clip that causes it."""
    while due:
        in_flight: dict[Future[Entry], Task] = {}
        with _pool(min(workers, len(due))) as pool:
            try:
                while due or in_flight:
                    while due and len(in_flight) < 2 * workers:
                        task = due.popleft()
                        in_flight[pool.submit(_attempt, work, task)] = task
                    finished, _ = wait(in_flight, return_when=FIRST_COMPLETED)
                    for future in finished:
                        entry = future.result()
                        del in_flight[future]
                        yield entry
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                # A worker died and took the pool along: each clip in flight gets another chance, alone.
                for task in in_flight.values():
                    yield _alone(task, work)
            except KeyboardInterrupt:
                pool.shutdown(wait=True, cancel_futures=True)
                # What ended well meanwhile is kept; what ended badly may only have been stopped by the same Ctrl-C.
                ended = [future.result() for future in in_flight if future.done() and not future.cancelled()]
                yield from (entry for entry in ended if entry["status"] == "ok")
                raise


def _alone(task: Task, work: Work) -> Entry:
    """Run one task in a pool of its own, so that a crash has one possible cause."""
    with _pool(1) as pool:
        try:
            pool.submit(_is_callable, work).result()
        except BrokenProcessPool:
            raise StageError(
                "worker processes die before they do any work", mend="run `mma-bench doctor`; see the messages above"
            ) from None
        try:
            return pool.submit(_attempt, work, task).result()
        except BrokenProcessPool:
            detail = f"the worker process died on {task.key} twice, the second time with no other clip beside it"
            entry: Entry = {"key": task.key, "fingerprint": task.fingerprint, "status": "refused"}
            return entry | {"reason": "decoder_crashed", "detail": detail, "result": {}}


def _is_callable(work: Work) -> bool:
    """Runs in the worker: shows that it starts and can import the function."""
    return callable(work)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork of a process that has threads (polars, torch) can hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_die_with_parent)


def _die_with_parent() -> None:
    """End this worker when the build is killed; it would otherwise wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the build's to handle
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
