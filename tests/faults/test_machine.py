"""A full disk, a limit on files or memory: the run stops with a hint, no clip is refused, and the next run goes on."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import click
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mma_bench.builders.normalise import normalise_clip
from mma_bench.builders.sources.composed import FirstThatHas
from mma_bench.builders.sources.youtube_errors import classify
from mma_bench.commands import ReportingGroup
from mma_bench.config import load_params
from mma_bench.errors import InvalidInput, MachineFault
from mma_bench.executor.task import Task, attempt
from mma_bench.faults import machine_fault
from mma_bench.files import atomic_path, write_json
from mma_bench.media import encode as module
from mma_bench.media.edit import remove_audio, zero_frames
from mma_bench.media.encode import Shape, encode
from mma_bench.tables import write_table
from tests.clips import AAC, clip, make, picture, tone
from tests.faults.kill import snapshot
from tests.faults.machine import fill, limited, small_disk
from tests.waiting import wait_until

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
NATIVE = Shape(Fraction(25), 50, 2.0, None, fill=False, sample_rate=44_100, channels=1)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clip that is copied and one that is encoded."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "copied": clip(folder / "copied.mp4", size="320x240"),
        "encoded": make(folder / "encoded.mkv", *picture(size="320x240"), *tone(), "-c:v", "mpeg4", *AAC),
    }


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder on a file system of 1 MB, which is the current folder."""
    folder = tmp_path / "disk"
    with small_disk(folder, "1m"):
        monkeypatch.chdir(folder)
        yield folder
        monkeypatch.undo()


def tried(work: Any, **payload: Any) -> tuple[str, str]:
    entry = attempt(work, Task("clip", "f", payload))
    return entry["status"], entry["reason"]


def normalised(source: Path) -> tuple[str, str]:
    return tried(partial(normalise_clip, PARAMS.normalise), path=str(source), split="test", clip_id="clip")


def edited(payload: Any) -> dict[str, Any]:
    payload["edit"](payload["source"], Path("out.mp4"))
    return {}


@pytest.mark.parametrize("kind", ["copied", "encoded"])
def test_a_full_disk_refuses_no_clip(sources: dict[str, Path], disk: Path, kind: str) -> None:
    ballast = fill(disk)
    assert normalised(sources[kind]) == ("blocked", "disk_full")
    ballast.unlink()
    assert normalised(sources[kind]) == ("ok", "")


@pytest.mark.parametrize("edit", [remove_audio, zero_frames])
def test_a_full_disk_refuses_no_conflict(sources: dict[str, Path], disk: Path, edit: Any) -> None:
    ballast = fill(disk)
    assert tried(edited, edit=edit, source=sources["copied"]) == ("blocked", "disk_full")
    ballast.unlink()
    assert tried(edited, edit=edit, source=sources["copied"]) == ("ok", "")


