"""The `openai` engine: any server with OpenAI's chat completions API, such as vLLM or SGLang.

In: clips with their prompts. Out: answers, or an error per prompt. The video is sent as a data URL, before the text.
Servers treat a video's audio track differently, so a setting controls how audio is sent; if the task does not hear it,
no audio is sent at all.

The API does not provide log-likelihoods of given options (`prompt_logprobs` is specific to one server), so the engine
supports `generate` only. It does provide log-probabilities of the answer's first token (`Prompt.top_logprobs`).
"""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic import Field, model_validator

from mma_bench.models.bounded import bounded_client
from mma_bench.models.chat_reply import read_chat
from mma_bench.models.chat_stream import read_stream
from mma_bench.models.clip_bytes import mp4_bytes, wav_bytes
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.models.quota import QUOTA_HINT, asked_wait, is_quota_spent
from mma_bench.models.remote import RemoteEngine, missing_client
from mma_bench.models.remote_errors import REFUSAL_HINTS, UNREADABLE, Refused, Unanswered
from mma_bench.models.remote_settings import RemoteSettings, address_of
from mma_bench.models.replies import is_filtered
from mma_bench.retry import parse_retry_after

Part: TypeAlias = dict[str, Any]

_MM, _USE_AUDIO = "mm_processor_kwargs", "use_audio_in_video"
_LIST_TIMEOUT_S: Final = 20.0
_REFUSAL_HINTS: Final = {
    **REFUSAL_HINTS,
    404: "correct `model`, which may have been retired, and `base_url`, which usually ends in /v1",
}


class OpenaiSettings(RemoteSettings):
    """Settings of the engine.

    `sound` is how audio is sent: `input_audio` (vLLM) or `audio_url` (SGLang, vLLM) as a WAV part after the video,
    whose own track is removed; `in_video` in the video's track; `none` for models without audio input.

    A reasoning model needs `max_new_tokens`, since thoughts count as generated tokens. `opens_thoughts` is for a server
    whose chat template ends with an opening <think> and that leaves the thoughts in the text: what has no closing tag
    is then thoughts alone.
    """

    api_key_env: str | None = "OPENAI_API_KEY"
    sound: Literal["input_audio", "audio_url", "in_video", "none"] = "input_audio"
    # Added verbatim to every request, e.g. mm_processor_kwargs of vLLM.
    extra_body: dict[str, Any] = Field(default_factory=dict)
    # By condition, merged into extra_body key by key; null removes a key.
    extra_body_by_condition: dict[str, dict[str, Any]] = Field(default_factory=dict)
    reasoning: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None  # sent as reasoning_effort
    opens_thoughts: bool = False
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # the latter for OpenAI's newer
    omit: tuple[Literal["temperature", "seed"], ...] = Field(default=(), strict=False)  # what the server refuses
    stream: bool = False  # for servers or proxies that close connections on which nothing is sent for long

    @model_validator(mode="after")
    def _leaves_room_for_the_answer(self) -> Self:
        if self.max_new_tokens is None and (self.opens_thoughts or self.reasoning not in (None, "none")):
            raise ValueError("set max_new_tokens too: thoughts count as generated tokens")
        return self


class _Media(NamedTuple):
    """A clip, and the settings of the requests about it."""

    parts: list[Part]
    extra_body: dict[str, Any]


