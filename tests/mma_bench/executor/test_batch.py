"""No line of the ledger reaches the disk before its clip's file, although a batch of files is synced at once."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mma_bench import files
from mma_bench.errors import StageError
from mma_bench.executor import batch, run
from mma_bench.executor.ledger import Ledger
from mma_bench.executor.task import Task, entry_of
from mma_bench.files import atomic_path, sync_files, synced_later
from tests.mma_bench.executor.test_local import calls, tasks_for, work


def lines(ledger: Path) -> list[str]:
    return [json.loads(line)["key"] for line in ledger.read_text().splitlines()] if ledger.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.0, float("inf")])
def test_files_are_renamed_then_synced_and_only_then_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_s: float
) -> None:
    """Rename is the worker's, the other two are this process's: what each finds of the others is recorded."""
    ledger = tmp_path / "ledger.jsonl"
    events: list[tuple[str, set[str]]] = []

    def synced(paths: Iterable[Path]) -> None:
        there = {path.stem for path in paths}
        assert all((tmp_path / f"{key}.txt").read_text() == key for key in there), "synced before it was renamed"
        assert not there & set(lines(ledger)), "recorded before it was synced"
        sync_files(tmp_path / f"{key}.txt" for key in there)
        events.append(("synced", there))

    def append(self: Ledger, *entries: dict[str, Any]) -> None:
        events.append(("recorded", {entry["key"] for entry in entries}))
        appended(self, *entries)

    appended = Ledger.append
    monkeypatch.setattr(batch, "sync_files", synced)
    monkeypatch.setattr(Ledger, "append", append)
    monkeypatch.setattr(batch, "WAIT_S", wait_s)
    keys = [task.key for task in tasks_for(tmp_path, ["ok"] * 20)]
    run(tasks_for(tmp_path, ["ok"] * 20), work, ledger, workers=2, title="test")
    assert sorted(lines(ledger)) == sorted(keys)
    on_disk: set[str] = set()
    for what, found in events:
        on_disk |= found if what == "synced" else set()
        assert found <= on_disk, f"{what} {found - on_disk} too early"
    if wait_s:
        assert events == [("synced", set(keys)), ("recorded", set(keys))], "not all at once"


KILLED_WHILE_SYNCING = """
import os, signal, sys
from pathlib import Path
from mma_bench.executor import batch, run
from tests.mma_bench.executor.test_local import tasks_for, work
def killed(paths):
    if paths:
        os.kill(os.getpid(), signal.SIGKILL)
batch.sync_files = killed
folder = Path(sys.argv[1])
if __name__ == "__main__":
    run(tasks_for(folder, ["ok"] * 5), work, folder / "ledger.jsonl", workers=2, title="test")
"""


@pytest.mark.slow
def test_a_kill_between_rename_and_sync_leaves_no_line(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED_WHILE_SYNCING)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, str(script), str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    made = set(calls(tmp_path))
    assert made, "no clip was made"
    assert lines(tmp_path / "ledger.jsonl") == []
    run(tasks_for(tmp_path, ["ok"] * 5), work, tmp_path / "ledger.jsonl", workers=2, title="test")
    assert len(lines(tmp_path / "ledger.jsonl")) == 5
    assert calls(tmp_path).count("clip0") == 1 + ("clip0" in made), "made again, since no line said that it was there"


@pytest.mark.slow
def test_a_disk_that_does_not_take_the_files_stops_the_run_and_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> int:
        import ctypes

        ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr(files, "_SYNCFS", full)
    with pytest.raises(StageError, match="cannot be written to the disk") as error:
        run(tasks_for(tmp_path, ["ok"] * 3), work, tmp_path / "ledger.jsonl", workers=2, title="test")
    assert "free disk space" in str(error.value.hint)
    assert lines(tmp_path / "ledger.jsonl") == []


@pytest.fixture(params=["one call", "file by file"])
def synced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced, by path, with the system's call for a whole file system and without."""
    names: list[str] = []

    def name(descriptor: int) -> None:
        names.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def all_files(descriptor: int) -> int:
        name(descriptor)
        return 0

    monkeypatch.setattr("os.fsync", name)
    monkeypatch.setattr(files, "_SYNCFS", all_files if request.param == "one call" else None)
    return names


def write(path: Path) -> None:
    with atomic_path(path) as staged:
        staged.write_text("x")


def test_a_file_is_synced_before_it_is_renamed_unless_somebody_does_so_later(tmp_path: Path, synced: list[str]) -> None:
    write(tmp_path / "a")
    assert [Path(name).name.startswith(".tmp-") for name in synced] == [True, False]
    synced.clear()
    with synced_later() as paths:
        write(tmp_path / "sub/b")
        write(tmp_path / "sub/c")
        (tmp_path / "sub/c").unlink()
    assert synced == []
    sync_files(paths)
    sub = str(tmp_path / "sub")
    assert synced == ([sub] if files._SYNCFS is not None else [f"{sub}/b", sub])
    synced.clear()
    write(tmp_path / "d")
    assert len(synced) == 2, "later files are synced at once again"


def entry(status: str) -> dict[str, Any]:
    return entry_of(Task("clip", "f", {}), status, "", "")


@pytest.mark.parametrize(
    ("status", "at_once"), [("ok", False), ("refused", False), ("blocked", True), ("failed", True)]
)
def test_what_may_end_the_run_is_not_waited_with(monkeypatch: pytest.MonkeyPatch, status: str, at_once: bool) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    some = batch.Batch()
    assert some.due_in_s == float("inf")
    some.add(entry(status), [])
    assert (some.due_in_s <= 0) == at_once
    now[0] += 1
    assert some.due_in_s <= 0
    assert [found["status"] for found in some.synced()] == [status]
    assert some.due_in_s == float("inf")
