"""The `gemini` engine: Google's Gemini models through the google-genai SDK.

In: clips with their prompts. Out: answers, or an error per prompt. The video is sent as bytes, before the text; Gemini
reads the video's own audio track, which is removed if the task does not hear it. Gemini provides no log-likelihoods of
given options, so the engine supports `generate` only.
"""

import importlib
import time
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from mma_bench.config import Positive
from mma_bench.models.bounded import bounded_client
from mma_bench.models.clip_bytes import mp4_bytes
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.models.gemini_reply import read_generated
from mma_bench.models.quota import LONGEST_WAIT_S, QUOTA_HINT, asked_wait, is_quota_spent
from mma_bench.models.remote import RemoteEngine, missing_client
from mma_bench.models.remote_errors import REFUSAL_HINTS, UNREADABLE, Refused, Unanswered
from mma_bench.models.remote_settings import RemoteSettings
from mma_bench.retry import TRANSIENT_STATUSES, backoff, parse_retry_after, wait_at_least

_REFUSAL_HINTS: Final = {**REFUSAL_HINTS, 404: "correct `model`: the service retires older models"}


class GeminiSettings(RemoteSettings):
    """Settings of the engine.

    Thoughts count as generated tokens, so `thinking_budget` is added to the prompt's token limit: otherwise a model
    that always thinks spends the limit on thoughts and returns no answer. Models from Gemini 3 on take a level,
    `reasoning`, in place of a budget; how many tokens it takes is unknown, so `max_new_tokens` is needed too.
    """

    api_key_env: str | None = "GEMINI_API_KEY"
    # Tokens; -1 leaves the number to the model; None for models that do not think.
    thinking_budget: Annotated[int, Field(ge=-1)] | None = None
    reasoning: Literal["minimal", "low", "medium", "high"] | None = None
    backoff_s: Positive = 1.0  # delay before the second attempt unless the server specifies one; doubles, with jitter

    @model_validator(mode="after")
    def _leaves_room_for_the_answer(self) -> Self:
        if self.reasoning is not None and self.thinking_budget is not None:
            raise ValueError("reasoning and thinking_budget exclude each other: keep the one that the model takes")
        if (self.reasoning is not None or self.thinking_budget == -1) and self.max_new_tokens is None:
            raise ValueError("set max_new_tokens too: thoughts count as generated tokens")
        return self

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
                lambda error: getattr(error, "retry_after_s", None), backoff(settings.backoff_s, LONGEST_WAIT_S)
            ),
            sleep=sleep,
            reraise=True,
        )

    def _listed_models(self) -> list[str]:
        try:
            models = self._client.models.list(config={"page_size": 1000, "query_base": True}).page
            return [str(model.name).removeprefix("models/") for model in models]
        except self._transport_errors as error:
            address = self._settings.base_url or "the service"
            raise Unanswered(f"no server answers at {address}: {self._excerpt(error)}") from None
        except (self._errors.APIError, *UNREADABLE):
            return []  # no list, or an odd one: the prompt decides

    def _close_client(self) -> None:
        self._client.close()
        self._http.close()

    def _media(self, task: ClipTask) -> Any:
        return self._types.Part.from_bytes(data=mp4_bytes(task, with_sound=True), mime_type="video/mp4")

    def _ask(self, media: Any, prompt: Prompt) -> Answer:
        types, budget, level = self._types, self._settings.thinking_budget, self._settings.reasoning
        thinking = None
        if budget is not None or level is not None:
            thinking = types.ThinkingConfig(thinking_budget=budget, thinking_level=level)
        config = types.GenerateContentConfig(
            temperature=prompt.temperature,
            seed=prompt.seed,
            max_output_tokens=self._limit(prompt) + max(budget or 0, 0),
            thinking_config=thinking,
            should_return_http_response=True,  # the SDK's own reading fails on much that is sent
        )
        contents = [*([] if media is None else [media]), types.Part.from_text(text=prompt.text)]
        reply = self._call(
            lambda: self._client.models.generate_content(model=self._settings.model, contents=contents, config=config)
        )
        return self._read(read_generated, reply.sdk_http_response.body or "", prompt)

    def _call(self, call: Callable[[], Any]) -> Any:
        """The service's reply; transient failures are retried after the delay requested by the service.

        Raises:
            Refused: 401, 402, 403, 404, an invalid key, or a quota that is used up.
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
            if code == 429 and is_quota_spent(str(error.details), asked_s):
                raise Refused(f"{self.name}: {message}{asked_wait(asked_s)}", QUOTA_HINT) from None
            if code not in TRANSIENT_STATUSES or (asked_s or 0) > LONGEST_WAIT_S:
                raise Unanswered(message) from None
            raise _Transient(message, asked_s) from None
        except self._transport_errors as error:
            raise _Transient(f"{type(error).__name__}: {self._excerpt(error)}") from None
        except UNREADABLE as error:
            raise Unanswered(f"the reply cannot be read: {type(error).__name__}: {self._excerpt(error)}") from None


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
