"""What models behind a server have in common: many questions at once, a budget, and when to give up.

A question that fails is that prompt's error and is asked again when the run is resumed. A server that refuses us, a
spent budget or a row of failures stops the run; what was answered until then is kept (`contracts.Stopped`).
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Generic, TypeVar

from pydantic import Field, field_validator

from mma_bench.config import Count, Namespace, Positive
from mma_bench.errors import ConfigError, InvalidInput, MmaBenchError
from mma_bench.models.contracts import Answer, ClipTask, Prompt, Stopped
from mma_bench.models.random_text import random_text

Media = TypeVar("Media")


class RemoteSettings(Namespace):
    """Settings of every engine that asks a server. The key itself is not a setting: only its variable's name is."""

    model: str  # as the server calls it
    revision: str | None = None  # for the record; None takes the model's name, all that a server promises
    base_url: str | None = None  # None takes the service's own
    api_key_env: str | None  # environment variable that holds the key; None: the server wants none
    concurrency: Count = 8  # questions on their way at once; a run needs clips enough in a batch to fill them
    timeout_s: Positive = 120.0  # of one attempt
    max_retries: Annotated[int, Field(ge=0)] = 5  # after 429, 5xx, time-outs and broken connections
    max_requests: Count | None = None  # questions of one run; attempts after the first are not counted
    max_tokens: Count | None = None  # tokens in and out of one run; questions on their way may exceed it
    max_failures: Count = 20  # so many failures in a row stop the run

    @field_validator("base_url")
    @classmethod
    def _holds_no_secret(cls, url: str | None) -> str | None:
        if url is not None and "@" in url:
            raise ValueError("a URL with a user or password would be written to every prediction; use api_key_env")
        return url


class Unanswered(Exception):
    """One prompt got no answer, although it was tried again where that could help."""


class Refused(Exception):
    """The server would refuse every prompt (key, rights, no such model).

    Args:
        message: What the server said.
        hint: What to do.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Remote(Generic[Media]):
    """Asks a server about clips.

    Args:
        settings: Concurrency and bounds.
        media: A clip as the server takes it; called once per clip. Raises InvalidInput.
        ask: One question: media, prompt, text of the random context → answer. Raises Unanswered or Refused.
        measure: The number of the model's own tokens of a text. Raises Unanswered or Refused.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        media: Callable[[ClipTask], Media],
        ask: Callable[[Media, Prompt, str], Answer],
        measure: Callable[[str], int],
    ) -> None:
        self._settings, self._media, self._ask, self._measure = settings, media, ask, measure
        self._pool = ThreadPoolExecutor(settings.concurrency)
        self._lock, self._context_lock = threading.Lock(), threading.Lock()
        self._requests = self._tokens = self._failures = 0
        self._stop: MmaBenchError | None = None
        self._context: tuple[tuple[int, int], tuple[str, int]] | None = None

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`."""
        waiting: list[list[Future[Answer | None]]] = []
        for task in tasks:
            # The pool is first in, first out: media are under way before any question about them.
            media = self._pool.submit(self._media, task)
            waiting.append([self._pool.submit(self._one, task, media, prompt) for prompt in task.prompts])
        answers = [[future.result() for future in row] for row in waiting]
        got = [[answer for answer in row if answer is not None] for row in answers]
        if self._stop is not None:
            raise Stopped(self._stop.message, got, hint=self._stop.hint)
        return got

    def close(self) -> None:
        """Wait for what is on its way and end the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _one(self, task: ClipTask, media: "Future[Media]", prompt: Prompt) -> Answer | None:
        """An answer, an error of this prompt, or None if the run stops."""
        try:
            clip = media.result()
        except InvalidInput as error:
            return None if self._stop else Answer(prompt.key, error=str(error))
        try:
            if not self._may_ask():
                return None
            text, tokens = self._context_of(prompt)
            answer = self._ask(clip, prompt, text)
            if tokens:
                answer.usage["context_tokens"] = tokens
        except Unanswered as error:
            answer = Answer(prompt.key, error=f"clip {task.id}: {error}")
        except Refused as error:
            self._give_up(MmaBenchError(str(error), hint=error.hint))
            return None
        self._count(answer)
        return answer

    def _context_of(self, prompt: Prompt) -> tuple[str, int]:
        """The random text after the question and its tokens; the last one is kept, as a clip's questions share it."""
        if not prompt.context_tokens:
            return "", 0
        wanted = (prompt.context_tokens, prompt.context_seed)
        with self._context_lock:
            if self._context is None or self._context[0] != wanted:
                self._context = wanted, random_text(*wanted, self._measure)
            return self._context[1]

    def _may_ask(self) -> bool:
        settings = self._settings
        with self._lock:
            for spent, budget, unit in (
                (self._requests, settings.max_requests, "requests"),
                (self._tokens, settings.max_tokens, "tokens"),
            ):
                if budget is not None and spent >= budget:
                    self._stop = self._stop or MmaBenchError(
                        f"{settings.model}: the budget of {budget} {unit} is spent ({spent})",
                        hint=f"raise max_{unit} and run the same command again; it goes on where it stopped",
                    )
            if self._stop is None:
                self._requests += 1
            return self._stop is None

    def _count(self, answer: Answer) -> None:
        with self._lock:
            self._tokens += answer.usage.get("prompt_tokens", 0) + answer.usage.get("new_tokens", 0)
            self._failures = self._failures + 1 if answer.error else 0
            in_a_row = self._failures
        if in_a_row >= self._settings.max_failures:
            self._give_up(
                MmaBenchError(
                    f"{self._settings.model}: {in_a_row} questions in a row failed, the last one with: {answer.error}",
                    hint="see that the server runs and takes such media, and run the same command again",
                )
            )

    def _give_up(self, why: MmaBenchError) -> None:
        with self._lock:
            self._stop = self._stop or why


def key_of(settings: RemoteSettings) -> str | None:
    """The API key from the environment.

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


def said(text: object, key: str | None) -> str:
    """What a server said, on one line of bounded length and without the key, which some servers repeat."""
    line = " ".join(str(text).split())
    return (line.replace(key, "***") if key else line)[:500]
