"""Runs one function over many clips, in worker processes or on Ray; resumable, and one bad clip never stops the others.

The function gets a task's payload and returns a dictionary (the clip's result) or raises a `ClipError`. The result is
kept in the ledger; a later run with the same fingerprint, whose file still matches the ledger, does not call it again.

A clip that fails for a reason that may pass (`retry`), or by a bug (`failed`), is tried again by the next run. Its
ledger entry counts the `runs`; after `give_up_after` of them it is `given_up` with its last reason, so that no clip
keeps a stage from ending. `reopen` makes a later run try such clips again.
"""

import sys
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from mma_bench.config import RayParams
from mma_bench.errors import Blocked, ConfigError, InternalError, InvalidInput, Retryable, StageError
from mma_bench.executor import local
from mma_bench.executor.ledger import Entries, Entry, Ledger
from mma_bench.executor.task import FAILED, GIVEN_UP, SETTLED, Task, Work, attempt, entry_of, file_stamp
from mma_bench.faults import advice, shows_machine_fault
from mma_bench.files import file_sha256
from mma_bench.layout import CLIP_STAGES
from mma_bench.names import choose
from mma_bench.progress import Progress

_AT_ONCE = 1_000  # clips that are recorded together
_FIELDS = frozenset({"key", "fingerprint", "status", "reason", "detail", "result"})  # of every entry


def run(
    tasks: Sequence[Task],
    work: Work,
    ledger_path: Path,
    *,
    workers: int,
    title: str,
    give_up_after: int | None = None,
    ray: RayParams | None = None,
    stateful: bool = False,
    again: str | None = None,
) -> Entries:
    """Run `work` over `tasks` and return one entry per task, in the order of `tasks`.

    An entry has `key`, `fingerprint`, `status`, `reason`, `detail` and `result` (a dictionary, empty unless ok), and
    when it ended (`at`, UTC). A block or a bug ends the run: clips in flight are finished, no other is started.

    Args:
        tasks: One per clip.
        work: Runs in the workers; must be importable there.
        ledger_path: Relative to the project's folder, which is the current one.
        workers: Concurrent clips.
        title: For messages.
        give_up_after: Runs after which a clip is given up; 0: give up every clip that this run does not settle, also
            those that were blocked or not reached. None: never.
        ray: How to reach Ray; None: worker processes on this machine.
        stateful: On Ray, whether `work` caches something in its process for later clips.
        again: The command that makes a later run try clips that were given up, for the message; None: a stage's.

    Raises:
        ConfigError: Ray is requested but not available.
        StageError: Some clips are not settled (a transient failure, a block); all others are kept.
        InternalError: Some clips met a bug; all others are kept.
    """
    with Ledger(ledger_path) as ledger:
        due = due_tasks(ledger, tasks)
        if len(due) < len(tasks):
            print(f"{title}: {len(tasks) - len(due)} of {len(tasks)} already done", file=sys.stderr)
        # A clip that met a bug comes last, so that it keeps no other from being tried.
        slow = (task for task in due if not task.at_once)
        waiting = deque(sorted(slow, key=lambda task: _met_a_bug(_latest(ledger, task.key))))
        if ray is None:
            outcomes = local.outcomes(waiting, work, workers)
        else:
            from mma_bench.executor import ray as on_ray

            stop_file = ledger_path.with_suffix(".running")
            # Each machine syncs its own files, clip by clip: no other can.
            received = on_ray.outcomes(waiting, work, workers, stop_file, ray, stateful=stateful)
            outcomes = ([entry] for entry in received)
        with Progress(title, len(due)) as progress:
            quick = (attempt(work, task) for task in due if task.at_once)
            while some := list(islice(quick, _AT_ONCE)):
                ledger.append(*(_counted(entry, _latest(ledger, entry["key"]), give_up_after) for entry in some))
                progress.advance(len(some))
            for some in outcomes:
                ledger.append(*(_counted(entry, _latest(ledger, entry["key"]), give_up_after) for entry in some))
                progress.advance(len(some))
                if any(
                    entry["status"] == Blocked.status or (_met_a_bug(entry) and give_up_after != 0) for entry in some
                ):
                    waiting.clear()
        if give_up_after == 0:
            for task in due_tasks(ledger, tasks):
                ledger.append(_given_up(task, _latest(ledger, task.key)))
        _check_settled(ledger, tasks, title, give_up_after, again)
        return ledger.of([task.key for task in tasks])


def reopen(ledger_path: Path, reason: str) -> int:
    """Mark the clips that ended with `reason` for the next run to try again; returns their number.

    Raises:
        ConfigError: No clip ended with it.
        StageError: The stage is running.
    """
    with Ledger(ledger_path) as ledger:
        ended = [entry for entry in ledger.entries() if _is_whole(entry) and entry["status"] != "ok"]
        found = [entry for entry in ended if entry["reason"] == reason]
        if not found:
            there = sorted({entry["reason"] for entry in ended})
            hint = choose(reason, there, "name one of:") if there else "no clip so far needs to be tried again"
            raise ConfigError(f"no clip ended with {reason!r}", hint=hint)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        for entry in found:
            detail = f"reopened by hand; was {entry['status']}"
            ledger.append(entry | {"status": Retryable.status, "detail": detail, "runs": 0, "at": now})
    return len(found)


