"""Ctrl-C on a running stage: finished clips are kept, no traceback, exit status 130, and the next run goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, time
from pathlib import Path
import click
from mma_bench.cli import ReportingGroup
from mma_bench.executor import run
from mma_bench.executor.task import Task
from tests.faults.test_interrupt import held

@click.command()
def go():
    tasks = [Task(f"clip{i}", "f", {"key": i, "folder": sys.argv[3]}) for i in range(40)]
    run(tasks, held, Path(sys.argv[2]), workers=2, title="held")

group = ReportingGroup(commands={"go": go})
group(["go"])
"""


def held(payload: dict[str, Any]) -> dict[str, int]:
    """A clip's work: the first three end when both workers have begun, the others when there is a file `go`."""
    folder = Path(payload["folder"])
    (folder / f"worker-{os.getpid()}").touch()
    go = folder / "go"
    wait_until(lambda: len(list(folder.glob("worker-*"))) >= 2 if payload["key"] < 3 else go.exists())
    return {"n": payload["key"]}


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    command = [sys.executable, "-c", SCRIPT, "-", str(ledger), str(tmp_path)]
    build = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: build.poll() is not None or (ledger.exists() and ledger.read_text().count("\n") >= 3))
    os.killpg(build.pid, signal.SIGINT)  # as a terminal does: to the workers too
    (tmp_path / "go").touch()
    _, messages = build.communicate()
    assert build.returncode == 130, messages
    assert "interrupted; finished clips are kept" in messages
    assert "Traceback" not in messages
    kept = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert 3 <= len(kept) < 40

    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    keys = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert sorted(keys) == sorted(f"clip{i}" for i in range(40)), "each clip once"


SLOW_START = """
import os, sys, time
from pathlib import Path
if any("spawn_main" in part for part in sys.orig_argv):
    folder = Path(os.environ["SLOW_START"])
    (folder / f"starting-{os.getpid()}").touch()
    while not (folder / "interrupted").exists():
        time.sleep(0.01)
"""


def test_ctrl_c_while_a_worker_starts_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    ledger = tmp_path / "ledger.jsonl"
    command = [sys.executable, "-c", SCRIPT, "-", str(ledger), str(tmp_path)]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "SLOW_START": str(tmp_path)}
    build = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    wait_until(lambda: build.poll() is not None or list(tmp_path.glob("starting-*")) != [])
    os.killpg(build.pid, signal.SIGINT)
    (tmp_path / "go").touch()
    (tmp_path / "interrupted").touch()
    _, messages = build.communicate()
    assert build.returncode == 130, messages
    assert "Traceback" not in messages
