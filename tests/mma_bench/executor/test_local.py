"""One bad clip stops nothing, a crash costs one clip, and a finished clip is never repeated."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import Blocked, ConfigError, InternalError, InvalidInput, Retryable, StageError
from mma_bench.executor import due_tasks, reopen, run
from mma_bench.executor.ledger import Ledger
from mma_bench.executor.task import Task, entry_of
from mma_bench.faults import READABLE
from mma_bench.files import atomic_path, file_sha256


def work(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the workers run; the payload says how it ends."""
    with Path(payload["log"]).open("a") as log:
        log.write(payload["key"] + "\n")
    match payload["fate"]:
        case "refused":
            raise InvalidInput("silent", "the sound is -90 dBFS")
        case "retry":
            raise Retryable("timeout", "no answer")
        case "blocked":
            raise Blocked("bot_check", "come back after noon")
        case "bug":
            raise ZeroDivisionError("not foreseen")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed" | "terminated" as how:
            os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGTERM)
        case "full disk":
            raise InvalidInput("corrupt_stream", "not a clip") from OSError(errno.ENOSPC, "No space left on device")
        case "exit":
            os._exit(0)  # as a native library may: the status alone does not show that the clip was not finished
    path = Path(payload["out"])
    with atomic_path(path) as beside:
        beside.write_text(payload["key"])
    return {"path": str(path), "sha256": file_sha256(path)}


def tasks_for(tmp_path: Path, fates: list[str], version: int = 1) -> list[Task]:
    return [
        Task(
            f"clip{i}",
            f"fingerprint{version}",
            {"key": f"clip{i}", "fate": fate, "out": str(tmp_path / f"clip{i}.txt"), "log": str(tmp_path / "log")},
        )
        for i, fate in enumerate(fates)
    ]


def calls(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return sorted(log.read_text().split()) if log.exists() else []


def start(tmp_path: Path, fates: list[str], version: int = 1, workers: int = 2, **options: Any) -> list[dict[str, Any]]:
    tasks = tasks_for(tmp_path, fates, version)
    return list(run(tasks, work, tmp_path / "ledger.jsonl", workers=workers, title="test", **options))


@pytest.mark.slow
def test_a_refused_clip_stops_no_other(tmp_path: Path) -> None:
    entries = start(tmp_path, ["ok", "refused", "ok"])
    assert [(entry["key"], entry["status"], entry["reason"]) for entry in entries] == [
        ("clip0", "ok", ""),
        ("clip1", "refused", "silent"),
        ("clip2", "ok", ""),
    ]


@pytest.mark.slow
def test_a_block_ends_the_run_and_the_next_goes_on(tmp_path: Path) -> None:
    fates = ["ok", "ok", "blocked", *["ok"] * 30]
    with pytest.raises(StageError) as raised:
        start(tmp_path, fates)
    assert "stopped, bot_check: come back after noon" in str(raised.value)
    assert "none of the others was given up" in str(raised.value)
    assert len(calls(tmp_path)) <= 7, "what is in flight is finished, nothing else is begun"
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert {entry["status"] for entry in ledger} == {"ok", "blocked"}
    before = len(calls(tmp_path))
    assert [entry["status"] for entry in start(tmp_path, ["ok"] * 33)] == ["ok"] * 33
    assert before < 34 == len(calls(tmp_path)), "every clip once, the blocked one twice"


@pytest.mark.slow
def test_a_file_that_nobody_wrote_to_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path, ["ok", "ok"])
    read: list[Path] = []
    monkeypatch.setattr("mma_bench.executor.file_sha256", lambda path: read.append(path) or file_sha256(path))
    start(tmp_path, ["ok", "ok"])
    assert read == []
    os.utime(tmp_path / "clip1.txt")
    start(tmp_path, ["ok", "ok"])
    assert read == [tmp_path / "clip1.txt"]
    assert calls(tmp_path) == ["clip0", "clip1"]


