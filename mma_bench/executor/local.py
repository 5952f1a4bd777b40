"""Runs clips in worker processes on this machine; a worker crash affects only the clip that causes it.

Pebble's ProcessPool (5.2.3), which reports the task of a dead worker, is not used: a task never ends if its worker
exits with status 0, as a native library may do, or cannot unpickle it while another worker is busy; and killing one
idle worker breaks the whole pool. Here a dead worker always breaks the pool, and the clips in flight are rerun one by
one.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for

from mma_bench.errors import StageError
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import Task, Work, attempt, entry_of


def outcomes(due: deque[Task], work: Work, workers: int) -> Iterator[Entry]:
    """Yield an entry per task as it finishes; the caller may clear `due` to end the run early."""
    while due:
        in_flight: dict[Future[Entry], Task] = {}
        with _pool(min(workers, len(due))) as pool:
            try:
                while due or in_flight:
                    while due and len(in_flight) < 2 * workers:
                        in_flight[pool.submit(attempt, work, due[0])] = due[0]
                        due.popleft()  # only now: a broken pool refuses the task
                    finished, _ = wait(in_flight, return_when=FIRST_COMPLETED)
                    for future in finished:
                        entry = future.result()
                        del in_flight[future]
                        yield entry
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                # A worker died and broke the pool: each clip in flight is retried, alone.
                for task in in_flight.values():
                    yield _alone(task, work)
            except KeyboardInterrupt:
                pool.shutdown(wait=True, cancel_futures=True)
                # Successes meanwhile are kept; failures may have been caused by the same Ctrl-C.
                ended = [future.result() for future in in_flight if future.done() and not future.cancelled()]
                yield from (entry for entry in ended if entry["status"] == "ok")
                raise


def _alone(task: Task, work: Work) -> Entry:
    """Run one task in its own pool, so that a crash has one possible cause."""
    with _pool(1) as pool:
        try:
            pool.submit(_is_callable, work).result()
        except BrokenProcessPool:
            raise StageError(
                "worker processes die before they do any work", hint="run `mma-bench doctor`; see the messages above"
            ) from None
        try:
            return pool.submit(attempt, work, task).result()
        except BrokenProcessPool:
            detail = f"the worker process died on {task.key} twice, the second time with no other clip running"
            return entry_of(task, "refused", "decoder_crashed", detail)


def _is_callable(work: Work) -> bool:
    """Runs in the worker: verifies that it starts and can import the function."""
    return callable(work)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: forking a process with threads (polars, torch) can hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_die_with_parent)


def _die_with_parent() -> None:
    """End this worker when the build is killed; it would otherwise wait for work forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build handles Ctrl-C
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
