"""Runs clips in worker processes on this machine; a worker crash affects only the clip that causes it.

Pebble's ProcessPool (5.2.3), which reports the task of a dead worker, is not used: a task never ends if its worker
exits with status 0, as a native library may do, or cannot unpickle it while another worker is busy; and killing one
idle worker breaks the whole pool. Here a dead worker always breaks the pool, and the clips in flight are rerun one by
one.
"""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mma_bench.errors import StageError
from mma_bench.executor.alone import SPAWN, alone, end_with_parent, interrupts_later
from mma_bench.executor.batch import Batch, attempt_synced_later
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import Task, Work
from mma_bench.faults import advice

_CHECK_EVERY_S = 5.0


def outcomes(due: deque[Task], work: Work, workers: int) -> Iterator[list[Entry]]:
    """Yield the entries of tasks that have finished, some at a time; the caller may clear `due` to end the run early.

    When an entry is yielded, its files have reached the disk.
    """
    batch = Batch()
    while due:
        in_flight: dict[Future[tuple[Entry, list[Path]]], Task] = {}
        with _pool(min(workers, len(due))) as pool:
            try:
                while due or in_flight:
                    while due and len(in_flight) < 2 * workers:
                        with interrupts_later():  # a submit may start a worker
                            in_flight[pool.submit(attempt_synced_later, work, due[0])] = due[0]
                        due.popleft()  # only now: a broken pool refuses the task
                    timeout = max(0.0, min(_CHECK_EVERY_S, batch.due_in_s))
                    finished, _ = wait(in_flight, timeout=timeout, return_when=FIRST_COMPLETED)
                    for future in finished:
                        entry, paths = future.result()
                        del in_flight[future]
                        batch.add(entry, paths)
                    if batch.due_in_s <= 0:
                        yield batch.synced()
                    if not finished:
                        _check(pool)
                yield batch.synced()
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                yield batch.synced()
                # A worker died and broke the pool: each clip in flight is retried, alone.
                for task in in_flight.values():
                    yield [alone(work, task)]
            except RuntimeError:  # no thread can be started; the workers would only print tracebacks of their own
                for process in multiprocessing.active_children():
                    process.kill()
                yield batch.synced()
                raise
            except KeyboardInterrupt:
                pool.shutdown(wait=True, cancel_futures=True)
                # Successes meanwhile are kept; failures may have been caused by the same Ctrl-C.
                for future in in_flight:
                    if future.done() and not future.cancelled() and future.result()[0]["status"] == "ok":
                        batch.add(*future.result())
                yield batch.synced()
                raise


def _check(pool: ProcessPoolExecutor) -> None:
    """See that the pool still works: without memory for a thread of its own, it waits forever."""
    manager = getattr(pool, "_executor_manager_thread", None)
    if manager is None or manager.is_alive():
        return
    for process in multiprocessing.active_children():
        process.kill()  # nothing else would end them
    raise StageError(
        "the pool of worker processes broke down; see the messages above",
        hint=advice("out_of_memory", "run the same command again: finished clips are kept"),
    )


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, SPAWN, initializer=end_with_parent)
