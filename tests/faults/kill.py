"""Kills a clip-by-clip stage with SIGKILL in the middle, resumes it, and compares with an uninterrupted run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mma_bench import layout
from mma_bench.files import file_sha256
from tests.waiting import wait_until


@dataclass(frozen=True)
class Resumed:
    """What `run_killed_then_resumed` saw, for further checks.

    Attributes:
        whole: The project's folder after the uninterrupted run.
        killed: The copy's folder, killed and resumed.
        before: Ledger entries at the moment of the kill.
        after: Ledger entries at the end.
    """

    whole: Path
    killed: Path
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]


def run_killed_then_resumed(project: Path, stage: str, *, after: int = 1) -> Resumed:
    """Run `stage` in `project` to its end; in a copy of `project`, kill it with -9 and run it again.

    Asserts that both leave the same files with the same bytes (ledgers apart), that the resumed run repeated no
    clip that the ledger had as done, and that one more run changes nothing. On a busy machine a build may end before
    it is killed, which proves nothing: then a new copy is killed.

    Args:
        project: A folder with params.yaml and the stage's inputs, as `mma-bench --root` takes it. The copy is made
            beside it before anything runs. Needs more than `after` clips.
        stage: The stage's name.
        after: Kill as soon as the ledger has this many entries.
    """
    untouched, killed = (project.with_name(f"{project.name}-{name}") for name in ("untouched", "killed"))
    shutil.copytree(project, untouched)
    _build(project, stage)
    keys = {entry["key"] for entry in _entries(project, stage)}

    in_time = False
    while not in_time:
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(untouched, killed)
        before, group = _kill_after(after, killed, stage)
        in_time = {entry["key"] for entry in before} < keys
    _build(killed, stage)
    entries = _entries(killed, stage)
    assert entries[: len(before)] == before, "the ledger is append-only"
    done = Counter((entry["key"], entry["fingerprint"]) for entry in entries if entry["status"] == "ok")
    repeated = [key for (key, _), times in done.items() if times > 1]
    assert not repeated, f"finished clips were worked on again: {repeated}"
    assert snapshot(killed) == snapshot(project)

    _build(killed, stage)
    assert _entries(killed, stage) == entries, "a run with nothing to do did something"
    assert snapshot(killed) == snapshot(project)
    wait_until(lambda: is_over(group))
    return Resumed(project, killed, before, entries)


def snapshot(project: Path) -> dict[str, str]:
    """SHA-256 of every file below `project` by relative path, without the ledgers, whose order is that of time."""
    files = (path for path in sorted(project.rglob("*")) if path.is_file())
    hashes = {path.relative_to(project).as_posix(): file_sha256(path) for path in files}
    return {name: sha256 for name, sha256 in hashes.items() if not name.startswith(f"{layout.LEDGERS.as_posix()}/")}


def _command(project: Path, stage: str) -> list[str]:
    return [sys.executable, "-m", "mma_bench.cli", "--root", str(project), "build", stage]


def _build(project: Path, stage: str) -> None:
    run = subprocess.run(_command(project, stage), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def _entries(project: Path, stage: str) -> list[dict[str, Any]]:
    """The ledger's whole lines; a kill may cut the last one."""
    path = project / layout.ledger(stage)
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _kill_after(count: int, project: Path, stage: str) -> tuple[list[dict[str, Any]], int]:
    """The ledger's entries at the kill, and the process group that the build's workers are in."""
    with (project.parent / "killed-run.log").open("w+b") as log:
        process = subprocess.Popen(_command(project, stage), stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: process.poll() is not None or len(_entries(project, stage)) >= count)
            log.seek(0)
            assert process.poll() in (None, 0), f"{stage} failed before it was killed:\n{log.read().decode()}"
        except BaseException:  # whatever ends the wait, Ctrl-C included, leaves no build running; it is raised again
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    # The build alone, as a user's `kill -9`: its workers must notice and end by themselves.
    process.kill()
    process.wait()
    return _entries(project, stage), process.pid


def is_over(group: int) -> bool:
    """No process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
