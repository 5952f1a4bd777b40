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

from mma_bench.errors import StageError
from mma_bench.executor.alone import SPAWN, alone, end_with_parent, interrupts_later
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import Task, Work, attempt
from mma_bench.faults import advice

_CHECK_EVERY_S = 5.0


def outcomes(due: deque[Task], work: Work, workers: int) -> Iterator[Entry]:
    """Yield an entry per task as it finishes; the caller may clear `due` to end the run early."""
    while due:
        in_flight: dict[Future[Entry], Task] = {}
        with _pool(min(workers, len(due))) as pool:
            try:
                while due or in_flight:
                    while due and len(in_flight) < 2 * workers:
                        with interrupts_later():  # a submit may start a worker
                            in_flight[pool.submit(attempt, work, due[0])] = due[0]
                        due.popleft()  # only now: a broken pool refuses the task
                    finished, _ = wait(in_flight, timeout=_CHECK_EVERY_S, return_when=FIRST_COMPLETED)
                    if not finished:
                        _check(pool)
                    for future in finished:
                        entry = future.result()
                        del in_flight[future]
                        yield entry
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                # A worker died and broke the pool: each clip in flight is retried, alone.
                for task in in_flight.values():
                    yield alone(work, task)
            except RuntimeError:  # no thread can be started; the workers would only print tracebacks of their own
                for process in multiprocessing.active_children():
                    process.kill()
                raise
            except KeyboardInterrupt:
                pool.shutdown(wait=True, cancel_futures=True)
                # Successes meanwhile are kept; failures may have been caused by the same Ctrl-C.
                ended = [future.result() for future in in_flight if future.done() and not future.cancelled()]
                yield from (entry for entry in ended if entry["status"] == "ok")
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