class OpenaiEngine(RemoteEngine[OpenaiSettings, _Media]):
    """A model behind a server as an `Engine`.

    Args:
        settings: The server, the model and the limits.
        name: The model's name in predictions; None uses the server's name.

    Raises:
        MmaBenchError: The client is not installed, or the key is not in the environment.
    """

    def __init__(self, settings: OpenaiSettings, *, name: str | None = None) -> None:
        try:
            import openai
        except ModuleNotFoundError:
            raise missing_client("openai", "openai") from None

        super().__init__(settings, name)
        self._openai = openai
        # The client retries with backoff and jitter, and honours Retry-After.
        base_url, query = address_of(settings)
        self._client = openai.OpenAI(
            api_key=self._key or "none",
            base_url=base_url,
            default_query=query,
            timeout=settings.timeout_s,
            max_retries=settings.max_retries,
            http_client=bounded_client(openai.DefaultHttpxClient, settings.timeout_s, mark=_mark_spent_quota),
        )

    def _close_client(self) -> None:
        self._client.close()

    def _media(self, task: ClipTask) -> _Media:
        sound = self._settings.sound
        video = mp4_bytes(task, with_sound=sound == "in_video")
        parts: list[Part] = [{"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{_base64(video)}"}}]
        if sound == "input_audio" and task.hears:
            parts.append({"type": sound, sound: {"data": _base64(wav_bytes(task)), "format": "wav"}})
        if sound == "audio_url" and task.hears:
            parts.append({"type": sound, sound: {"url": f"data:audio/wav;base64,{_base64(wav_bytes(task))}"}})
        body = merged(self._settings.extra_body, self._settings.extra_body_by_condition.get(task.condition, {}))
        return _Media(parts, body if task.hears else _without_sound(body))

    def _listed_models(self) -> list[str]:
        openai, settings = self._openai, self._settings
        client = self._client.with_options(max_retries=0, timeout=min(settings.timeout_s, _LIST_TIMEOUT_S))
        try:
            return [str(model.id) for model in client.models.list().data]
        except openai.APIConnectionError as error:
            raise Unanswered(
                f"no server answers at {settings.base_url or 'the service'}: {error.__cause__ or error}"
            ) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            return []  # no list, or an odd one: the prompt decides

    def _ask(self, media: _Media | None, prompt: Prompt) -> Answer:
        settings = self._settings
        content: Any = [*(media.parts if media else ()), {"type": "text", "text": prompt.text}]
        body = media.extra_body if media else _without_sound(settings.extra_body)
        optional: dict[str, Any] = {"temperature": prompt.temperature, "seed": prompt.seed}
        wanted: dict[str, Any] = {key: value for key, value in optional.items() if key not in settings.omit}
        # In the body, since the oldest clients that are allowed have no parameters for these two.
        newer: dict[str, Any] = {}
        (wanted if settings.length_parameter == "max_tokens" else newer)[settings.length_parameter] = self._limit(
            prompt
        )
        if prompt.top_logprobs:
            wanted |= {"logprobs": True, "top_logprobs": prompt.top_logprobs}
        if settings.reasoning is not None:
            newer["reasoning_effort"] = settings.reasoning
        if settings.stream:
            wanted |= {"stream": True, "stream_options": {"include_usage": True}}
        # The client's own reading is without validation, so the body is read here.
        reply = self._call(
            lambda: self._client.chat.completions.with_raw_response.create(
                model=settings.model,
                messages=[{"role": "user", "content": content}],
                extra_body={**newer, **body} or None,
                **wanted,
            )
        )
        read = read_stream if settings.stream else read_chat
        return self._read(partial(read, opened=settings.opens_thoughts), reply.http_response.text, prompt)

    def _call(self, call: Callable[[], Any]) -> Any:
        """The server's reply.

        Raises:
            Refused: 401, 402, 403, 404, or a quota that is used up.
            Unanswered: All other errors, after the client's retries if they are transient.
        """
        openai = self._openai
        try:
            return call()
        except openai.APIStatusError as error:
            message = f"{error.status_code} from {error.request.url}: {self._excerpt(error.response.text)}"
            if _is_quota_spent(error.response):
                raise Refused(f"{self.name}: {message}{asked_wait(_wait_s(error.response))}", QUOTA_HINT) from None
            if error.status_code in _REFUSAL_HINTS:
                raise Refused(f"{self.name}: {message}", _REFUSAL_HINTS[error.status_code]) from None
            raise Unanswered(message, refused=is_filtered(error.body)) from None
        except openai.APITimeoutError:
            raise Unanswered(f"no reply within {self._settings.timeout_s} s ({self._tried()})") from None
        except openai.APIError as error:
            raise Unanswered(f"{self._excerpt(error.__cause__ or error)} ({self._tried()})") from None
        except UNREADABLE as error:
            raise Unanswered(f"the reply cannot be read: {type(error).__name__}: {self._excerpt(error)}") from None


def _is_quota_spent(reply: Any) -> bool:
    return reply.status_code == 429 and is_quota_spent(reply.text, _wait_s(reply))


def _wait_s(reply: Any) -> float | None:
    return parse_retry_after(reply.headers.get("retry-after"))


def _mark_spent_quota(reply: Any) -> None:
    """Tell the client, which repeats every 429, not to repeat this one."""
    if _is_quota_spent(reply):
        reply.headers["x-should-retry"] = "false"


def merged(settings: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """`settings` with `others` in place of its values, within nested mappings too; None removes a key."""
    result = dict(settings)
    for key, value in others.items():
        if value is None:
            result.pop(key, None)
        else:
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def _without_sound(body: dict[str, Any]) -> dict[str, Any]:
    """The body for a request without an audio track, which vLLM refuses if it is to use it."""
    used = isinstance(body.get(_MM), dict) and body[_MM].get(_USE_AUDIO)
    return merged(body, {_MM: {_USE_AUDIO: False}}) if used else body


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
