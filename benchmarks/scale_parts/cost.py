"""What one command costs: CPU seconds, seconds, peak memory of its processes together, and files."""

import json
import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """One step at one size.

    Attributes:
        cpu_s: CPU seconds of the step and its workers.
        wall_s: Seconds.
        mb: Peak memory of the step's processes together.
        files: Files that it left.
    """

    cpu_s: float
    wall_s: float
    mb: float
    files: int


def cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mb(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Run a command; the most memory that it and its processes had at once, looked at twenty times a second."""
    import psutil

    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said) as running,
    ):
        most, ended = 0, threading.Event()
        root = psutil.Process(running.pid)
        while running.poll() is None:
            total = 0
            for process in [root, *_below(root)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:  # ended meanwhile
                    continue
            most = max(most, total)
            ended.wait(0.05)
        if running.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} in {folder} failed:\n{said.read()[-4000:]}")
    return most / 1e6


def _below(root: Any) -> list[Any]:
    import psutil

    try:
        return list(root.children(recursive=True))
    except psutil.Error:
        return []


def files_in(folder: Path) -> int:
    """How many there are, at any depth."""
    return sum(len(names) for _, _, names in os.walk(folder))


def measure(command: Sequence[str], folder: Path) -> Cost:
    """Run a command in `folder`: its cost, from `measured.json` if it writes that, else of the whole process."""
    environment = {
        **os.environ,
        **dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS"), "1"),
        **dict.fromkeys(("HF_HUB_OFFLINE", "DVC_NO_ANALYTICS"), "1"),
        "GX_ANALYTICS_ENABLED": "false",
        "HF_HOME": str(folder / ".cache"),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc-site"),
    }
    before, began, spent = files_in(folder), time.perf_counter(), cpu_s()
    mb = peak_mb(command, folder, environment)
    cost = {"cpu_s": cpu_s() - spent, "wall_s": time.perf_counter() - began}
    own = folder / "measured.json"
    if own.is_file():
        cost = json.loads(own.read_text())
        own.unlink()
    return Cost(cost["cpu_s"], cost["wall_s"], mb, files_in(folder) - before)
