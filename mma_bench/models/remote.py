"""What engines behind a server have in common: many questions at once, a budget, and when to give up.

A question that fails is that prompt's error and is asked again when the run is resumed. A server that refuses us, a
spent budget or too many failures in a row stop the run; what was answered until then is kept (`contracts.Stopped`).
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Final, Generic, TypeVar

from pydantic import Field, field_validator

from mma_bench.config import Count, Namespace, Positive
from mma_bench.errors import ConfigError, InvalidInput, MmaBenchError
from mma_bench.models.contracts import Answer, ClipTask, Mode, Prompt, Stopped
from mma_bench.models.random_text import random_text

REFUSAL_HINTS: Final = {
    401: "set the environment variable that api_key_env names to a valid key",
    403: "use a key that may use this model",
}


class RemoteSettings(Namespace):
    """Settings of every engine that asks a server. The key itself is not a setting: only its variable's name is."""

    model: str  # as the server calls it
    revision: str | None = None  # for the record; None takes the model's name, all that a server promises
    base_url: str | None = None  # None takes the service's own
    api_key_env: str | None  # environment variable that holds the key; None: the server wants none
    concurrency: Count = 8  # requests in flight at once; a batch needs clips enough to fill them
    timeout_s: Positive = 120.0  # of one attempt
    max_retries: Annotated[int, Field(ge=0)] = 5  # after 429, 5xx, timeouts and broken connections
    max_requests: Count | None = None  # questions of one run; attempts after the first are not counted
    max_tokens: Count | None = None  # tokens in and out of one run; requests in flight may exceed it
    max_failures: Count = 20  # so many failures in a row stop the run

    @field_validator("base_url")
    @classmethod
    def _holds_no_secret(cls, url: str | None) -> str | None:
        if url is not None and "@" in url:
            raise ValueError("a URL with a user or password would be written to every prediction; use api_key_env")
        return url


Settings = TypeVar("Settings", bound=RemoteSettings)
Media = TypeVar("Media")


class Unanswered(Exception):
    """One prompt got no answer, after retries where they could help."""


