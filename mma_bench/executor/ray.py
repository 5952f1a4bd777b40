"""Runs clips on the machines of a Ray cluster: the same function per clip, the same entries as `mma_bench.executor`.

A run is a Ray Data pipeline with one clip per block, so that an entry reaches the driver, and its ledger, when its
clip ends. Media run as tasks, a judge in a pool of actors, which load it once. Clips lost with a worker or a machine
are rerun, at last in a process of their own (`alone`). Each stage is a separate pipeline over its
table, so no operators are fused across stages.

All machines see the project's folder under one path. Next to the ledger is the run's stop file, which every worker
checks before each clip: a machine that does not see it has another folder, and "stop" in it lets the clips in flight
finish and starts no others.
"""

import logging
import os
import pickle
import signal
import socket
import sys
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from mma_bench import extras
from mma_bench.config import RayParams
from mma_bench.errors import Blocked, ConfigError, Retryable, StageError
from mma_bench.executor.alone import alone
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import Task, Work, attempt, entry_of

WAVE: Final = 10_000  # clips per pipeline: bounds memory in the driver and the object store, and how long a stop takes
_QUIET: Final[dict[str, Any]] = {
    "logging_level": logging.ERROR,
    "log_to_driver": False,
}  # Ray keeps its logs in its own folder
RETRIES: Final = 2  # a clip whose worker died may not be the one that killed it


@dataclass(frozen=True)
class WorkerContext:
    """A worker's context besides its clip.

    Attributes:
        work: The function per clip.
        root: The project's folder, absolute; paths in tasks and results are relative to it.
        stop_file: The file that says whether the run continues.
        run: Its expected content.
    """

    work: Work
    root: Path
    stop_file: Path
    run: str

    def attempt(self, task: Task, how: Callable[[Work, Task], Entry] = attempt) -> Entry | None:
        """Runs in the worker. None: the run is over, the clip was not started."""
        try:
            said = self.stop_file.read_text(encoding="utf-8")
        except OSError as error:
            said = f"nothing ({error.strerror})"
        if said == f"stop {self.run}":
            return None
        if said != self.run:
            detail = (
                f"{socket.gethostname()} does not see the project's folder {self.root}: "
                f"{self.stop_file} says {said[:80]} "
                "there. Mount the folder under this path on all machines"
            )
            return entry_of(task, Blocked.status, "folder_not_shared", detail)
        os.chdir(self.root)
        return how(self.work, task)


