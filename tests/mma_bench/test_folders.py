"""One writer of a folder at a time, and nothing left beside it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mma_bench.errors import StageError
from mma_bench.folders import exclusive, staged_folder


def test_a_second_writer_is_refused_and_may_write_when_the_first_is_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with exclusive(out), pytest.raises(StageError, match="out is being written by another process"), exclusive(out):
        pass
    with exclusive(out), exclusive(tmp_path / "other"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from mma_bench.folders import staged_folder\n"
    code += "with staged_folder(Path(sys.argv[1])) as staged: (staged / 'a').touch(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert len(list(tmp_path.iterdir())) == 2, "the lock and the half-written folder"
    with staged_folder(tmp_path / "out") as staged:
        assert list(staged.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_of_many_at_once_one_writes(tmp_path: Path) -> None:
    inside, most, refused = 0, 0, 0
    guard = threading.Lock()

    def write() -> None:
        nonlocal inside, most, refused
        for _ in range(200):
            try:
                with exclusive(tmp_path / "out"):
                    with guard:
                        inside += 1
                        most = max(most, inside)
                    os.sched_yield()
                    with guard:
                        inside -= 1
            except StageError:
                refused += 1

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
