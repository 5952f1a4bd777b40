"""The `process` engine: a user-provided program that exchanges JSON lines, for models whose code needs a separate
environment.

In: clips with their prompts. Out: answers, or an error per clip. The protocol, one JSON object per line:

* When ready, the program writes `{"protocol": 2, "name": ..., "revision": ...}`; with `"modes": ["generate",
  "score"]` if it supports log-likelihoods.
* A request is `{"id", "video", "hears", "prompts": [{"key", "text", "mode", "options", "max_new_tokens", "temperature",
  "seed"}, ...]}`. `video` is the path of an MP4 file, which has no audio track if `hears` is false. `text` is the whole
  prompt, which the program must not truncate: under `long_context` it is about 67,000 characters.
* The reply is `{"answers": [{"key", "text"}, ...]}`, one for each prompt, in any order; `"logprobs": {option: number}`
  instead of `text` in the mode `score`, `"error": "reason"` for what failed, or `"unsupported": "reason"` for what the
  model cannot take, such as a prompt longer than its context, which is neither an answer nor a failure and is not asked
  again. `"usage": {"prompt_tokens": number}` is recorded. `"fed": {"frames": number, "sound_s": seconds, "tokens":
  number, "context": number}` says what the model was given, the last two if known; it is recorded, and an answer is
  refused if it was made without a frame, without the sound of a clip that has some, or beyond the context. With
  `logprobs`, a program may also give `"option_tokens": {option: number}`, the tokens summed, and `"prior_logprobs":
  {option: number}`, the log-likelihoods after the same text without the video; accuracies normalised by length or prior
  need them.
* The program exits when its stdin is closed.

Protocol 1 differed in one point: a prompt had `context_tokens` and `context_seed`, and the program itself appended so
many random tokens. They are no longer sent; programs that ignore them may still write 1.

Its stdout is reserved for these lines; its stderr is shown on failure. A program that dies, times out or writes
anything else is restarted once and the request repeated; if it fails again, the clip's prompts fail. `process_protocol`
validates the lines.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from pydantic import Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from mma_bench.config import Count, Namespace, Positive
from mma_bench.errors import ConfigError, InvalidInput, MmaBenchError
from mma_bench.models.clip_bytes import mp4_bytes
from mma_bench.models.contracts import Answer, ClipTask, Mode, Stopped
from mma_bench.models.process_protocol import Hello, ProcessFault, read_answers, read_hello, request
from mma_bench.redact import redacted

RUNNERS: Final = Path(__file__).with_name("runners")
_LAST_LINES: Final = 10
_GRACE_S: Final = 5.0
_LONGEST_LINE: Final = 16 << 20  # characters
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")
_SHORTEST_SECRET: Final = 6  # a shorter value, such as 1, is part of many words


class ProcessSettings(Namespace):
    """Settings of the engine.

    In the command and the folder, `$NAME` is an environment variable and `{runners}` the folder of the bundled runners.
    """

    command: list[str] = Field(min_length=1)  # the program and its arguments; no shell
    folder: str | None = None  # working directory
    start_timeout_s: Positive = 900.0  # timeout until ready: loading a model takes long
    timeout_s: Positive = 600.0  # timeout for all prompts of one clip
    max_failures: Count = 3  # consecutive failed clips that stop the run
    max_new_tokens: Count | None = None  # in place of each prompt's own limit, for models that think first


class ProcessEngine:
    """A program as an `Engine`.

    Args:
        settings: The command and its timeouts.
        name: The model's name in predictions; None uses the program's name.

    Raises:
        MmaBenchError: The program cannot be started or does not become ready; quotes its last lines on stderr.
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
            raise MmaBenchError(str(fault), hint="check that the program runs on its own in its environment") from None
        self.name, self.revision = name or hello.name, hello.revision
        self.modes: frozenset[Mode] = hello.modes
        self.adapter = self.adapter_revision = None

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`; clips are processed sequentially."""
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
                    hint="fix the program and run the same command again to resume",
                )
        return answers

    def close(self) -> None:
        """Stop the program, by force if necessary, and remove the temporary files."""
        if self._program is not None:
            self._program.end(_GRACE_S)
            self._program = None
        self._clips.cleanup()

    def _ask(self, task: ClipTask) -> list[Answer]:
        """The answers about a clip; a failed program is restarted once and the request repeated."""
        if self._settings.max_new_tokens is not None:
            limited = [replace(prompt, max_new_tokens=self._settings.max_new_tokens) for prompt in task.prompts]
            task = replace(task, prompts=tuple(limited))
        video = Path(self._clips.name) / "clip.mp4"
        if not task.sees:
            why = f"clip {task.id}: the program {self.name} takes no question without a clip"
            return [Answer(prompt.key, unsupported=why) for prompt in task.prompts]
        video.write_bytes(mp4_bytes(task, with_sound=True))
        # A local program has no shared load to back off from, so retry without waiting.
        retrying = Retrying(retry=retry_if_exception_type(ProcessFault), stop=stop_after_attempt(2), reraise=True)
        try:
            return retrying(self._attempt, request(task, str(video)), task)
        finally:
            video.unlink()

    def _attempt(self, asked: dict[str, Any], task: ClipTask) -> list[Answer]:
        if self._program is None:
            hello = self._start()
            if hello.revision != self.revision:
                raise self._fault(f"is now revision {hello.revision!r} and was {self.revision!r}")
        assert self._program is not None
        try:
            said = self._program.ask(asked, self._settings.timeout_s)
            return read_answers(said, task.prompts, hears=task.hears)
        except ProcessFault as fault:
            raise self._fault(str(fault)) from None

    def _start(self) -> Hello:
        """Start the program and wait until it is ready."""
        try:
            self._program = _Program(self._command, self._folder)
        except OSError as error:
            named = self._without_secrets(f"{self._settings.command[0]} cannot be started: {error.strerror}")
            raise ProcessFault(f"{named}: {self._without_secrets(str(error.filename))}") from None
        try:
            return read_hello(self._program.ask(None, self._settings.start_timeout_s))
        except ProcessFault as fault:
            raise self._fault(f"did not become ready: {fault}") from None

    def _fault(self, what: str) -> ProcessFault:
        """Kill the program, whose state is unknown; the error quotes its last lines on stderr."""
        lines: list[str] = []
        if self._program is not None:
            self._program.end(0)
            lines = list(self._program.last_lines)
            self._program = None
        last = "; its last lines on stderr:\n  " + "\n  ".join(lines) if lines else "; it wrote nothing to stderr"
        return ProcessFault(self._without_secrets(f"{' '.join(self._settings.command)} {what}{last}"))

    def _without_secrets(self, text: str) -> str:
        """`text` without the values of environment variables in the command, which the program may have echoed."""
        for written, expanded in zip(self._settings.command, self._command, strict=True):
            for name in _VARIABLE.findall(written):
                value = os.environ.get(name, "")
                if len(value) >= _SHORTEST_SECRET or value == expanded:
                    text = text.replace(value, f"${name}") if value else text
        return redacted(text)


class _Program:
    """A running program that exchanges one line per request."""

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
            start_new_session=True,  # so that its children are killed with it
        )
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()

    def _listen(self, stderr: IO[str]) -> None:
        # An unread pipe would fill up and block the program.
        for line in stderr:
            if line.strip():
                self.last_lines.append(line.rstrip()[:300])

    def ask(self, request: dict[str, Any] | None, seconds: float) -> str:
        """Write a request, if any, and read a line. Raises ProcessFault."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timed_out = threading.Event()

        def time_out() -> None:
            timed_out.set()
            self._kill()

        # Killing it unblocks both reads and writes.
        timer = threading.Timer(seconds, time_out)
        timer.start()
        try:
            if request is not None:
                self._process.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline(_LONGEST_LINE)
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if timed_out.is_set():
            raise ProcessFault(f"was silent for {seconds:g} s")
        if len(line) == _LONGEST_LINE:
            raise ProcessFault(f"wrote a line of {_LONGEST_LINE} characters or more")
        if not line.endswith("\n"):
            self.end(1.0)
            after = f"after {line[:80]!r}" if line else "before it replied"
            raise ProcessFault(f"died ({_exit(self._process.returncode)}) {after}")
        return line

    def end(self, grace_s: float) -> None:
        """Close its stdin and wait; kill it with its children if it is still running."""
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
            hint="set it; `mma-bench models` lists each model's requirements",
        )
    return expanded
