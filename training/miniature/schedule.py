"""Runs commands with dependencies in parallel, one per core, and estimates the remaining time.

In: jobs. Out: their outputs, a log for each, and `jobs.json`: the `seconds` of each job that succeeded, the total
`elapsed` seconds, and the number of `cores`. An interrupted run resumes after the finished jobs; a run with other jobs
or inputs in the same folder starts from scratch.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import StageError
from mma_bench.files import fingerprint, write_json
from mma_bench.tables import read_json

_REPORT_EVERY_S: Final = 20.0
_TAIL: Final = 12  # lines of a failed job's log
_GRACE_S: Final = 10.0  # grace period for a job to exit when the run stops


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        name: Unique in a run; names its log.
        argv: The command.
        seconds: Expected duration on one core, from earlier measurements.
        needs: Names of jobs that must succeed first; they come earlier in the list.
        threads: Compute threads; more than one for a job that all others wait for.
    """

    name: str
    argv: tuple[str, ...]
    seconds: float
    needs: tuple[str, ...] = ()
    threads: int = 1


def makespan(
    jobs: Sequence[Job], cores: int, done: Iterable[str] = (), spent: Mapping[str, float] | None = None
) -> float:
    """Seconds until all jobs finish if each takes its `seconds`, started in list order.

    Args:
        jobs: All jobs.
        cores: Jobs that run at a time.
        done: Finished jobs.
        spent: Running job → seconds so far.
    """
    ended = dict.fromkeys(done, 0.0)
    running = {job.name: max(job.seconds - (spent or {})[job.name], 0.0) for job in jobs if job.name in (spent or {})}
    now = 0.0
    while len(ended) < len(jobs):
        for job in startable(jobs, ended, running)[: cores - len(running)]:
            running[job.name] = now + job.seconds
        first = min(running, key=lambda name: running[name])
        now = running.pop(first)
        ended[first] = now
    return now


def startable(jobs: Sequence[Job], ended: Iterable[str], running: Iterable[str]) -> list[Job]:
    """Jobs whose dependencies are met, in list order."""
    ended, running = set(ended), set(running)
    return [job for job in jobs if job.name not in ended | running and ended.issuperset(job.needs)]


def run_jobs(jobs: Sequence[Job], folder: Path, *, title: str, cores: int, inputs: Any) -> dict[str, float]:
    """Run all jobs that have not finished; return the seconds that each took, in this or an earlier run.

    Args:
        jobs: In starting order.
        folder: Where the jobs write; used by this run only, and emptied if it holds another run.
        title: For messages.
        cores: Jobs that run at a time.
        inputs: Everything that the results depend on besides the commands; JSON-serialisable.

    Raises:
        StageError: A job failed; names it, with the end of its log. Finished jobs are kept.
    """
    path = folder / "jobs.json"
    record: dict[str, Any] = {
        "run": fingerprint([(job.argv, job.threads) for job in jobs], inputs),
        "cores": cores,
        "elapsed": 0.0,
        "seconds": {},
    }
    if path.is_file() and (there := read_json(path))["run"] == record["run"]:
        record = there
    elif folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = record["seconds"]
    before, begin = record["elapsed"], time.monotonic()
    left = makespan(jobs, cores, seconds)
    print(f"{title}: {len(jobs) - len(seconds)} jobs, {cores} at a time, {_minutes(left)}", file=sys.stderr, flush=True)
    with _Runner(folder, cores) as runner:
        while len(seconds) < len(jobs):
            for job in startable(jobs, seconds, runner.started)[: cores - len(runner.started)]:
                runner.start(job)
            for job, took, code in runner.ended():
                if code:
                    raise StageError(
                        f"{title}: {job.name} failed (exit code {code}):\n{_tail(runner.log(job))}",
                        hint=f"see {runner.log(job)}; run the same command again: finished jobs are kept",
                    )
                seconds[job.name] = round(took, 1)
                record["elapsed"] = round(before + time.monotonic() - begin, 1)
                write_json(path, record)
            left = makespan(_paced(jobs, seconds), cores, seconds, runner.spent())
            now = ", ".join(f"{name} {spent:.0f} s" for name, spent in runner.spent().items())
            said = f"{title}: {len(seconds)}/{len(jobs)} jobs, {_minutes(left)}" + (f" (running: {now})" if now else "")
            print(said, file=sys.stderr, flush=True)
    return dict(seconds)


def _paced(jobs: Sequence[Job], seconds: Mapping[str, float]) -> list[Job]:
    """The jobs with expected durations rescaled by those finished on this machine."""
    expected = sum(job.seconds for job in jobs if job.name in seconds)
    pace = sum(seconds.values()) / expected if expected else 1.0
    return [replace(job, seconds=job.seconds * pace) for job in jobs]


def _minutes(seconds: float) -> str:
    return f"about {seconds / 60:.1f} min left"


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])


class _Runner:
    """Runs jobs as processes; those still running on exit are terminated."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._logs = folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._pool = ThreadPoolExecutor(cores)
        self._waiting: dict[Future[int], Job] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.started: dict[str, float] = {}  # job name → start time

    def __enter__(self) -> "_Runner":
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.started:
            self._processes[name].terminate()
        for name in self.started:
            try:
                self._processes[name].wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._processes[name].kill()
        self._pool.shutdown()

    def start(self, job: Job) -> None:
        with self.log(job).open("wb") as log:
            threads = {"OMP_NUM_THREADS": str(job.threads), "TOKENIZERS_PARALLELISM": "false"}
            process = subprocess.Popen(
                job.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **threads}
            )
        self._processes[job.name] = process
        self.started[job.name] = time.monotonic()
        self._waiting[self._pool.submit(process.wait)] = job

    def ended(self) -> list[tuple[Job, float, int]]:
        """Wait for jobs to finish, up to a timeout; returns those that did, with seconds and exit codes."""
        done, _ = wait(self._waiting, timeout=_REPORT_EVERY_S, return_when=FIRST_COMPLETED)
        found = []
        for future in done:
            job = self._waiting.pop(future)
            found.append((job, time.monotonic() - self.started.pop(job.name), future.result()))
        return found

    def spent(self) -> dict[str, float]:
        """Running job → seconds so far."""
        now = time.monotonic()
        return {name: now - began for name, began in self.started.items()}

    def log(self, job: Job) -> Path:
        return self._logs / f"{job.name}.log"
