"""The `gemini` engine: Google's Gemini models through the google-genai SDK.

In: clips with their prompts. Out: answers, or per prompt why there is none. The video goes in as bytes, before the
text; Gemini hears the video's own track, which is left out where the condition has no sound. Gemini gives no
log-likelihoods of given options, so the engine answers `generate` alone.
"""

import importlib
import random
import re
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from mma_bench.config import Positive
from mma_bench.errors import MmaBenchError
from mma_bench.models.clip_bytes import seen
from mma_bench.models.contracts import Answer, ClipTask, Mode, Prompt
from mma_bench.models.remote import Refused, Remote, RemoteSettings, Unanswered, key_of, said

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_REFUSALS: Final = {
    401: "set the environment variable that api_key_env names to a valid key",
    403: "use a key that may use this model",
    404: "correct `model`: older models are withdrawn from the service",
}
_LONGEST_WAIT_S: Final = 120.0
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)s?")


class GeminiSettings(RemoteSettings):
    """Settings of the engine.

    Thoughts count as generated tokens, so `thinking_budget` is added to what a prompt allows for its answer: without
    it a model that always thinks spends all on thoughts and answers nothing.
    """

    api_key_env: str | None = "GEMINI_API_KEY"
    thinking_budget: Annotated[int, Field(ge=0)] | None = None  # tokens; None: for models that do not think
    backoff_s: Positive = 1.0  # wait before the second attempt where the server names none; doubles, with jitter


