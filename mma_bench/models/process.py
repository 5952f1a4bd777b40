"""The `process` engine: a program of the user's that speaks JSON lines, for models whose code has its own environment.

In: clips with their prompts. Out: answers, or per clip why there is none. What passes, one JSON object a line:

* When it is ready the program writes `{"protocol": 1, "name": ..., "revision": ...}`; with `"modes": ["generate",
  "score"]` if it gives log-likelihoods.
* A request is `{"id", "video", "hears", "prompts": [{"key", "text", "mode", "options", "max_new_tokens", "temperature",
  "seed", "context_tokens", "context_seed"}, ...]}`. `video` is the path of an MP4 file, which has no audio track if
  `hears` is false. So many random tokens of the model's own as `context_tokens` says must follow the text.
* The reply is `{"answers": [{"key", "text"}, ...]}`, one for each prompt, in any order; `"logprobs": {option: number}`
  in place of `text` for the mode `score`, or `"error": "why"`.
* When its input ends the program ends.

Its stdout is for these lines alone; what it writes to stderr is shown when it fails. A program that dies, is silent for
too long or writes something else is started once more and asked again; if it fails again, the clip's prompts fail.
`process_protocol` checks the lines.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from pydantic import Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from mma_bench.config import Count, Namespace, Positive
from mma_bench.errors import ConfigError, InvalidInput, MmaBenchError
from mma_bench.models.clip_bytes import mp4_bytes
from mma_bench.models.contracts import Answer, ClipTask, Mode, Prompt, Stopped
from mma_bench.models.process_protocol import Hello, ProcessFault, read_answers, read_hello, request

RUNNERS: Final = Path(__file__).with_name("runners")
_LAST_LINES: Final = 10
_GRACE_S: Final = 5.0


class ProcessSettings(Namespace):
    """Settings of the engine.

    In the command and the folder `$NAME` is an environment variable and `{runners}` the folder of the runners that come
    with the package.
    """

    command: list[str] = Field(min_length=1)  # the program and its arguments, no shell
    folder: str | None = None  # where it runs
    start_timeout_s: Positive = 900.0  # until it is ready: models take long to load
    timeout_s: Positive = 600.0  # for all prompts of one clip
    max_failures: Count = 3  # so many clips in a row that fail stop the run


class ProcessEngine:
    """A program as an `Engine`.

    Args:
        settings: The command and how long it may take.
        name: What predictions call the model; None takes the program's name of it.

    Raises:
        MmaBenchError: The program cannot be started or does not become ready; with its last lines on stderr.
    """

    def __init__(self, settings: ProcessSettings, *, name: str | None = None) -> None:
        self._settings = settings
        self._command = [_expanded(part) for part in settings.command]
        self._folder = None if settings.folder is None else _expanded(settings.folder)
        self._clips = tempfile.TemporaryDirectory(prefix="mma-bench-")
        self._failed = 0
        self._program: _Program | None = None
        try:
            hello = self._start()
        except ProcessFault as fault:
            self._clips.cleanup()
            raise MmaBenchError(str(fault), hint="see that the program runs by itself in its environment") from None
        self.name, self.revision = name or hello.name, hello.revision
        self.modes: frozenset[Mode] = hello.modes
        self.adapter = self.adapter_revision = None

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`; one clip after the other."""
        answers: list[list[Answer]] = []
        for task in tasks:
            try:
                given = self._ask(task)
            except InvalidInput as error:
                answers.append([Answer(prompt.key, error=str(error)) for prompt in task.prompts])
                continue
            except ProcessFault as fault:
                given = [Answer(prompt.key, error=f"clip {task.id}: {fault}") for prompt in task.prompts]
                self._failed += 1
            else:
                self._failed = 0
            answers.append(given)
            if self._failed >= self._settings.max_failures:
                rest: list[list[Answer]] = [[] for _ in tasks[len(answers) :]]
                raise Stopped(
                    f"{self._failed} clips in a row failed; {given[-1].error if given else ''}",
                    answers + rest,
                    hint="correct the program and run the same command again; it resumes where it stopped",
                )
        return answers

    def close(self) -> None:
        """End the program, by force if it does not end by itself, and remove the temporary files."""
        if self._program is not None:
            self._program.end(_GRACE_S)
            self._program = None
        self._clips.cleanup()

    def _ask(self, task: ClipTask) -> list[Answer]:
        """The answers about a clip; a program that fails is started once more and asked again."""
        video = Path(self._clips.name) / "clip.mp4"
        video.write_bytes(mp4_bytes(task, with_sound=True))
        # The program does not share its failures with others, so that there is nothing to wait for.
        retrying = Retrying(retry=retry_if_exception_type(ProcessFault), stop=stop_after_attempt(2), reraise=True)
        try:
            return retrying(self._attempt, request(task, str(video)), task.prompts)
        finally:
            video.unlink()

    def _attempt(self, asked: dict[str, Any], prompts: Sequence[Prompt]) -> list[Answer]:
        if self._program is None:
            hello = self._start()
            if hello.revision != self.revision:
                raise self._fault(f"is now revision {hello.revision!r} and was {self.revision!r}")
        assert self._program is not None
        try:
            return read_answers(self._program.ask(asked, self._settings.timeout_s), prompts)
        except ProcessFault as fault:
            raise self._fault(str(fault)) from None

    def _start(self) -> Hello:
        """Start the program and wait until it is ready."""
        try:
            self._program = _Program(self._command, self._folder)
        except OSError as error:
            raise ProcessFault(f"{self._command[0]} cannot be started: {error.strerror}: {error.filename}") from None
        try:
            return read_hello(self._program.ask(None, self._settings.start_timeout_s))
        except ProcessFault as fault:
            raise self._fault(f"did not become ready: {fault}") from None

    def _fault(self, what: str) -> ProcessFault:
        """Kill the program, whose state is unknown; the error names it and quotes its last lines on stderr."""
        lines: list[str] = []
        if self._program is not None:
            self._program.end(0)
            lines = list(self._program.last_lines)
            self._program = None
        last = "; its last lines on stderr:\n  " + "\n  ".join(lines) if lines else "; it wrote nothing to stderr"
        return ProcessFault(f"{' '.join(self._command)} {what}{last}")