class Refused(Exception):
    """The server would refuse every prompt (key, rights, no such model).

    Args:
        message: The server's reply.
        hint: What to do.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class RemoteEngine(ABC, Generic[Settings, Media]):
    """A model behind a server as an `Engine`; a subclass knows the protocol of one server.

    Args:
        settings: Which model, and the bounds.
        name: What predictions call the model; None takes the server's name of it.

    Raises:
        ConfigError: The API key is not in the environment.
    """

    modes: frozenset[Mode] = frozenset({"generate"})

    def __init__(self, settings: Settings, name: str | None) -> None:
        self.name, self.revision = name or settings.model, settings.revision or settings.model
        self.adapter = self.adapter_revision = None
        self._settings, self._key = settings, api_key(settings)
        self._pool = ThreadPoolExecutor(settings.concurrency)
        self._lock, self._context_lock = threading.Lock(), threading.Lock()
        self._requests = self._tokens = self._failures = 0
        self._stop: MmaBenchError | None = None
        self._context: tuple[tuple[int, int], tuple[str, int]] | None = None

    @abstractmethod
    def _media(self, task: ClipTask) -> Media:
        """A clip as the server takes it; called once per clip. Raises InvalidInput."""

    @abstractmethod
    def _ask(self, media: Media, prompt: Prompt, context: str) -> Answer:
        """The answer to one question with a text of random context after it. Raises Unanswered or Refused."""

    @abstractmethod
    def _count_tokens(self, text: str) -> int:
        """The number of the model's own tokens in a text. Raises Unanswered or Refused."""

    @abstractmethod
    def _close_client(self) -> None:
        """Close the connections."""

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`; `concurrency` questions are in flight at a time."""
        waiting: list[list[Future[Answer | None]]] = []
        for task in tasks:
            # The pool is first in, first out: media are under way before any question about them.
            media = self._pool.submit(self._media, task)
            waiting.append([self._pool.submit(self._answer_one, task, media, prompt) for prompt in task.prompts])
        answers = [[future.result() for future in row] for row in waiting]
        got = [[answer for answer in row if answer is not None] for row in answers]
        if self._stop is not None:
            raise Stopped(self._stop.message, got, hint=self._stop.hint)
        return got

    def close(self) -> None:
        """Wait for the requests in flight, and end the threads and the connections."""
        self._pool.shutdown(cancel_futures=True)
        self._close_client()

    def _answer_one(self, task: ClipTask, media: "Future[Media]", prompt: Prompt) -> Answer | None:
        """An answer, an error of this prompt, or None if the run stops."""
        try:
            clip = media.result()
        except InvalidInput as error:
            return None if self._stop else Answer(prompt.key, error=str(error))
        try:
            if not self._reserve_request():
                return None
            if prompt.mode not in self.modes:
                raise Unanswered(f"{self.name} gives no log-likelihoods; ask it with mode generate")
            text, tokens = self._context_of(prompt)
            answer = self._ask(clip, prompt, text)
            if tokens:
                answer.usage["context_tokens"] = tokens
        except Unanswered as error:
            answer = Answer(prompt.key, error=f"clip {task.id}: {error}")
        except Refused as error:
            self._stop_run(MmaBenchError(str(error), hint=error.hint))
            return None
        self._record(answer)
        return answer

    def _context_of(self, prompt: Prompt) -> tuple[str, int]:
        """The random text after the question and its tokens; the last one is kept, as a clip's questions share it."""
        if not prompt.context_tokens:
            return "", 0
        wanted = (prompt.context_tokens, prompt.context_seed)
        with self._context_lock:
            if self._context is None or self._context[0] != wanted:
                self._context = wanted, random_text(*wanted, self._count_tokens)
            return self._context[1]

    def _reserve_request(self) -> bool:
        """Count a request, unless the run has stopped or a budget is spent, which stops it."""
        settings = self._settings
        with self._lock:
            for spent, budget, unit in (
                (self._requests, settings.max_requests, "requests"),
                (self._tokens, settings.max_tokens, "tokens"),
            ):
                if budget is not None and spent >= budget:
                    self._stop = self._stop or MmaBenchError(
                        f"{settings.model}: the budget of {budget} {unit} is spent ({spent})",
                        hint=f"raise max_{unit} and run the same command again; it resumes where it stopped",
                    )
            if self._stop is None:
                self._requests += 1
            return self._stop is None

    def _record(self, answer: Answer) -> None:
        """Count the tokens and the failures in a row, too many of which stop the run."""
        with self._lock:
            self._tokens += answer.usage.get("prompt_tokens", 0) + answer.usage.get("new_tokens", 0)
            self._failures = self._failures + 1 if answer.error else 0
            in_a_row = self._failures
        if in_a_row >= self._settings.max_failures:
            self._stop_run(
                MmaBenchError(
                    f"{self._settings.model}: {in_a_row} questions in a row failed, the last one with: {answer.error}",
                    hint="check that the server runs and accepts such media, and run the same command again",
                )
            )

    def _stop_run(self, why: MmaBenchError) -> None:
        with self._lock:
            self._stop = self._stop or why

    def _excerpt(self, text: object) -> str:
        """A server's text on one line of at most 500 characters, without the key, which some servers repeat."""
        line = " ".join(str(text).split())
        return (line.replace(self._key, "***") if self._key else line)[:500]

    def _tried(self) -> str:
        return f"tried {self._settings.max_retries + 1} times"


def api_key(settings: RemoteSettings) -> str | None:
    """The API key from the environment; None if the server wants none.

    Raises:
        ConfigError: The variable is not set; names it.
    """
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"{settings.model} needs an API key and {settings.api_key_env} is not set",
            hint=f"export {settings.api_key_env}=…",
        )
    return key


def missing_client(engine: str, package: str) -> MmaBenchError:
    """The error of an engine whose client library is not installed."""
    return MmaBenchError(
        f"the {engine} engine needs the client `{package}`", hint="pip install 'mma-bench[evaluation]'"
    )