class GeminiEngine:
    """A Gemini model as an `Engine`.

    Args:
        settings: Which model, and the bounds.
        name: What predictions call the model; None takes the service's name of it.

    Raises:
        MmaBenchError: The SDK is not installed, or the key is not in the environment.
    """

    modes: frozenset[Mode] = frozenset({"generate"})

    def __init__(self, settings: GeminiSettings, *, name: str | None = None) -> None:
        try:
            from google import genai
            from google.genai import errors, types
        except ModuleNotFoundError:
            raise MmaBenchError(
                "the gemini engine needs the client `google-genai`", hint="pip install 'mma-bench[evaluation]'"
            ) from None

        self.name, self.revision = name or settings.model, settings.revision or settings.model
        self.adapter = self.adapter_revision = None
        self._settings, self._key, self._types, self._errors = settings, key_of(settings), types, errors
        # The SDK's own retries take no notice of how long the server asks to wait.
        options = types.HttpOptions(base_url=settings.base_url, timeout=round(settings.timeout_s * 1000))
        self._client = genai.Client(api_key=self._key or "none", http_options=options)
        self._transport_errors = _transport_errors()
        self._remote = Remote(settings, self._media, self._ask, self._measure)

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`; questions go out `concurrency` at a time."""
        return self._remote.answer(tasks)

    def close(self) -> None:
        """End the threads and the connections."""
        self._remote.close()
        self._client.close()

    def _media(self, task: ClipTask) -> Any:
        return self._types.Part.from_bytes(data=seen(task, with_sound=True), mime_type="video/mp4")

    def _ask(self, media: Any, prompt: Prompt, context: str) -> Answer:
        if prompt.mode != "generate":
            raise Unanswered(f"{self.name} gives no log-likelihoods; ask it with mode generate")
        types, budget = self._types, self._settings.thinking_budget
        config = types.GenerateContentConfig(
            temperature=prompt.temperature,
            seed=prompt.seed,
            max_output_tokens=prompt.max_new_tokens + (budget or 0),
            thinking_config=None if budget is None else types.ThinkingConfig(thinking_budget=budget),
        )
        contents = [media, types.Part.from_text(text=prompt.text + context)]
        reply = self._called(
            lambda: self._client.models.generate_content(model=self._settings.model, contents=contents, config=config)
        )
        return _read(reply, prompt)

    def _measure(self, text: str) -> int:
        reply = self._called(lambda: self._client.models.count_tokens(model=self._settings.model, contents=text))
        if reply.total_tokens is None:
            raise Unanswered("the service gave no count of tokens")
        return int(reply.total_tokens)

    def _called(self, call: Callable[[], Any]) -> Any:
        """What the service replied; passing faults are tried again, as late as it asks for.

        Raises:
            Refused: 401, 403, 404, a key that is not valid.
            Unanswered: All others, after `max_retries` where trying again can help.
        """
        for attempt in range(self._settings.max_retries + 1):
            try:
                return call()
            except self._errors.APIError as error:
                told = f"{error.code} {error.status}: {said(error.message or error.details, self._key)}"
                refusal = 401 if "API_KEY_INVALID" in str(error.details) else error.code
                if refusal in _REFUSALS:
                    raise Refused(f"{self.name}: {told}", _REFUSALS[refusal]) from None
                asked = _wait_asked(error)
                if error.code not in _PASSING or (asked or 0) > _LONGEST_WAIT_S:
                    raise Unanswered(told) from None
            except self._transport_errors as error:
                told, asked = f"{type(error).__name__}: {said(error, self._key)}", None
            except ValueError as error:  # broken JSON
                told, asked = f"the reply is not whole: {said(error, self._key)}", None
            if attempt < self._settings.max_retries:
                time.sleep(self._backoff(attempt) if asked is None else asked)
        raise Unanswered(f"{told} (tried {self._settings.max_retries + 1} times)")

    def _backoff(self, attempt: int) -> float:
        longest: float = min(self._settings.backoff_s * 2**attempt, _LONGEST_WAIT_S)
        return longest * random.uniform(0.5, 1)  # noqa: S311 jitter is not a secret


def _wait_asked(error: Any) -> float | None:
    """Seconds that the service asks to wait: its RetryInfo, or the header Retry-After."""
    details = error.details if isinstance(error.details, dict) else {}
    infos = details.get("error", {}).get("details", []) if isinstance(details.get("error"), dict) else []
    delays = [info.get("retryDelay") for info in infos if isinstance(info, dict)]
    headers = getattr(error.response, "headers", None) or {}
    for value in (*delays, headers.get("retry-after")):
        if value is not None and (match := _SECONDS.fullmatch(str(value).strip())):
            return float(match[1])
    return None


def _read(reply: Any, prompt: Prompt) -> Answer:
    """An answer out of a reply, without the thoughts."""
    counts = reply.usage_metadata
    usage: dict[str, Any] = {"served_model": reply.model_version}
    if counts is not None:
        usage["prompt_tokens"] = counts.prompt_token_count or 0
        usage["thought_tokens"] = counts.thoughts_token_count or 0
        usage["new_tokens"] = (counts.candidates_token_count or 0) + usage["thought_tokens"]
    candidate = reply.candidates[0] if reply.candidates else None
    if candidate is None:
        blocked = reply.prompt_feedback.block_reason if reply.prompt_feedback else None
        why = f"the prompt was blocked: {blocked.value}" if blocked else "the reply has no candidate"
        return Answer(prompt.key, error=why, usage=usage)
    finish = candidate.finish_reason.value if candidate.finish_reason else None
    usage["finish_reason"] = finish
    parts = (candidate.content.parts if candidate.content else None) or []
    texts = [part.text for part in parts if part.text and not part.thought]
    # What was cut by a filter is half an answer; what was cut by the prompt's own bound on tokens is an answer.
    if not texts or finish not in ("STOP", "MAX_TOKENS"):
        return Answer(prompt.key, error=f"the model gave no whole answer: finish_reason {finish}", usage=usage)
    return Answer(prompt.key, text="".join(texts), usage=usage)


def _transport_errors() -> tuple[type[Exception], ...]:
    """The SDK speaks through httpx or its fork httpx2, whichever is installed, and lets their errors through."""
    found: list[type[Exception]] = []
    for name in ("httpx", "httpx2"):
        try:
            found.append(importlib.import_module(name).TransportError)
        except ModuleNotFoundError:
            continue
    return tuple(found)
