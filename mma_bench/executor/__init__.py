"""Runs one function over many clips, in worker processes or on Ray; resumable, and one bad clip never stops the others.

The function gets a task's payload and returns a dictionary (the clip's result) or raises a `ClipError`. The result is
kept in the ledger; a later run with the same fingerprint, whose file still matches the ledger, does not call it again.
"""

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from mma_bench.config import RayParams
from mma_bench.errors import Blocked, InvalidInput, StageError
from mma_bench.executor import local
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.executor.task import SETTLED, Task, Work, file_stamp
from mma_bench.faults import advice, shows_machine_fault
from mma_bench.files import file_sha256
from mma_bench.progress import Progress


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
    when it ended (`at`, UTC). A block ends the run: clips in flight are finished, no other is started.

    Args:
        tasks: One per clip.
        work: Runs in the workers; must be importable there.
        ledger_path: Relative to the project's folder, which is the current one.
        workers: Concurrent clips.
        title: For messages.
        ray: How to reach Ray; None: worker processes on this machine.
        stateful: On Ray, whether `work` caches something in its process for later clips.

    Raises:
        ConfigError: Ray is requested but not available.
        StageError: Some clips are not settled (a transient failure, a block, a bug); all others are kept.
    """
    with Ledger(ledger_path) as ledger:
        due = due_tasks(ledger, tasks)
        if len(due) < len(tasks):
            print(f"{title}: {len(tasks) - len(due)} of {len(tasks)} already done", file=sys.stderr)
        waiting = deque(due)
        if ray is None:
            outcomes = local.outcomes(waiting, work, workers)
        else:
            from mma_bench.executor import ray as on_ray

            stop_file = ledger_path.with_suffix(".running")
            outcomes = on_ray.outcomes(waiting, work, workers, stop_file, ray, stateful=stateful)
        with Progress(title, len(due)) as progress:
            for entry in outcomes:
                ledger.append(entry)
                progress.advance()
                if entry["status"] == Blocked.status:
                    waiting.clear()
        entries = [ledger.latest(task.key) for task in tasks]
    return _refuse_unsettled(entries, tasks, title)


def due_tasks(ledger: Ledger, tasks: Sequence[Task]) -> list[Task]:
    """The tasks that are not done by the ledger or whose files have changed."""
    return [task for task in tasks if not _is_done(ledger.latest(task.key), task)]


def _is_done(entry: Entry | None, task: Task) -> bool:
    if entry is None or entry["fingerprint"] != task.fingerprint or entry["status"] not in SETTLED:
        return False
    if entry["status"] == InvalidInput.status and shows_machine_fault(entry["detail"]):
        return False  # settled by an earlier version
    path, sha256 = entry["result"].get("path"), entry["result"].get("sha256")
    if path is None:
        return True
    stamp = file_stamp(path)
    # A file not written to since is not read again: for 200,000 clips, that would take hours.
    return stamp is not None and (stamp == entry.get("stamp") or file_sha256(Path(path)) == sha256)


def _refuse_unsettled(entries: Sequence[Entry | None], tasks: Sequence[Task], title: str) -> list[Entry]:
    """The entries, if every task has one that is settled.

    An entry with other inputs than the task's counts as missing: the run ended before the task was tried.
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
            hint=advice(last["reason"], "run the same command again: finished clips are kept"),
        )
    if open_entries:
        first = open_entries[0]
        raise StageError(
            f"{title}: {len(tasks) - len(tried) + len(open_entries)} of {len(tasks)} clips are not settled; "
            f"first {first['key']}: {first['reason']} ({first['detail']})",
            hint=advice(first["reason"], "run the same command again: finished clips are kept, only these are retried"),
        )
    if len(tried) < len(tasks):
        raise StageError(
            f"{title}: {len(tasks) - len(tried)} of {len(tasks)} clips were not tried", hint="run it again"
        )
    return tried
