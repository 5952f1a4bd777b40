"""Shared by all server-backed engines: concurrent requests, a budget, and stopping rules.

A failed request fails its prompt, which is retried when the run is resumed. Refused access, an exhausted budget or too
many consecutive failures stop the run; the answers so far are kept (`contracts.Stopped`).
"""

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final, Generic, TypeVar

from mma_bench.errors import InvalidInput, MmaBenchError
from mma_bench.extras import EXTRAS, missing_extra
from mma_bench.models.contracts import Answer, ClipTask, Mode, Prompt, Stopped
from mma_bench.models.hints import hint_by_words, hint_for, is_over_context
from mma_bench.models.remote_errors import Refused, Unanswered, cleaned
from mma_bench.models.remote_settings import RemoteSettings, address_of, api_key
from mma_bench.redact import redacted_address

_ASKED_AGAIN: Final = 2  # times, after a reply without an answer that may come the next time
_MAX_KEPT: Final = 2_000  # characters of a reply without an answer
_SHORTEST_SECRET: Final = 6
_LONG_TEXT: Final = 10_000  # characters; where a shorter one does not fit, the server has no room for the clip


_SHORT: Final = Prompt("check", "Reply with the word yes.")

Settings = TypeVar("Settings", bound=RemoteSettings)
Media = TypeVar("Media")