def _counted(entry: Entry, before: Entry | None, give_up_after: int | None) -> Entry:
    """An unsettled entry with the number of runs in which the clip failed; given up if these are enough."""
    if entry["status"] in SETTLED:
        return entry
    before_runs = 0
    if before is not None and before["fingerprint"] == entry["fingerprint"] and before["status"] not in SETTLED:
        before_runs = before.get("runs", 1)  # older ledgers have no count
    if entry["status"] == Blocked.status:  # not the clip's fault
        return entry | {"runs": before_runs}
    runs = before_runs + 1
    if give_up_after is None or runs < give_up_after:
        return entry | {"runs": runs}
    return entry | {"runs": runs, "status": GIVEN_UP, "detail": f"given up after {runs} runs; {entry['detail']}"}


def _given_up(task: Task, before: Entry | None) -> Entry:
    """The entry of a task that this run did not settle, with its last reason."""
    if before is None or before["fingerprint"] != task.fingerprint:
        return entry_of(task, GIVEN_UP, "not_tried", "given up before it was tried")
    return entry_of(task, GIVEN_UP, before["reason"] or "not_tried", f"given up by --settle; {before['detail']}")


def _settling(title: str, whom: str) -> str:
    """How to go past clips that are not settled, which only a stage can."""
    return f"; `mma-bench build {title} --settle` ends the stage without {whom}" if title in CLIP_STAGES else ""


def _print_given_up(reasons: Counter[str], clips: int, title: str, again: str) -> None:
    if reasons:
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        print(f"{title}: {reasons.total()} of {clips} clips are given up ({counts})", file=sys.stderr)
        print(f"  to try them again: {again}", file=sys.stderr)


def _latest(ledger: Ledger, key: str) -> Entry | None:
    """The last attempt at `key`, or None; also None if its line lacks something, so that it is made again."""
    entry = ledger.latest(key)
    return entry if entry is not None and _is_whole(entry) else None


def _is_whole(entry: Entry) -> bool:
    return entry.keys() >= _FIELDS and isinstance(entry["result"], dict)


def due_tasks(ledger: Ledger, tasks: Sequence[Task]) -> list[Task]:
    """The tasks that are not done by the ledger or whose files have changed."""
    return [task for task in tasks if not _is_done(_latest(ledger, task.key), task)]


def _is_done(entry: Entry | None, task: Task) -> bool:
    if entry is None or entry["fingerprint"] != task.fingerprint or entry["status"] not in SETTLED:
        return False
    if entry["status"] == InvalidInput.status and (
        entry["reason"] == "missing_file" or shows_machine_fault(entry["detail"])
    ):
        return False  # settled by an earlier version
    path, sha256 = entry["result"].get("path"), entry["result"].get("sha256")
    if path is None:
        return True
    stamp = file_stamp(path)
    # A file not written to since is not read again: for 200,000 clips, that would take hours.
    return stamp is not None and (stamp == entry.get("stamp") or file_sha256(Path(path)) == sha256)


def _met_a_bug(entry: Entry | None) -> bool:
    return entry is not None and entry["status"] == FAILED


def _check_settled(
    ledger: Ledger, tasks: Sequence[Task], title: str, give_up_after: int | None, again: str | None
) -> None:
    """Do nothing if every task has an entry that is settled.

    An entry with other inputs than the task's counts as missing: the run ended before the task was tried.
    """
    given_up: Counter[str] = Counter()
    tried = unsettled = bugs = 0
    first = block = bug = None
    for task in tasks:
        entry = _latest(ledger, task.key)
        if entry is not None and entry["status"] == GIVEN_UP:
            given_up[entry["reason"]] += 1
        if entry is None or entry["fingerprint"] != task.fingerprint:
            continue
        tried += 1
        if entry["status"] not in SETTLED:
            unsettled += 1
            first = first or entry
            if _met_a_bug(entry):
                bugs += 1
                bug = bug or entry
            if entry["status"] == Blocked.status and (block is None or entry["at"] > block["at"]):
                block = entry
    _print_given_up(given_up, len(tasks), title, again or f"mma-bench build {title} --retry REASON")
    if block is not None:
        raise StageError(
            f"{title}: stopped, {block['reason']}: {block['detail']}\n"
            f"  {tried - unsettled} of {len(tasks)} clips are settled, none of the others was given up",
            hint=advice(
                block["reason"],
                f"then run the same command again: finished clips are kept{_settling(title, 'the others')}",
            ),
        )
    if bug is not None:
        raise InternalError(
            f"{title}: stopped by a bug in mma-bench on {bugs} of {len(tasks)} clips; "
            f"first {bug['key']}: {bug['detail']}",
            hint="report it with the traceback above; the clips are not to blame and can be tried again. Run the same "
            "command again: finished clips are kept, those that met a bug come last"
            + (f" and are given up after {give_up_after} runs" if give_up_after else "")
            + _settling(title, "them"),
        )
    if first is not None:
        raise StageError(
            f"{title}: {len(tasks) - tried + unsettled} of {len(tasks)} clips are not settled; "
            f"first {first['key']}: {first['reason']} ({first['detail']})",
            hint=advice(
                first["reason"],
                "run the same command again: finished clips are kept, only these are retried"
                + (f", and given up after {give_up_after} runs" if give_up_after else "")
                + _settling(title, "them"),
            ),
        )
    if tried < len(tasks):
        raise StageError(f"{title}: {len(tasks) - tried} of {len(tasks)} clips were not tried", hint="run it again")
