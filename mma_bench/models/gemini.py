"""The `gemini` engine: Google's Gemini models through the google-genai SDK.

In: clips with their prompts. Out: answers, or an error per prompt. The video is sent as bytes, before the text; Gemini
reads the video's own audio track, which is removed if the task does not hear it. Gemini provides no log-likelihoods of
given options, so the engine supports `generate` only.
"""

import importlib
import time
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError, field_validator
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from mma_bench.config import Positive
from mma_bench.models.bounded import bounded_client
from mma_bench.models.clip_bytes import mp4_bytes
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.models.remote import (
    REFUSAL_HINTS,
    Refused,
    RemoteEngine,
    RemoteSettings,
    Unanswered,
    missing_client,
)
from mma_bench.retry import TRANSIENT_STATUSES, backoff, parse_retry_after, wait_at_least

_REFUSAL_HINTS: Final = {**REFUSAL_HINTS, 404: "correct `model`: older models are no longer available"}
_LONGEST_WAIT_S: Final = 120.0


class GeminiSettings(RemoteSettings):
    """Settings of the engine.

    Thoughts count as generated tokens, so `thinking_budget` is added to the prompt's token limit: otherwise a model
    that always thinks spends the limit on thoughts and returns no answer.
    """

    api_key_env: str | None = "GEMINI_API_KEY"
    thinking_budget: Annotated[int, Field(ge=0)] | None = None  # tokens; None for models that do not think
    backoff_s: Positive = 1.0  # delay before the second attempt unless the server specifies one; doubles, with jitter

    @field_validator("base_url")
    @classmethod
    def _has_no_query(cls, url: str | None) -> str | None:
        if url is not None and "?" in url:
            raise ValueError("the SDK cannot send a query with every request; give the address without it")
        return url


class _Detail(BaseModel):
    reason: str | None = None  # of an ErrorInfo
    retryDelay: str | None = None  # noqa: N815 - the service's spelling; of a RetryInfo, in seconds, e.g. "0.3s"


class _Error(BaseModel):
    details: list[_Detail] = []


class _ErrorReply(BaseModel):
    """The fields of the service's errors that we use (google.rpc.Status)."""

    error: _Error = _Error()


