"""Runs one function over many clips: in worker processes or on Ray, resumable, one bad clip never stopping the others.

The function gets a task's payload and returns a dictionary (the clip's result) or raises a `ClipError`. What it
returns is kept in the ledger; a later run whose fingerprint is the same, and whose file is still what the ledger
says, does not call it again.
"""

import multiprocessing
import os
import signal
import stat
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, TypeAlias

from mma_bench.config import RayParams
from mma_bench.errors import Blocked, ClipError, StageError
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


def run(
    tasks: Sequence[Task],
    work: Work,
    ledger_path: Path,
    *,
    workers: int,
    title: str,
    ray: RayParams | None = None,
    stateful: bool = False,
) -> list[Entry]:
    """Run `work` over `tasks` and return one entry per task, in the order of `tasks`.

    An entry has `key`, `fingerprint`, `status`, `reason`, `detail` and `result` (a dictionary, empty unless ok), and
    when it ended (`at`, UTC). A block ends the run: what has begun is finished, nothing else is begun.

    Args:
        tasks: One per clip.
        work: Runs in the workers; importable there.
        ledger_path: Relative to the project's folder, which is the current one.
        workers: Clips at a time.
        title: For messages.
        ray: None: processes of this machine; else where Ray is.
        stateful: On Ray, whether `work` caches something in its process that later clips should find there.

    Raises:
        ConfigError: Ray is asked for and not there.
        StageError: Some clips are not settled (a passing fault, a block, a bug); all others are kept.
    """
    with Ledger(ledger_path) as ledger:
        due = due_tasks(ledger, tasks)
        if len(due) < len(tasks):
            print(f"{title}: {len(tasks) - len(due)} of {len(tasks)} already done", file=sys.stderr)
        waiting = deque(due)
        if ray is None:
            outcomes = _outcomes(waiting, work, workers)
        else:
            from mma_bench import executor_ray

            sign = ledger_path.with_suffix(".running")
            outcomes = executor_ray.outcomes(waiting, work, workers, sign, ray, stateful=stateful)
        with Progress(title, len(due)) as progress:
            for entry in outcomes:
                ledger.append(entry)
                progress.advance()
                if entry["status"] == Blocked.status:
                    waiting.clear()
        entries = [ledger.latest(task.key) for task in tasks]
    return _refuse_unsettled(entries, tasks, title)


def due_tasks(ledger: Ledger, tasks: Sequence[Task]) -> list[Task]:
    """The tasks that the ledger does not have as done, with their files as they were."""
    return [task for task in tasks if not _is_done(ledger.latest(task.key), task)]


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """Counts by status, or by reason where there is one, most frequent first."""
    return dict(Counter(entry["reason"] or entry["status"] for entry in entries).most_common())


def _is_done(entry: Entry | None, task: Task) -> bool:
    if entry is None or entry["fingerprint"] != task.fingerprint or entry["status"] not in SETTLED:
        return False
    path, sha256 = entry["result"].get("path"), entry["result"].get("sha256")
    if path is None:
        return True
    stamp = _stamp(path)
    # A file that nobody has written to since is not read again: at 200,000 clips, that would take hours.
    return stamp is not None and (stamp == entry.get("stamp") or file_sha256(Path(path)) == sha256)


def _stamp(path: str) -> list[int] | None:
    """Size and time (ns) of a file, which change when it is written to; None if it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - 200,000 of them
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns] if stat.S_ISREG(found.st_mode) else None


def _refuse_unsettled(entries: Sequence[Entry | None], tasks: Sequence[Task], title: str) -> list[Entry]:
    """The entries, if every task has one that is settled.

    An entry of other inputs than the task's is as good as none: the run ended before it was tried.
    """
    tried = [
        entry
        for entry, task in zip(entries, tasks, strict=True)
        if entry is not None and entry["fingerprint"] == task.fingerprint
    ]
    open_entries = [entry for entry in tried if entry["status"] not in SETTLED]
    blocks = [entry for entry in open_entries if entry["status"] == Blocked.status]
    if blocks:
        last = max(blocks, key=lambda entry: entry["at"])
        raise StageError(
            f"{title}: stopped, {last['reason']}: {last['detail']}\n"
            f"  {len(tried) - len(open_entries)} of {len(tasks)} clips are settled, none of the others was given up",
            mend="then run the same command again: finished clips are kept",
        )
    if open_entries:
        first = open_entries[0]
        raise StageError(
            f"{title}: {len(tasks) - len(tried) + len(open_entries)} of {len(tasks)} clips are not settled; "
            f"first {first['key']}: {first['reason']} ({first['detail']})",
            mend="run the same command again: finished clips are kept, only these are tried again",
        )
    if len(tried) < len(tasks):
        raise StageError(
            f"{title}: {len(tasks) - len(tried)} of {len(tasks)} clips were not tried", mend="run it again"
        )
    return tried


def attempt(work: Work, task: Task) -> Entry:
    """Runs in the worker."""
    try:
        result = work(task.payload)
    except ClipError as error:
        return entry_of(task, error.status, error.reason, error.detail)
    except Exception as error:  # noqa: BLE001 - a bug on one clip is recorded by name and fails the stage at its end
        traceback.print_exc()
        return entry_of(task, "failed", "internal_error", repr(error))
    status, reason, detail = result.pop("status", "ok"), result.pop("reason", ""), result.pop("detail", "")
    return entry_of(task, status, reason, detail, result)


def entry_of(task: Task, status: str, reason: str, detail: str, result: dict[str, Any] | None = None) -> Entry:
    """An attempt as the ledger keeps it."""
    entry: Entry = {"key": task.key, "fingerprint": task.fingerprint, "status": status, "reason": reason}
    entry |= {"detail": detail, "result": result or {}, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    path = entry["result"].get("path")
    return entry if path is None else entry | {"stamp": _stamp(path)}


def _outcomes(due: deque[Task], work: Work, workers: int) -> Iterator[Entry]:
    """Yield an entry per task as it finishes; a crash of a worker costs only the clip that causes it."""
    while due:
        in_flight: dict[Future[Entry], Task] = {}
        with _pool(min(workers, len(due))) as pool:
            try:
                while due or in_flight:
                    while due and len(in_flight) < 2 * workers:
                        in_flight[pool.submit(attempt, work, due[0])] = due[0]
                        due.popleft()  # only now: a pool that just broke refuses the task
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
            return pool.submit(attempt, work, task).result()
        except BrokenProcessPool:
            detail = f"the worker process died on {task.key} twice, the second time with no other clip beside it"
            return entry_of(task, "refused", "decoder_crashed", detail)


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
