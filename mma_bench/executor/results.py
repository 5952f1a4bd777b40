"""Runs one function over the parts of one output, in worker processes or on Ray: all or nothing, with results in order.

There is no ledger, so nothing is kept for a later run: for an output that is replaced as a whole, and for a gate, which
must read the files as they are now. The first error stops the run and is raised as the worker raised it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from mma_bench import layout
from mma_bench.config import RayParams
from mma_bench.errors import Blocked, ClipError, InternalError, MmaBenchError, Retryable, StageError
from mma_bench.executor import local
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import FAILED, Payload, Task, Work
from mma_bench.faults import advice, machine_fault

Result = TypeVar("Result")


def results(
    parts: Mapping[str, Payload],
    work: Callable[[Payload], Result],
    *,
    workers: int,
    title: str,
    ray: RayParams | None = None,
) -> Iterator[Result]:
    """What `work` returns for each part, in the order of `parts`, as it is asked for.

    Later parts are worked on meanwhile, so their results may wait in memory. After an error no other part is started,
    and those in progress are finished. With one worker on this machine `work` is called in this process.

    Args:
        parts: Name → the argument of `work`; picklable. The name is for messages.
        work: Runs in the workers; must be importable there, and may run again on a part whose worker died.
        workers: Concurrent parts.
        title: For messages, and the name of the run's stop file on Ray (`mma_bench.executor.ray`).
        ray: How to reach Ray; None: worker processes on this machine.

    Raises:
        MmaBenchError, ClipError: As `work` raised it. A worker hands on a fault of its machine as `MachineFault`.
        StageError: The part's worker died or ran out of memory, or its machine has another folder.
        InternalError: `work` raised something else; the worker prints the traceback.
    """
    if not parts:
        return
    if ray is None and min(workers, len(parts)) == 1:
        yield from map(work, parts.values())
        return
    waiting = deque(Task(name, "", payload) for name, payload in parts.items())
    finished: dict[str, Entry] = {}
    entries = _entries(waiting, partial(_error_as_result, work), workers, title, ray)
    for name in parts:
        while name not in finished:
            entry = next(entries)
            if entry["status"] != "ok":
                waiting.clear()
                deque(entries, maxlen=0)  # parts in progress write their files: nobody may remove these meanwhile
                raise _error(entry, title)
            finished[entry["key"]] = entry
        yield finished.pop(name)["result"]["value"]


def _entries(waiting: deque[Task], work: Work, workers: int, title: str, ray: RayParams | None) -> Iterator[Entry]:
    """The entries of the tasks as they end."""
    if ray is None:
        return chain.from_iterable(local.outcomes(waiting, work, workers))
    from mma_bench.executor import ray as on_ray

    stop_file = layout.LEDGERS / f"{title}.running"
    return on_ray.outcomes(waiting, work, workers, stop_file, ray, stateful=False)


def _error_as_result(work: Callable[[Payload], Any], payload: Payload) -> dict[str, Any]:
    """Runs in the worker. An error that says something to a user is handed on whole: an entry has no place for a hint.

    Its status stops the other workers.
    """
    try:
        return {"value": work(payload)}
    except Exception as error:
        told = machine_fault(error) or error  # found in the error's causes, which are not handed on
        if not isinstance(told, MmaBenchError | ClipError):
            raise
        return {"status": Blocked.status, "error": told}


def _error(entry: Entry, title: str) -> Exception:
    error = entry["result"].get("error")
    if isinstance(error, Exception) and not isinstance(error, Retryable):
        return error
    if entry["status"] == FAILED:
        return InternalError(
            f"{title}: stopped by a bug in mma-bench on {entry['key']}: {entry['detail']}",
            hint="report it with the traceback above",
        )
    why = (error.reason, error.detail) if isinstance(error, Retryable) else (entry["reason"], entry["detail"])
    return StageError(
        f"{title}: stopped on {entry['key']}, {why[0]}: {why[1]}",
        hint=advice(why[0], "run the same command again"),
    )
