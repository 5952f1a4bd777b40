"""All or nothing: results in the order of the parts, and the first error as the worker raised it."""

import errno
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import ClipError, DataError, InternalError, InvalidInput, MachineFault, MmaBenchError, StageError
from mma_bench.executor.results import results
from tests.waiting import wait_until


def work(payload: Mapping[str, Any]) -> int:
    """What the workers run; the payload says how it ends, and for whose end it waits."""
    folder = Path(payload["folder"])
    (folder / f"{payload['name']}.begun").write_text(str(os.getpid()))
    wait_until(lambda: "after" not in payload or (folder / f"{payload['after']}.ended").exists())
    match payload["fate"]:
        case "table":
            raise DataError("a: a.mp4 is not the file", hint="make it again")
        case "clip":
            raise InvalidInput("silent", "the sound is -90 dBFS", subject=Path("a.mp4"), result={"rms_dbfs": -90.0})
        case "full disk":
            raise InvalidInput("corrupt_stream", "not a clip") from OSError(errno.ENOSPC, "No space left on device")
        case "no memory":
            raise MemoryError
        case "bug":
            raise ZeroDivisionError("not foreseen")
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
    (folder / f"{payload['name']}.ended").touch()
    return ord(payload["name"])


def parts(folder: Path, names: str, **first: Any) -> dict[str, dict[str, Any]]:
    """A part for each letter; what is said of the first holds for no other."""
    made = {name: {"name": name, "folder": str(folder), "fate": "ok"} for name in names}
    made[names[0]] |= first
    return made


def begun(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.begun"))


@pytest.mark.slow
def test_results_come_in_the_order_of_the_parts_and_as_they_are_asked_for(tmp_path: Path) -> None:
    asked = parts(tmp_path, "zyxwvutsrqponm", after="y")
    for name in "xw":  # they hold both workers until the test has looked
        asked[name]["after"] = "look"
    found = results(asked, work, workers=2, title="test")
    assert begun(tmp_path) == []
    assert next(found) == ord("z"), "though y ended before"
    assert set(begun(tmp_path)) <= set("zyxw"), "not all, as nobody asks for them"
    (tmp_path / "look.ended").touch()
    assert list(found) == [ord(name) for name in "yxwvutsrqponm"]
    assert len({path.read_text() for path in tmp_path.glob("*.begun")} - {str(os.getpid())}) == 2


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    found = results(parts(tmp_path, "ab"), work, workers=1, title="test")
    assert next(found) == ord("a")
    assert begun(tmp_path) == ["a"]
    assert list(found) == [ord("b")]
    assert {path.read_text() for path in tmp_path.glob("*.begun")} == {str(os.getpid())}
    assert list(results({}, work, workers=2, title="test")) == []


ERRORS: dict[str, tuple[MmaBenchError | ClipError, str]] = {
    "table": (DataError("a: a.mp4 is not the file", hint="make it again"), "make it again"),
    "clip": (InvalidInput("silent", "the sound is -90 dBFS", subject=Path("a.mp4")), ""),
    "full disk": (MachineFault("disk_full", "No space left on device"), ""),
    "no memory": (
        StageError("test: stopped on a, out_of_memory: Cannot allocate memory"),
        "free memory or raise its limit, or lower `workers` in params.yaml, then run the same command again",
    ),
    "bug": (
        InternalError("test: stopped by a bug in mma-bench on a: ZeroDivisionError('not foreseen')"),
        "report it with the traceback above",
    ),
    "killed": (
        StageError(
            "test: stopped on a, worker_killed: signal 9 (Killed) ended the worker process while a was in progress, "
            "with no other clip in it"
        ),
        "if the system ran out of memory (`dmesg`), lower `workers` in params.yaml, then run the same command again",
    ),
    "crash": (
        StageError(
            "test: stopped on a, decoder_crashed: SIGSEGV ended the worker process on a, with no other clip in it"
        ),
        "run the same command again",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fate", ERRORS)
def test_the_first_error_is_raised_as_it_was(tmp_path: Path, fate: str) -> None:
    error, hint = ERRORS[fate]
    names = "a" + "".join(
        map(chr, range(0x4E00, 0x4E00 + 300))
    )  # not all of them begin before a dead worker is noticed
    with pytest.raises(type(error)) as raised:
        list(results(parts(tmp_path, names, fate=fate), work, workers=2, title="test"))
    assert type(raised.value) is type(error)
    assert getattr(raised.value, "hint", "") == hint
    if isinstance(error, MmaBenchError):
        assert raised.value.message == error.message
    else:
        assert str(raised.value) == str(error)
    if fate == "clip":
        assert raised.value.subject == Path("a.mp4")
        assert raised.value.result == {"rms_dbfs": -90.0}
    ended = {path.stem for path in tmp_path.glob("*.ended")}
    assert set(begun(tmp_path)) - ended == {"a"}, "what was in progress is finished"
    assert len(begun(tmp_path)) < len(names), "none is started after it"