@pytest.mark.slow
def test_a_second_run_calls_nothing_and_other_parameters_call_all(tmp_path: Path) -> None:
    start(tmp_path, ["ok", "refused"])
    before = calls(tmp_path)
    start(tmp_path, ["ok", "refused"])
    assert calls(tmp_path) == before == ["clip0", "clip1"]
    start(tmp_path, ["ok", "refused"], version=2)
    assert len(calls(tmp_path)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("tampered")])
def test_a_lost_or_changed_file_is_made_again(tmp_path: Path, harm: Any) -> None:
    entries = start(tmp_path, ["ok", "ok"])
    harm(tmp_path / "clip1.txt")
    again = start(tmp_path, ["ok", "ok"])
    assert again[0] == entries[0]
    assert again[1] | {"at": "", "stamp": []} == entries[1] | {"at": "", "stamp": []}
    assert calls(tmp_path) == ["clip0", "clip1", "clip1"]
    assert (tmp_path / "clip1.txt").read_text() == "clip1"


@pytest.mark.slow
def test_a_worker_that_crashes_costs_only_its_clip(tmp_path: Path) -> None:
    entries = start(tmp_path, ["ok", "ok", "crash", "ok", "ok", "ok", "crash", "ok"])
    assert [entry["reason"] for entry in entries] == ["", "", "decoder_crashed", "", "", "", "decoder_crashed", ""]
    assert "SIGSEGV ended the worker process on clip2, with no other clip" in entries[2]["detail"]
    assert start(tmp_path, ["ok"] * 8) == entries, "settled"


@pytest.mark.slow
@pytest.mark.parametrize(("death", "how"), [("killed", "signal 9"), ("terminated", "signal 15"), ("exit", "status 0")])
def test_a_worker_that_is_killed_is_no_verdict_on_its_clip(tmp_path: Path, death: str, how: str) -> None:
    with pytest.raises(StageError, match=rf"1 of 3 .* first clip1: worker_killed \(.*{how}") as error:
        start(tmp_path, ["ok", death, "ok"])
    assert "lower `workers`" in str(error.value.hint)
    assert [entry["status"] for entry in start(tmp_path, ["ok"] * 3)] == ["ok"] * 3
    assert calls(tmp_path) == ["clip0", "clip1", "clip1", "clip1", "clip2"]


@pytest.mark.slow
def test_a_fault_of_the_machine_stops_the_run_and_settles_nothing(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="stopped, disk_full: No space left on device") as error:
        # One worker: beside a slow one, another could finish any number of clips before the fault is known.
        start(tmp_path, ["full disk", *["ok"] * 30], workers=1)
    assert error.value.hint is not None
    assert error.value.hint.startswith("free disk space")
    assert len(calls(tmp_path)) <= 7, "what is in flight is finished, nothing else is begun"
    assert [entry["status"] for entry in start(tmp_path, ["ok"] * 31)] == ["ok"] * 31


@pytest.mark.parametrize(
    ("reason", "detail", "asked"),
    [
        ("corrupt_stream", "clip0.mp4: No space left on device", True),
        ("corrupt_stream", "clip0.mp4: Input/output error", True),
        ("corrupt_stream", f"clip0.mp4: Input/output error; {READABLE}", False),
        ("decoder_crashed", "the worker process died on clip0 twice, the second time with no other clip running", True),
        ("corrupt_stream", "clip0.mp4: FFmpeg failed without a message", True),
        ("decoder_crashed", "SIGSEGV ended the worker process on clip0, with no other clip in it", False),
        ("silent", "the sound is -90 dBFS", False),
    ],
)
def test_a_refusal_in_an_old_ledger_is_asked_again_if_the_machine_was_the_cause(
    tmp_path: Path, reason: str, detail: str, asked: bool
) -> None:
    (task,) = tasks_for(tmp_path, ["ok"])
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        ledger.append(entry_of(task, "refused", reason, detail))
        assert due_tasks(ledger, [task]) == ([task] if asked else [])