class RemoteEngine(ABC, Generic[Settings, Media]):
    """A model behind a server as an `Engine`; subclasses implement a server's API.

    Args:
        settings: The model and its limits.
        name: The model's name in predictions; None uses the server's name.

    Raises:
        ConfigError: The API key is not in the environment.
    """

    modes: frozenset[Mode] = frozenset({"generate"})

    def __init__(self, settings: Settings, name: str | None) -> None:
        self.name, self.revision = name or settings.model, settings.revision or settings.model
        self.adapter = self.adapter_revision = None
        self._settings, self._key = settings, api_key(settings)
        # A value as short as a version is part of many words.
        in_query = [value for value in address_of(settings)[1].values() if len(value) >= _SHORTEST_SECRET]
        self._secrets = [secret for secret in (self._key, *in_query) if secret]
        self._pool = ThreadPoolExecutor(settings.concurrency)
        self._lock = threading.Lock()
        self._requests = self._tokens = self._failures = 0
        self._served: list[str] = []  # the names under which the server answered
        self._stop: MmaBenchError | None = None

    @abstractmethod
    def _media(self, task: ClipTask) -> Media:
        """A clip in the server's format; called once per clip. Raises InvalidInput."""

    @abstractmethod
    def _ask(self, media: Media | None, prompt: Prompt) -> Answer:
        """The answer to one prompt, without a clip if `media` is None. Raises Unanswered or Refused."""

    def _listed_models(self) -> list[str]:
        """The names of the models that the server lists, asked once; empty if it has no list. Raises Unanswered."""
        return []

    @abstractmethod
    def _close_client(self) -> None:
        """Close the connections."""

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`, with up to `concurrency` requests in flight."""
        answers = [_received(futures) for futures in [self._submit(task) for task in tasks]]
        if self._stop is not None:
            raise Stopped(self._stop.message, answers, hint=self._stop.hint)
        return answers

    def answer_each(self, tasks: Iterable[ClipTask]) -> Iterator[tuple[ClipTask, list[Answer]]]:
        """As `AnswersEach.answer_each`, with `concurrency` requests in flight as long as there are clips."""
        remaining = iter(tasks)
        asked: list[tuple[ClipTask, list[Future[Answer | None]]]] = []
        unfinished: set[Future[Answer | None]] = set()
        try:
            while True:
                # Twice as many prompts as threads: none of these waits for the caller to take an answer.
                while self._stop is None and len(unfinished) < 2 * self._settings.concurrency:
                    task = next(remaining, None)
                    if task is None:
                        break
                    asked.append((task, self._submit(task)))
                    unfinished.update(asked[-1][1])
                if not asked:
                    break
                unfinished = wait(unfinished, return_when=FIRST_COMPLETED).not_done
                finished = [(task, futures) for task, futures in asked if unfinished.isdisjoint(futures)]
                asked = [(task, futures) for task, futures in asked if not unfinished.isdisjoint(futures)]
                for task, futures in finished:
                    yield task, _received(futures)
        finally:
            for future in unfinished:
                future.cancel()
        if self._stop is not None:
            raise Stopped(self._stop.message, [], hint=self._stop.hint)

    def _submit(self, task: ClipTask) -> "list[Future[Answer | None]]":
        # The pool is FIFO: a clip's media are submitted before its prompts.
        media = self._pool.submit(self._media_of, task)
        return [self._pool.submit(self._answer_one, task, media, prompt) for prompt in task.prompts]

    def _media_of(self, task: ClipTask) -> Media | None:
        """The clip in the server's format; None if the text is to be sent alone. Raises InvalidInput."""
        return None if task.text_alone else self._media(task)

    def check(self) -> list[str]:
        """As `Served.check`: first the list of models, which fails at once if no server is there."""
        try:
            listed = self._listed_models()
        except Unanswered as error:
            message = redacted_address(str(error))
            raise MmaBenchError(f"{self.name}: {message}", hint=hint_for(message)) from None
        others = ""
        if listed and self._settings.model not in listed:
            alike = get_close_matches(self._settings.model, listed, n=5, cutoff=0.0)
            others = f"the server lists {', '.join(alike)}, not {self._settings.model}"
        try:
            answer = self.ask_once(None, _SHORT)
        except MmaBenchError as error:
            if others:
                raise MmaBenchError(f"{error.message}; {others}", hint="set `model` to one that is listed") from None
            raise
        why = answer.error or answer.refused
        unanswered = f"{self.name} did not answer a short prompt: {why}" if why else ""
        return [warning for warning in (others, unanswered) if warning]

    def ask_once(self, task: ClipTask | None, prompt: Prompt) -> Answer:
        """As `Served.ask_once`."""
        try:
            return self._ask(None if task is None else self._media_of(task), prompt)
        except Refused as error:
            raise _stopping(error) from None
        except Unanswered as error:
            message = redacted_address(str(error))
            if error.refused:
                return Answer(prompt.key, refused=message, usage=error.usage)
            if error.usage.keys() - {"reply"}:  # the model was asked, and gave no answer to this prompt
                return Answer(prompt.key, error=message, usage=error.usage)
            raise MmaBenchError(f"{self.name}: {message}", hint=hint_for(message)) from None

    def close(self) -> None:
        """Wait for the requests in flight, then close the threads and connections."""
        self._pool.shutdown(cancel_futures=True)
        self._close_client()

    def _answer_one(self, task: ClipTask, media: "Future[Media | None]", prompt: Prompt) -> Answer | None:
        """An answer, possibly an error, or None if the run has stopped."""
        try:
            clip = media.result()
        except InvalidInput as error:
            return None if self._stop else Answer(prompt.key, error=str(error))
        try:
            if not self._reserve_request():
                return None
            if prompt.mode not in self.modes:
                raise Unanswered(f"{self.name} gives no log-likelihoods; use mode generate")
            answer = self._ask_up_to(1 + min(_ASKED_AGAIN, self._settings.max_retries), clip, prompt)
        except Unanswered as error:
            why = f"clip {task.id}: {redacted_address(str(error))}"
            answer = Answer(prompt.key, error=why, usage=error.usage)
            if error.refused:
                answer = Answer(prompt.key, refused=why, usage=error.usage)
            elif len(prompt.text) >= _LONG_TEXT and is_over_context(why):
                answer = Answer(prompt.key, unsupported=why, usage=error.usage)
        except Refused as error:
            self._stop_run(_stopping(error))
            return None
        self._record(answer)
        return answer

    def _ask_up_to(self, times: int, media: Media | None, prompt: Prompt) -> Answer:
        """As `_ask`, asked again if a reply came without an answer."""
        while True:
            try:
                return self._ask(media, prompt)
            except Unanswered as error:
                times -= 1
                if not error.again or times == 0 or self._stop is not None:
                    raise
                self._count_tokens(error.usage)

    def _read(self, read: Callable[[str, Prompt], Answer], body: str, prompt: Prompt) -> Answer:
        """What `read` makes of a reply; without an answer, the reply itself is kept, up to a bound, in `usage`.

        Raises:
            Refused, Unanswered: As `read`.
        """
        try:
            answer = read(body, prompt)
        except Unanswered as error:
            usage = {**error.usage, "reply": self._excerpt(body, _MAX_KEPT)}
            raise Unanswered(self._excerpt(error), again=error.again, usage=usage, refused=error.refused) from None
        except Refused as error:
            raise Refused(f"{self.name}: {self._excerpt(error)}", error.hint) from None
        return answer if answer.refused is None else replace(answer, refused=self._excerpt(answer.refused))

    def _limit(self, prompt: Prompt) -> int:
        """The largest number of generated tokens."""
        return self._settings.max_new_tokens or prompt.max_new_tokens

    def _reserve_request(self) -> bool:
        """Count a request, unless the run has stopped; an exhausted budget stops it."""
        settings = self._settings
        with self._lock:
            for spent, budget, unit in (
                (self._requests, settings.max_requests, "requests"),
                (self._tokens, settings.max_tokens, "tokens"),
            ):
                if budget is not None and spent >= budget:
                    self._stop = self._stop or MmaBenchError(
                        f"{settings.model}: the budget of {budget} {unit} is exhausted ({spent} used)",
                        hint=f"raise max_{unit} and run the same command again to resume",
                    )
            if self._stop is None:
                self._requests += 1
            return self._stop is None

    def _record(self, answer: Answer) -> None:
        """Count tokens and consecutive failures; too many failures stop the run."""
        self._count_tokens(answer.usage)
        self._compare_served(answer.usage.get("served_model"))
        with self._lock:
            self._failures = self._failures + 1 if answer.error else 0
            in_a_row = self._failures
        if in_a_row >= self._settings.max_failures:
            self._stop_run(
                MmaBenchError(
                    f"{self.name}: {in_a_row} consecutive requests failed, the last with: {answer.error}",
                    hint=hint_for(str(answer.error)),
                )
            )

    def _count_tokens(self, usage: dict[str, Any]) -> None:
        with self._lock:
            self._tokens += usage.get("prompt_tokens", 0) + usage.get("new_tokens", 0)

    def _compare_served(self, served: str | None) -> None:
        """Say so when the server answers under another name than before."""
        with self._lock:
            is_new = served is not None and served not in self._served
            if served is not None and is_new:
                self._served.append(served)
        if is_new and self._served[0] != served:
            print(
                f"{self.name}: the server now answers as {served!r}, before as {self._served[0]!r}; "
                "the run mixes models",
                file=sys.stderr,
            )

    def _stop_run(self, why: MmaBenchError) -> None:
        with self._lock:
            self._stop = self._stop or why

    def _excerpt(self, text: object, longest: int = 500) -> str:
        """A server's message on one line of at most `longest` characters, without secrets, which some servers echo."""
        whole = str(text)
        for secret in self._secrets:
            whole = whole.replace(secret, "***")
        return redacted_address(" ".join(cleaned(whole[: 10 * longest]).split()))[:longest]

    def _tried(self) -> str:
        return f"tried {self._settings.max_retries + 1} times"


def _stopping(error: Refused) -> MmaBenchError:
    """Words say more than the status that the hint of the refusal is for."""
    return MmaBenchError(redacted_address(str(error)), hint=hint_by_words(str(error)) or error.hint)


def _received(futures: "Iterable[Future[Answer | None]]") -> list[Answer]:
    """The answers, without those of prompts that were not asked since the run has stopped."""
    return [answer for future in futures if (answer := future.result()) is not None]


def missing_client(engine: str, package: str) -> MmaBenchError:
    """The error of an engine whose client library is not installed."""
    return missing_extra(f"engine: {engine}", engine if engine in EXTRAS else "", [package])