class _Program:
    """A running program with a line going in and a line coming out."""

    def __init__(self, command: Sequence[str], folder: str | None) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that its own children end with it
        )
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()

    def _listen(self, stderr: IO[str]) -> None:
        # An unread pipe would fill up and stop the program.
        for line in stderr:
            if line.strip():
                self.last_lines.append(line.rstrip()[:300])

    def ask(self, request: dict[str, Any] | None, seconds: float) -> str:
        """Write a request, if there is one, and read a line. Raises ProcessFault."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timed_out = threading.Event()

        def time_out() -> None:
            timed_out.set()
            self._kill()

        # Killing it ends both a read and a write that would block for ever.
        timer = threading.Timer(seconds, time_out)
        timer.start()
        try:
            if request is not None:
                self._process.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if timed_out.is_set():
            raise ProcessFault(f"was silent for {seconds:g} s")
        if not line.endswith("\n"):
            self.end(1.0)
            after = f"after {line[:80]!r}" if line else "before it replied"
            raise ProcessFault(f"died ({_exit(self._process.returncode)}) {after}")
        return line

    def end(self, grace_s: float) -> None:
        """Close its input and wait; kill it with its children if it is still there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self._kill()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _expanded(part: str) -> str:
    expanded = os.path.expandvars(part.replace("{runners}", str(RUNNERS)))
    if "$" in expanded:
        raise ConfigError(
            f"{part!r} names an environment variable that is not set",
            hint="set it; `mma-bench models` says what each model needs",
        )
    return expanded