@pytest.mark.slow
def test_an_unsettled_clip_fails_the_stage_by_name_but_keeps_the_rest(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="1 of 3 clips are not settled; first clip1: timeout"):
        start(tmp_path, ["ok", "retry", "ok"])
    assert [entry["status"] for entry in start(tmp_path, ["ok", "ok", "ok"])] == ["ok"] * 3
    assert calls(tmp_path).count("clip1") == 2
    assert calls(tmp_path).count("clip0") == 1


@pytest.mark.slow
def test_a_bug_is_told_as_such_and_stops_and_its_clip_is_asked_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InternalError) as raised:
        start(tmp_path, ["bug", *["ok"] * 400])
    assert raised.value.exit_code == 5
    assert "stopped by a bug in mma-bench on 1 of 401 clips; first clip0: ZeroDivisionError('not" in str(raised.value)
    assert "ZeroDivisionError: not foreseen" in capfd.readouterr().err
    assert len(calls(tmp_path)) < 401, "what is in flight is finished, and not all is begun"
    with pytest.raises(InternalError):
        start(tmp_path, ["bug", *["ok"] * 400])
    assert len(set(calls(tmp_path))) == 401, "the clip comes last, so the others are done"
    assert [entry["status"] for entry in start(tmp_path, ["ok"] * 401)] == ["ok"] * 401, "the bug is mended"


@pytest.mark.slow
def test_settling_gives_up_the_clips_with_a_bug_alone(tmp_path: Path) -> None:
    entries = start(tmp_path, ["bug", "bug", *["ok"] * 8], give_up_after=0)
    assert [entry["status"] for entry in entries] == ["given_up"] * 2 + ["ok"] * 8
    assert {entry["reason"] for entry in entries} == {"internal_error", ""}


@pytest.mark.slow
def test_a_clip_that_an_earlier_version_refused_since_its_file_was_away_is_asked_again(tmp_path: Path) -> None:
    tasks = tasks_for(tmp_path, ["ok"])
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        ledger.append(entry_of(tasks[0], "refused", "missing_file", "data/acquired/a.mp4: no such file"))
    assert [entry["status"] for entry in start(tmp_path, ["ok"])] == ["ok"]


def unsettled(tmp_path: Path, fate: str, **options: Any) -> str:
    """The message of a run of one clip that does not settle."""
    with pytest.raises((StageError, InternalError)) as raised:
        start(tmp_path, [fate], **options)
    return str(raised.value)


@pytest.mark.slow
def test_a_clip_is_given_up_after_some_runs_and_can_be_reopened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = {"give_up_after": 3}
    assert "given up after 3 runs" in unsettled(tmp_path, "retry", **limit)
    unsettled(tmp_path, "blocked", **limit)  # the source's fault: does not count
    unsettled(tmp_path, "bug", **limit)
    (entry,) = start(tmp_path, ["retry"], **limit)
    assert (entry["status"], entry["reason"]) == ("given_up", "timeout")
    assert entry["detail"] == "given up after 3 runs; no answer"
    said = capsys.readouterr().err
    assert "test: 1 of 1 clips are given up (1 timeout)" in said
    assert "mma-bench build test --retry REASON" in said

    assert start(tmp_path, ["retry"], **limit) == [entry]
    assert len(calls(tmp_path)) == 4, "it is settled"
    assert reopen(tmp_path / "ledger.jsonl", "timeout") == 1
    unsettled(tmp_path, "retry", **limit)
    assert [entry["status"] for entry in start(tmp_path, ["ok"], **limit)] == ["ok"]
    unsettled(tmp_path, "retry", version=2, **limit)  # other inputs count from the start


@pytest.mark.slow
def test_settling_gives_up_what_is_open_and_what_was_not_reached(tmp_path: Path) -> None:
    entries = start(tmp_path, ["ok", "retry", "blocked", *["ok"] * 20], give_up_after=0)
    assert {entry["status"] for entry in entries} == {"ok", "given_up"}
    reasons = [entry["reason"] for entry in entries]
    assert reasons[:3] == ["", "timeout", "bot_check"]
    assert reasons[-1] == "not_tried"
    with pytest.raises(ConfigError, match="name one of: bot_check, not_tried, timeout"):
        reopen(tmp_path / "ledger.jsonl", "bored")