class _Transient(Unanswered):
    """A transient failure; `retry_after_s` is the delay requested by the service."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class GeminiEngine(RemoteEngine[GeminiSettings, Any]):
    """A Gemini model as an `Engine`.

    Args:
        settings: The model and its limits.
        name: The model's name in predictions; None uses the service's name.
        sleep: Sleeps for the given seconds before a retry.

    Raises:
        MmaBenchError: The SDK is not installed, or the key is not in the environment.
    """

    def __init__(
        self, settings: GeminiSettings, *, name: str | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        try:
            from google import genai
            from google.genai import errors, types
        except ModuleNotFoundError:
            raise missing_client("gemini", "google-genai") from None

        super().__init__(settings, name)
        self._types, self._errors, self._transport_errors = types, errors, _transport_errors()
        self._http = bounded_client(_client_class(), settings.timeout_s)
        options = types.HttpOptions(
            base_url=settings.base_url, timeout=round(settings.timeout_s * 1000), httpx_client=self._http
        )
        self._client = genai.Client(api_key=self._key or "none", http_options=options)
        # The SDK's own retries ignore the delay requested by the server.
        self._retrying = Retrying(
            retry=retry_if_exception_type(_Transient),
            stop=stop_after_attempt(settings.max_retries + 1),
            wait=wait_at_least(
                lambda error: getattr(error, "retry_after_s", None), backoff(settings.backoff_s, _LONGEST_WAIT_S)
            ),
            sleep=sleep,
            reraise=True,
        )

    def _close_client(self) -> None:
        self._client.close()
        self._http.close()

    def _media(self, task: ClipTask) -> Any:
        return self._types.Part.from_bytes(data=mp4_bytes(task, with_sound=True), mime_type="video/mp4")

    def _ask(self, media: Any, prompt: Prompt) -> Answer:
        types, budget = self._types, self._settings.thinking_budget
        config = types.GenerateContentConfig(
            temperature=prompt.temperature,
            seed=prompt.seed,
            max_output_tokens=prompt.max_new_tokens + (budget or 0),
            thinking_config=None if budget is None else types.ThinkingConfig(thinking_budget=budget),
        )
        contents = [*([] if media is None else [media]), types.Part.from_text(text=prompt.text)]
        reply = self._call(
            lambda: self._client.models.generate_content(model=self._settings.model, contents=contents, config=config)
        )
        return _read(reply, prompt)

    def _call(self, call: Callable[[], Any]) -> Any:
        """The service's reply; transient failures are retried after the delay requested by the service.

        Raises:
            Refused: 401, 403, 404, or an invalid key.
            Unanswered: All other errors, after up to `max_retries` retries if they are transient.
        """
        try:
            return self._retrying(self._attempt, call)
        except _Transient as error:
            raise Unanswered(f"{error} ({self._tried()})") from None

    def _attempt(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._errors.APIError as error:
            message = f"{error.code} {error.status}: {self._excerpt(error.message or error.details)}"
            details = _details(error)
            code = 401 if any(detail.reason == "API_KEY_INVALID" for detail in details) else error.code
            if code in _REFUSAL_HINTS:
                raise Refused(f"{self.name}: {message}", _REFUSAL_HINTS[code]) from None
            asked_s = _retry_after_s(error, details)
            if code not in TRANSIENT_STATUSES or (asked_s or 0) > _LONGEST_WAIT_S:
                raise Unanswered(message) from None
            raise _Transient(message, asked_s) from None
        except self._transport_errors as error:
            raise _Transient(f"{type(error).__name__}: {self._excerpt(error)}") from None
        except ValueError as error:  # broken JSON
            raise _Transient(f"the reply is not valid JSON: {self._excerpt(error)}") from None


def _details(error: Any) -> list[_Detail]:
    try:
        return _ErrorReply.model_validate(error.details).error.details
    except ValidationError:
        return []  # an error from a proxy


def _retry_after_s(error: Any, details: list[_Detail]) -> float | None:
    """The delay requested by the service: its RetryInfo, or the Retry-After header."""
    delays = [detail.retryDelay.removesuffix("s") for detail in details if detail.retryDelay is not None]
    headers = getattr(error.response, "headers", None) or {}
    return parse_retry_after(delays[0] if delays else headers.get("retry-after"))


def _read(reply: Any, prompt: Prompt) -> Answer:
    """The answer in a reply, without the thoughts."""
    counts = reply.usage_metadata
    usage: dict[str, Any] = {"served_model": reply.model_version}
    if counts is not None:
        usage["prompt_tokens"] = counts.prompt_token_count or 0
        usage["thought_tokens"] = counts.thoughts_token_count or 0
        usage["new_tokens"] = (counts.candidates_token_count or 0) + usage["thought_tokens"]
    candidate = reply.candidates[0] if reply.candidates else None
    if candidate is None:
        blocked = reply.prompt_feedback.block_reason if reply.prompt_feedback else None
        why = f"the prompt was blocked: {blocked.value}" if blocked else "the reply has no candidates"
        return Answer(prompt.key, error=why, usage=usage)
    finish = candidate.finish_reason.value if candidate.finish_reason else None
    usage["finish_reason"] = finish
    parts = (candidate.content.parts if candidate.content else None) or []
    texts = [part.text for part in parts if part.text and not part.thought]
    # Output truncated by a filter is not an answer; output truncated by the prompt's token limit is.
    if not texts or finish not in ("STOP", "MAX_TOKENS"):
        return Answer(prompt.key, error=f"the model gave no complete answer: finish_reason {finish}", usage=usage)
    return Answer(prompt.key, text="".join(texts), usage=usage)


def _client_class() -> type[Any]:
    """The client of httpx2, which the SDK prefers, or else of httpx."""
    try:
        client: type[Any] = importlib.import_module("httpx2").Client
    except ModuleNotFoundError:
        client = importlib.import_module("httpx").Client
    return client


def _transport_errors() -> tuple[type[Exception], ...]:
    """The exceptions of httpx or its fork httpx2, whichever the SDK uses; it does not catch them."""
    found: list[type[Exception]] = []
    for name in ("httpx", "httpx2"):
        try:
            found.append(importlib.import_module(name).TransportError)
        except ModuleNotFoundError:
            continue
    return tuple(found)