@pytest.mark.parametrize("kind", ["copied", "encoded"])
def test_a_limit_on_file_sizes_refuses_no_clip(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with limited(resource.RLIMIT_FSIZE, 4096):
        assert normalised(sources[kind]) == ("blocked", "file_size_limit")
    assert normalised(sources[kind]) == ("ok", "")


@pytest.mark.parametrize("kind", ["copied", "encoded"])
@pytest.mark.parametrize("left", range(6))
def test_too_many_open_files_refuse_no_clip(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, left: int
) -> None:
    monkeypatch.chdir(tmp_path)
    taken = max(int(link.name) for link in Path("/proc/self/fd").iterdir())
    with limited(resource.RLIMIT_NOFILE, taken + left):
        assert normalised(sources[kind]) in {("blocked", "too_many_open_files"), ("ok", "")}


@pytest.mark.parametrize("megabytes", [100, 200, 250, 300, 350, 400, 500])
def test_ffmpeg_with_little_memory_refuses_no_clip(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    limit = ["prlimit", f"--as={megabytes << 20}"]
    command = module.command
    monkeypatch.setattr(module, "command", lambda *arguments: [*limit, *command(*arguments)])
    entry = attempt(lambda _: encode(sources["encoded"], tmp_path / "out.mp4", NATIVE) or {}, Task("clip", "f", {}))
    assert (entry["status"], entry["reason"]) in {("retry", "out_of_memory"), ("ok", "")}, entry


def test_ffmpeg_ends_with_a_worker_that_is_killed(sources: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "ffmpeg").write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid.tmp; mv {tmp_path}/pid.tmp {tmp_path}/pid\nexec sleep 3600\n"
    )
    (tmp_path / "ffmpeg").chmod(0o755)
    code = (
        "from pathlib import Path; from fractions import Fraction; from mma_bench.media.encode import Shape, encode\n"
        f"encode(Path({str(sources['encoded'])!r}), Path('b.mp4'), Shape(Fraction(25), 50, 2.0, None, False, 44100, 1))"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    wait_until(lambda: (tmp_path / "pid").exists() or worker.poll() is not None)
    worker.kill()
    worker.wait()
    stat = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    wait_until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (OSError(errno.EMFILE, "Too many open files"), "too_many_open_files"),
        (OSError(errno.ENFILE, "Too many open files in system"), "too_many_open_files"),
        (OSError(errno.EFBIG, "File too large"), "file_size_limit"),
        (OSError(errno.EROFS, "Read-only file system"), "not_writable"),
        (OSError(errno.EACCES, "Permission denied", "data/out.mp4"), "not_permitted"),
        (OSError(errno.EIO, "Input/output error"), "disk_failed"),
        (MemoryError(), "out_of_memory"),
        (ImportError("lib.so: failed to map segment from shared object"), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (RuntimeError("No space left on device (os error 28)"), "disk_full"),
    ],
)
def test_causes_are_classified(error: Exception, reason: str) -> None:
    fault = machine_fault(error)
    assert fault is not None
    assert fault.reason == reason
    assert machine_fault(ValueError("a bug")) is None
    assert machine_fault(FileNotFoundError(errno.ENOENT, "No such file")) is None


def wrapped(number: int) -> InvalidInput:
    """As a stage raises it: with the cause suppressed."""
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError:
            raise InvalidInput("unsupported_codec", "MP4 cannot carry it") from None
    except InvalidInput as error:
        return error


def test_a_cause_counts_though_it_is_suppressed_unless_damage_may_be_the_cause() -> None:
    assert isinstance(machine_fault(wrapped(errno.ENOSPC)), MachineFault)
    assert machine_fault(wrapped(errno.EIO)) is None


def test_a_youtube_cut_on_a_full_disk_is_neither_retried_nor_counted_as_the_sites() -> None:
    assert classify(wrapped(errno.ENOSPC), page=False).reason == "disk_full"
    assert classify(OSError(errno.ENOSPC, "No space left on device"), page=True).reason == "disk_full"


class Full:
    """A request that meets a full disk."""

    suffix, revision, remote = ".mp4", "1", False

    def fetch(self, into: Path) -> Any:
        raise wrapped(errno.ENOSPC)


def test_a_full_disk_is_no_reason_to_ask_the_next_source(tmp_path: Path) -> None:
    with pytest.raises(MachineFault):
        FirstThatHas((Full(), Full())).fetch(tmp_path / "clip.mp4")


def by_polars(path: Path) -> None:
    pl.DataFrame({"a": [os.urandom(100_000) for _ in range(100)]}).write_parquet(path, compression="uncompressed")


def by_pyarrow(path: Path) -> None:
    pq.write_table(pa.table({"a": [os.urandom(100_000) for _ in range(100)]}), path)


def by_python(path: Path) -> None:
    write_json(path, ["x" * 1000] * 10_000)


def by_copying(path: Path) -> None:
    path.parent.joinpath("copy").write_bytes(bytes(10_000_000))


@pytest.mark.parametrize("write", [by_polars, by_pyarrow, by_python, by_copying])
def test_a_full_disk_ends_any_command_with_a_message(disk: Path, write: Any) -> None:
    @click.group(cls=ReportingGroup)
    def group() -> None:
        pass

    group.command("write")(lambda: write(disk / "out"))
    result = CliRunner().invoke(group, ["write"])
    assert result.exit_code == 1
    assert "No space left on device" in result.output
    assert "hint: free disk space" in result.output
    assert isinstance(result.exception, SystemExit)


def table_by_ours(path: Path) -> None:
    write_table(pl.DataFrame({"a": [os.urandom(100_000) for _ in range(100)]}), path, {"a": pl.Binary()}, ["a"])


def text_by_ours(path: Path) -> None:
    write_json(path, ["x" * 1000] * 10_000)


def shard_by_ours(path: Path) -> None:
    with atomic_path(path) as staged:
        by_pyarrow(staged)


def copy_by_ours(path: Path) -> None:
    with atomic_path(path) as staged:
        staged.write_bytes(bytes(10_000_000))


@pytest.mark.parametrize("write", [table_by_ours, text_by_ours, shard_by_ours, copy_by_ours])
@pytest.mark.parametrize(("options", "problem"), [(None, "No space left"), ("remount,ro", "Read-only")])
def test_the_message_names_the_file_that_cannot_be_written(
    disk: Path, write: Callable[[Path], None], options: str | None, problem: str
) -> None:
    @click.group(cls=ReportingGroup)
    def group() -> None:
        pass

    if options is not None:
        subprocess.run(["mount", "-o", options, disk], check=True)
    group.command("write")(lambda: write(disk / "table.out"))
    result = CliRunner().invoke(group, ["write"])
    assert result.exit_code == 1
    assert f"error: {disk / 'table.out'}: {problem}" in result.output
    assert ".tmp-" not in result.output


@pytest.mark.slow
def test_a_build_on_a_full_disk_stops_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    from tests.faults.test_kill_normalise import make_project

    def build(root: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mma_bench.cli", "--root", str(root), "build", "normalise"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    untouched, full = make_project(tmp_path / "untouched"), tmp_path / "full"
    with small_disk(full, "8m"):
        subprocess.run(["cp", "-r", f"{untouched}/.", full], check=True)
        assert build(untouched).returncode == 0
        ballast = fill(full)
        stopped = build(full)
        assert stopped.returncode == 4, stopped.stderr
        assert "No space left on device" in stopped.stderr
        assert "hint: free disk space" in stopped.stderr
        assert "Traceback" not in stopped.stderr
        ballast.unlink()
        again = build(full)
        assert again.returncode == 0, again.stderr
        assert snapshot(full) == snapshot(untouched)