def test_where_nothing_is_to_be_tried_again_no_reason_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ended with 'bored'\n  hint: no clip so far needs to be tried again"):
        reopen(tmp_path / "ledger.jsonl", "bored")


def test_no_tasks_is_no_work(tmp_path: Path) -> None:
    assert start(tmp_path, []) == []


def test_what_takes_no_work_is_settled_without_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mma_bench.executor.local._pool", lambda _: pytest.fail("a worker was started"))
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    fates = ["refused", "bug", "ok"]
    tasks = [replace(task, at_once=True) for task in tasks_for(tmp_path, fates)]
    with pytest.raises(InternalError, match="a bug in mma-bench on 1 of 3 clips; first clip1: ZeroDivisionError"):
        run(tasks, work, tmp_path / "ledger.jsonl", workers=2, title="test")
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [(line["key"], line["status"]) for line in lines] == [
        ("clip0", "refused"),
        ("clip1", "failed"),
        ("clip2", "ok"),
    ]
    assert len(synced) == 3, "the file of clip2 and its folder; the ledger, once for all"


HOLD = """
import json, resource, sys, tracemalloc
from pathlib import Path
from mma_bench.executor import run
from mma_bench.executor.task import Task
payload = {}
tasks = [Task(f"{number:011d}_30000", "f" * 64, payload) for number in range(int(sys.argv[1]))]
with Path("ledger.jsonl").open("w") as ledger:
    for task in tasks:
        result = {"source": "YouTube", "licence": "its uploader's terms " * 3, "origin": task.key, "note": ""}
        entry = {"key": task.key, "fingerprint": task.fingerprint, "status": "ok", "reason": "", "detail": ""}
        ledger.write(json.dumps(entry | {"result": result, "at": "2026-11-28T06:00:00.000+00:00"}) + "\\n")
tracemalloc.start()
entries = run(tasks, print, Path("ledger.jsonl"), workers=2, title="test")
assert sum(entry["status"] == "ok" for entry in entries) == len(entries) == len(tasks)
print(tracemalloc.get_traced_memory()[1])
"""


def test_finished_clips_take_little_memory(tmp_path: Path) -> None:
    """A dictionary of each would take more than 1,500 bytes; its id and its place in the ledger take a tenth."""
    peaks = []
    for clips in (1_000, 5_000):
        command = [sys.executable, "-c", HOLD, str(clips)]
        peaks.append(int(subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE).stdout))
    assert (peaks[1] - peaks[0]) / 4_000 < 400


def test_the_ledger_holds_one_line_per_attempt(tmp_path: Path) -> None:
    start(tmp_path, ["ok", "refused", "ok"])
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert sorted(line["key"] for line in lines) == ["clip0", "clip1", "clip2"]


@pytest.mark.slow
def test_a_pool_that_broke_down_for_lack_of_memory_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("multiprocessing.queues.Queue._start_thread", no_thread)
    monkeypatch.setattr("mma_bench.executor.local._CHECK_EVERY_S", 0.01)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    with pytest.raises(StageError, match="broke down") as error:
        start(tmp_path, ["ok"] * 3)
    assert "free memory" in str(error.value.hint)


class Unimportable:
    """A function that no worker can receive."""

    def __reduce__(self) -> Any:
        return exec, ("raise ImportError('no such module')",)

    def __call__(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {}


@pytest.mark.slow
def test_workers_that_cannot_start_blame_no_clip(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="worker processes die before they do any work"):
        run(tasks_for(tmp_path, ["ok"] * 3), Unimportable(), tmp_path / "ledger.jsonl", workers=2, title="test")
    assert (tmp_path / "ledger.jsonl").read_text() == ""