class Pooled:
    """An actor's state: what `work` caches in its process, such as a judge's networks, stays for the next clip."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """As `in_task`."""
        return in_task(row, self._context)


def in_task(row: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    """One row of the pipeline: `task` (bytes) in, `entry` (bytes) out."""
    return {"index": row["index"], "entry": pickle.dumps(context.attempt(pickle.loads(row["task"])))}  # noqa: S301


def outcomes(
    waiting: deque[Task], work: Work, workers: int, stop_file: Path, params: RayParams, *, stateful: bool
) -> Iterator[Entry]:
    """Yield an entry per task as it finishes; consumes `waiting`, which the caller may clear to end the run.

    Ctrl-C lets the clips in flight finish, yields them, and is then raised; a second one is raised at once.

    Args:
        waiting: The tasks.
        work: Picklable and importable on all machines.
        workers: Concurrent clips, over all machines.
        stop_file: The path of the run's stop file, inside the project's folder, which is the current one.
        params: How to reach Ray, and the resources of a stateful worker.
        stateful: Whether workers keep what `work` caches in its process.

    Raises:
        ConfigError: Ray is not installed, or there is none at the address.
        StageError: The workers cannot run the function.
    """
    root = Path.cwd()
    context = WorkerContext(work, root, root / stop_file, uuid.uuid4().hex)
    cpus, gpus = (params.judge_cpus, params.judge_gpus) if stateful else (1.0, 0.0)
    stop_file.parent.mkdir(parents=True, exist_ok=True)
    stop_file.write_text(context.run, encoding="utf-8")
    try:
        with _session(params.address, workers * cpus, gpus), _polite_stop(context) as stopped:
            while waiting and not stopped.is_set():
                wave = [waiting.popleft() for _ in range(min(WAVE, len(waiting)))]
                received: set[int] = set()
                for index, entry in _pipeline(wave, context, workers, stateful=stateful, cpus=cpus, gpus=gpus):
                    received.add(index)
                    if entry is not None:
                        if entry["status"] == Blocked.status:
                            _stop(context)
                        yield entry
                lost = [task for index, task in enumerate(wave) if index not in received]
                yield from _again(lost, context, workers, cpus=cpus, gpus=gpus)
            if stopped.is_set():
                raise KeyboardInterrupt
    finally:
        stop_file.unlink(missing_ok=True)


def _pipeline(
    wave: Sequence[Task], context: WorkerContext, workers: int, *, stateful: bool, cpus: float, gpus: float
) -> Iterator[tuple[int, Entry | None]]:
    """The index and the entry of each task of the wave, except those lost with their workers."""
    import ray.data

    rows = [{"index": index, "task": pickle.dumps(task)} for index, task in enumerate(wave)]
    source = ray.data.from_items(rows, override_num_blocks=len(rows))
    source.context.max_errored_blocks = -1  # a lost clip must not stop the others
    source.context.enable_progress_bars = False
    source.context.execution_options.preserve_order = False
    with warnings.catch_warnings():
        # Ray Data retries forever what dies with its worker, unless limited by arguments that are deprecated in 2.64.
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        done = _mapped(source, context, min(workers, len(wave)), stateful=stateful, cpus=cpus, gpus=gpus)
    for batch in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in batch.to_pylist():
            yield row["index"], pickle.loads(row["entry"])  # noqa: S301


def _mapped(source: Any, context: WorkerContext, workers: int, *, stateful: bool, cpus: float, gpus: float) -> Any:
    """The Dataset `source` with `in_task` applied to each row."""
    import ray.data

    if stateful:
        return source.map(
            Pooled,
            fn_constructor_args=[context],
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=cpus,
            num_gpus=gpus or None,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
    pool = ray.data.TaskPoolStrategy(size=workers)
    return source.map(in_task, fn_args=[context], compute=pool, num_cpus=cpus, max_retries=RETRIES)


def _again(lost: Sequence[Task], context: WorkerContext, workers: int, *, cpus: float, gpus: float) -> Iterator[Entry]:
    """A last attempt at tasks that were lost, each `alone`."""
    import ray

    remote: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(WorkerContext.attempt)
    for first in range(0, len(lost), workers):
        some = lost[first : first + workers]
        for task, promise in [(task, remote.remote(context, task, alone)) for task in some]:
            entry = _received(task, promise, context)
            if entry is not None:
                yield entry


def _received(task: Task, promise: Any, context: WorkerContext) -> Entry | None:
    """The entry of a last attempt, even if its worker was lost."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        entry: Entry | None = ray.get(promise)
    except RayTaskError as error:
        raise StageError(
            f"Ray's workers cannot run {context.work}: {error.cause!r}",
            hint="install the same version of this package, and of Python, on all machines; see docs/cluster.md",
        ) from None
    except RayError as error:  # the machine failed, or ran out of memory: not the clip's fault
        detail = f"{type(error).__name__} while {task.key} was in progress"
        return entry_of(task, Retryable.status, "worker_lost", detail)
    return entry


def _stop(context: WorkerContext) -> None:
    # Written in place, not renamed: a network file system shows it to the next reader.
    context.stop_file.write_text(f"stop {context.run}", encoding="utf-8")


@contextmanager
def _polite_stop(context: WorkerContext) -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the event and stops the run cleanly; the second is raised."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stopped.set()
        _stop(context)

    signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _session(address: str | None, cpus: float, gpus: float) -> Iterator[None]:
    """Inside, this process is connected to Ray; an existing connection is reused and left open."""
    extras.require("executor: ray", "ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # lost clips are reported by the executor
    ours = not ray.is_initialized()
    if ours:
        _connect(address, cpus)
    try:
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if gpus > there.get("GPU", 0):
            message = f"executor: ray.judge_gpus is {gpus:g}, and Ray has {there.get('GPU', 0):g} GPUs"
            if address is None:
                raise ConfigError(message, hint="set ray.judge_gpus to 0, or ray.address to a cluster that has them")
            print(f"{message} now; the judge waits for them", file=sys.stderr)
        yield
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str | None, cpus: float) -> None:
    import ray

    if address is None:
        size = max(1, -int(-cpus // 1))
        ray.init(address="local", num_cpus=size, include_dashboard=False, **_QUIET)
        return
    if address.startswith("ray://"):
        raise ConfigError(
            f"ray.address is {address}, a Ray Client address, which Ray Data does not support well",
            hint="run the build on a machine of the cluster, with `address: auto`",
        )
    try:
        ray.init(address=address, **_QUIET)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"ray.address is {address!r}, but no Ray cluster answers there: {error}",
            hint="run `ray start` first, see docs/cluster.md; or set ray.address to null for a Ray on this machine",
        ) from None
