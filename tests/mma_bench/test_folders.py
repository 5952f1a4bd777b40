"""One writer of a folder at a time, and nothing left beside it."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mma_bench.builders.inputs import state_of
from mma_bench.errors import StageError
from mma_bench.folders import exclusive, is_file, path_below, staged_folder, walk


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


def test_a_folder_is_walked_however_deep_it_is_and_whatever_it_links_to(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2", "b/1", "z", "a"):
        (tmp_path / name).touch()
    (tmp_path / "b/loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone").symlink_to("nothing")
    found = {path_below(tmp_path, entry): is_file(entry) for entry in walk(tmp_path)}
    links = dict.fromkeys(("b/loop", "self", "gone"), False)
    assert found == dict.fromkeys(("a", "z", "b/1", "b/2"), True) | links
    assert list(found) == ["a", "gone", "self", "z", "b/1", "b/2", "b/loop"], "of each folder first its own files"


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file 1,200 levels below it."""
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(os.open("deepest.mp4", os.O_CREAT, dir_fd=place))
    os.close(place)
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # shutil.rmtree is recursive


def test_a_deep_folder_is_read_and_one_that_the_system_cannot_name_is_told(deep: Path) -> None:
    assert [entry.name for entry in walk(deep)] == ["deepest.mp4"]
    assert state_of(deep) is not None
    for _ in range(1000):
        (deep / "d").rename(deep / "e")
        (deep / "d").mkdir()
        (deep / "e").rename(deep / "d/d")
    refused: list[OSError] = []
    assert list(walk(deep, refused.append)) == []
    assert [error.errno for error in refused] == [errno.ENAMETOOLONG]
