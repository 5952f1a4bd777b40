"""Runs clips in worker processes of this machine; a crash of a worker costs only the clip that causes it.

Pebble's ProcessPool, which says which task a dead worker had, was tried in version 5.2.3 and is not used: a task never
ends if its worker exits with status 0, as a native library may, or cannot unpickle it while another worker is busy;
and one idle worker that is killed breaks the whole pool. Here a dead worker always breaks the pool, and the clips that
were in flight are run again one by one.
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
    """Yield an entry per task as it finishes; `due` may be cleared meanwhile to end the run early."""
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
                "worker processes die before they do any work", hint="run `mma-bench doctor`; see the messages above"
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
