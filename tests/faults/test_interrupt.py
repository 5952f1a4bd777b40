"""Ctrl-C on a running stage: finished clips are kept, no traceback, exit status 130, and the next run goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, time
from pathlib import Path
import click
from mma_bench.cli import ReportingGroup
from mma_bench.executor import run
from mma_bench.executor.task import Task
from tests.faults.test_interrupt import slow

@click.command()
def go():
    run([Task(f"clip{i}", "f", {"key": i}) for i in range(40)], slow, Path(sys.argv[2]), workers=2, title="slow")

group = ReportingGroup(commands={"go": go})
group(["go"])
"""


def slow(payload: dict[str, int]) -> dict[str, int]:
    """A clip's work that takes a moment."""
    time.sleep(0.1)
    return {"n": payload["key"]}


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    command = [sys.executable, "-c", SCRIPT, "-", str(ledger)]
    build = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 30
    while not (ledger.exists() and ledger.read_text().count("\n") >= 3):
        assert build.poll() is None, build.stderr and build.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(build.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, messages = build.communicate(timeout=30)
    assert build.returncode == 130, messages
    assert "stopped; finished clips are kept" in messages
    assert "Traceback" not in messages
    kept = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert 3 <= len(kept) < 40

    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    keys = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert sorted(keys) == sorted(f"clip{i}" for i in range(40)), "each clip once"
