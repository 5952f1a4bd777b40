"""Every stage under faults of the machine: it stops with a hint and no traceback, and then ends as if none had been.

The stages run as a user runs them, in a process each, in a project on a small file system of its own.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mma_bench import layout
from mma_bench.schema import ALIGNED, CANDIDATES, VERDICTS
from mma_bench.tables import from_rows, read_table, write_table
from tests.builders.publish import project as published
from tests.clips import AAC, H264, make, picture, tone
from tests.evaluation.runs import prediction, write_run
from tests.faults.kill import snapshot
from tests.faults.machine import fill, small_disk

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
IDS = ("aaaaaaaaaaa", "bbbbbbbbbbb")


def built(root: Path) -> None:
    """A project with every table, clips of four classes, the packaged dataset and a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        published.make(root)
        rows = [
            {**row, "status": "ok", "reason": "", "detail": ""}
            for row in read_table(layout.ALIGNED, ALIGNED).to_dicts()
        ]
        write_table(from_rows(rows, VERDICTS), layout.VERDICTS, VERDICTS, ["clip_id"])
        clips = [{**row, "subset": "eval"} for row in rows]
        write_table(from_rows(clips, CANDIDATES), layout.CANDIDATES, CANDIDATES, ["clip_id"])
        write_run(Path("results/model"), [prediction("a"), prediction("b", question="audio")])


def mma_bench(root: Path, words: str, *limit: str) -> subprocess.CompletedProcess[str]:
    command = [*limit, sys.executable, "-m", "mma_bench.cli", "--root", str(root), *words.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


STAGES = (
    "build acquire",
    "build normalise",
    "build conflicts",
    "build package",
    "build report",
    "validate package",
    "sft",
    "score results/model",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    built(root)
    return root


@pytest.fixture
def disk(tmp_path: Path, whole: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    with small_disk(folder, "64m"):
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        yield folder


def before(root: Path, stage: str) -> None:
    """What the stage needs, and nothing that it has already made."""
    if stage == "build conflicts":
        shutil.rmtree(root / layout.VARIANT_CLIPS)
        (root / layout.VARIANTS).unlink()
    if stage not in ("build acquire", "build normalise"):
        return
    rows = []
    for video in IDS:
        make(root / f"clips/{video}_30_40.mp4", *picture(10, "64x48", "10"), *tone(10), *H264, *AAC)
        segment = {"clip_id": f"{video}_30000", "video_id": video, "start_s": 30.0, "end_s": 40.0}
        rows.append({**segment, "subset": "eval", "label_ids": ["/m/cat"], "class_name": "Cat"})
    write_table(from_rows(rows, CANDIDATES), root / layout.CANDIDATES, CANDIDATES, ["clip_id"])
    params = yaml.safe_load((root / layout.PARAMS).read_text())
    params["acquire"] |= {"source": "folder", "folder": "clips", "splits": {"test": ["eval"]}}
    (root / layout.PARAMS).write_text(yaml.safe_dump(params))
    shutil.rmtree(root / layout.NORMALISED_CLIPS)
    if stage == "build normalise":
        assert mma_bench(root, "build acquire").returncode == 0


def ends_with_a_hint(done: subprocess.CompletedProcess[str]) -> bool:
    """Or it met no fault."""
    if done.returncode == 0:
        return True
    if done.returncode == -signal.SIGABRT:  # polars' allocator ends the process, which nothing can catch
        assert "memory allocation of" in done.stderr, done.stderr
        return False
    assert done.returncode in (1, 4), done.stderr
    # If the pool's own thread ends for lack of memory, Python prints why; "see the messages above" refers to it.
    assert "Traceback" not in done.stderr or "the pool of worker processes broke down" in done.stderr, done.stderr
    assert "hint: " in done.stderr, done.stderr
    return False


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(disk: Path, whole: Path, tmp_path: Path, stage: str) -> None:
    before(disk, stage)
    untouched = shutil.copytree(disk, tmp_path / "untouched", symlinks=True)
    assert mma_bench(untouched, stage).returncode == 0
    ballast = fill(disk)
    stopped = mma_bench(disk, stage)
    assert not ends_with_a_hint(stopped)
    assert "No space left on device" in stopped.stderr
    ballast.unlink()
    again = mma_bench(disk, stage)
    assert again.returncode == 0, again.stderr
    assert snapshot(disk) == snapshot(untouched)
    # Read-only, with everything to do again.
    shutil.rmtree(disk / layout.LEDGERS, ignore_errors=True)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        assert not ends_with_a_hint(mma_bench(disk, stage))
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def test_a_disk_that_is_full_for_the_workers_leaves_the_package(disk: Path, whole: Path) -> None:
    params = disk / layout.PARAMS
    params.write_text(yaml.safe_dump(yaml.safe_load(params.read_text()) | {"workers": 2}))
    untouched = snapshot(disk)
    ballast = fill(disk)
    os.truncate(ballast, ballast.stat().st_size - 65_536)  # enough for the texts, which come before the shards
    stopped = mma_bench(disk, "build package")
    assert stopped.returncode == 1, stopped.stderr
    assert "No space left on device" in stopped.stderr
    assert "hint: free disk space" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    ballast.unlink()
    assert snapshot(disk) == untouched
    again = mma_bench(disk, "build package")
    assert again.returncode == 0, again.stderr
    assert snapshot(disk) == untouched


LIMITS = {
    "file size": ["--fsize=4096"],
    "open files": ["--nofile=32"],
    "memory": [f"--as={900 << 20}"],
}


@pytest.mark.parametrize(
    ("stage", "limit"),
    # Of the others under a limit on memory, scipy's OpenBLAS never ends its import, and jemalloc crashes at the exit.
    [(stage, limit) for stage in STAGES for limit in LIMITS if limit != "memory" or stage.startswith("build")],
)
def test_a_limit(disk: Path, stage: str, limit: str) -> None:
    before(disk, stage)
    ends_with_a_hint(mma_bench(disk, stage, "prlimit", *LIMITS[limit]))
    again = mma_bench(disk, stage)
    assert again.returncode == 0, again.stderr
