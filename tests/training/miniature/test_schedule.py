"""Jobs run after what they need, as many at a time as allowed, once, and a failure is named."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mma_bench.errors import StageError
from mma_bench.tables import read_json
from mma_bench.training.miniature.schedule import Job, makespan, run_jobs, startable


def job(name: str, code: str, *needs: str, seconds: float = 1.0) -> Job:
    return Job(name, (sys.executable, "-c", code), seconds, needs)


def note(book: Path, text: str) -> str:
    return f"open({str(book)!r}, 'a').write({text + chr(10)!r})"


def test_a_job_runs_after_what_it_needs_and_once(tmp_path: Path) -> None:
    book = tmp_path / "book"
    jobs = [job("a", note(book, "a")), job("b", note(book, "b"), "a"), job("c", note(book, "c"), "b")]
    seconds = run_jobs(jobs, tmp_path / "run", title="t", cores=2, inputs={})
    assert book.read_text().split() == ["a", "b", "c"]
    assert list(seconds) == ["a", "b", "c"]
    run_jobs(jobs, tmp_path / "run", title="t", cores=2, inputs={})
    assert book.read_text().split() == ["a", "b", "c"]
    record = read_json(tmp_path / "run/jobs.json")
    assert record["cores"] == 2
    assert record["elapsed"] >= max(record["seconds"].values())


def test_no_more_run_at_a_time_than_there_are_cores(tmp_path: Path) -> None:
    """Each job holds a lock of its own; the third that runs at once finds no free one."""
    code = (
        "import os, fcntl, sys, time\n"
        f"for n in range(2):\n    f = open(os.path.join({str(tmp_path)!r}, f'lock{{n}}'), 'w')\n"
        "    try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB); break\n    except BlockingIOError: pass\n"
        "else: sys.exit('a third one runs')\n"
        "begin = time.monotonic()\nwhile time.monotonic() < begin + 0.3: pass\n"
    )
    run_jobs([job(str(n), code) for n in range(6)], tmp_path / "run", title="t", cores=2, inputs={})


def test_a_job_computes_with_its_own_number_of_threads(tmp_path: Path) -> None:
    code = f"import os; open(os.path.join({str(tmp_path)!r}, '{{}}'), 'w').write(os.environ['OMP_NUM_THREADS'])"
    one, two = job("one", code.format("one")), replace(job("two", code.format("two")), threads=2)
    run_jobs([one, two], tmp_path / "run", title="t", cores=2, inputs={})
    assert [(tmp_path / name).read_text() for name in ("one", "two")] == ["1", "2"]


def test_a_failed_job_is_named_with_its_last_words_and_the_others_are_kept(tmp_path: Path) -> None:
    book = tmp_path / "book"
    good = job("good", note(book, "good"))
    with pytest.raises(StageError, match=r"bad failed \(exit code 3\):\n.*no such class"):
        run_jobs(
            [good, job("bad", "import sys; print('no such class'); sys.exit(3)", "good")],
            tmp_path / "run",
            title="t",
            cores=1,
            inputs={},
        )
    with pytest.raises(StageError):
        run_jobs(
            [good, job("bad", "import sys; print('no such class'); sys.exit(3)", "good")],
            tmp_path / "run",
            title="t",
            cores=1,
            inputs={},
        )
    assert book.read_text().split() == ["good"]


def test_other_inputs_begin_anew(tmp_path: Path) -> None:
    book = tmp_path / "book"
    jobs = [job("a", note(book, "a"))]
    run_jobs(jobs, tmp_path / "run", title="t", cores=1, inputs={"data": "1"})
    stray = tmp_path / "run/stale"
    stray.write_text("of the first run")
    run_jobs(jobs, tmp_path / "run", title="t", cores=1, inputs={"data": "2"})
    assert book.read_text().split() == ["a", "a"]
    assert not stray.exists()


def test_a_failure_ends_the_jobs_that_still_run(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    endless = job("endless", f"import os, signal; open({str(pid)!r}, 'w').write(str(os.getpid())); signal.pause()")
    wait = f"import os, sys\nwhile not os.path.exists({str(pid)!r}) or not open({str(pid)!r}).read(): pass\nsys.exit(1)"
    with pytest.raises(StageError, match="bad failed"):
        run_jobs([endless, job("bad", wait)], tmp_path / "run", title="t", cores=2, inputs={})
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_stopped_run_goes_on_and_leaves_no_process(tmp_path: Path) -> None:
    book, pid = tmp_path / "book", tmp_path / "pid"
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom mma_bench.training.miniature.schedule import Job, run_jobs\n"
        f"first = Job('first', (sys.executable, '-c', {note(book, 'first')!r}), 1.0)\n"
        "stuck = '''import os, signal\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid())); print('here', flush=True); signal.pause()'''\n"
        f"run = Path({str(tmp_path / 'run')!r})\n"
        "run_jobs([first, Job('second', (sys.executable, '-c', stuck), 1.0, ('first',))], run, title='t', cores=1,\n"
        "         inputs={})\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert list(read_json(tmp_path / "run/jobs.json")["seconds"]) == ["first"]
    assert book.read_text().split() == ["first"]


def test_how_long_it_takes() -> None:
    jobs = [job("a", "", seconds=10), job("b", "", "a", seconds=5), job("c", "", "a", seconds=7), job("d", "", "b")]
    assert makespan(jobs, 1) == 23
    assert makespan(jobs, 2) == 17
    assert makespan(jobs, 2, done=["a"]) == 7
    assert makespan(jobs, 2, done=["a", "b"], spent={"c": 3.0}) == 4
    assert makespan(jobs, 2, done=["a", "b"], spent={"c": 30.0}) == 1  # longer than foreseen: any moment now


def test_what_can_start() -> None:
    jobs = [job("a", ""), job("b", "", "a"), job("c", "")]
    assert [ready.name for ready in startable(jobs, [], ["a"])] == ["c"]
    assert [ready.name for ready in startable(jobs, ["a"], [])] == ["b", "c"]
