"""Workers by available memory: the machine's, and that of control groups of both versions."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mma_bench.executor import memory
from mma_bench.executor.memory import available_bytes, workers_that_fit

GB = 10**9


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 20 GB available and no control group."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20 * GB))
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def in_group(root: Path, line: str) -> None:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(f"{line}\n")


def test_without_a_control_group_it_is_the_machines(root: Path) -> None:
    assert available_bytes(root) == 20 * GB
    in_group(root, "0::/")
    assert available_bytes(root) == 20 * GB, "no memory.max in the root group"


def test_the_tightest_group_counts_and_its_page_cache_is_given_back(root: Path) -> None:
    top = root / "sys/fs/cgroup"
    in_group(root, "0::/batch/job")
    write(top / "batch", memory__max=9 * GB, memory__current=8 * GB, memory__stat=f"anon 1\ninactive_file {2 * GB}")
    write(top / "batch/job", memory__max="max", memory__current=1, memory__stat="inactive_file 0")
    assert available_bytes(root) == 3 * GB
    write(top / "batch/job", memory__max=2 * GB)
    assert available_bytes(root) == 2 * GB - 1
    write(top / "batch", memory__current=12 * GB)
    assert available_bytes(root) == 0


def test_version_1_in_a_container_that_does_not_see_its_own_path(root: Path) -> None:
    in_group(root, "12:cpu,memory:/docker/0123456789\n3:pids:/docker/0123456789")
    top = root / "sys/fs/cgroup/memory"
    write(top, memory__limit_in_bytes=4 * GB, memory__usage_in_bytes=GB, memory__stat="total_inactive_file 7")
    assert available_bytes(root) == 3 * GB + 7


@pytest.mark.parametrize(("asked", "given"), [(8, 3), (3, 3), (2, 2)])
def test_workers_are_bounded_and_the_bound_is_said(
    root: Path, asked: int, given: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3.4 * GB))
    assert workers_that_fit(asked, GB, "judge") == given
    said = capsys.readouterr().err
    if given < asked:
        assert said == ("judge: 3 of 8 workers, since each takes about 1.0 GB of memory and 3.4 GB are available\n")
    else:
        assert said == ""


def test_one_worker_is_started_in_any_case(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=0))
    assert workers_that_fit(8, GB, "judge") == 1
