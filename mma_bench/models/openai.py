"""The `openai` engine: any server that speaks OpenAI's chat completions, such as vLLM or SGLang.

In: clips with their prompts. Out: answers, or per prompt why there is none. The video goes in as a data URL, before the
text. What a server does with a video's own audio track differs, so a setting says how sound travels; where a condition
has none, nothing audible is sent at all.

Log-likelihoods of given options are not part of the protocol (`prompt_logprobs` is one server's own), so the engine
answers `generate` alone.
"""

import base64
from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field

from mma_bench.errors import MmaBenchError
from mma_bench.models.clip_bytes import heard, seen
from mma_bench.models.contracts import Answer, ClipTask, Mode, Prompt
from mma_bench.models.remote import Refused, Remote, RemoteSettings, Unanswered, key_of, said

Part = dict[str, Any]

_REFUSALS: Final = {
    401: "set the environment variable that api_key_env names to a valid key",
    403: "use a key that may use this model",
    404: "correct `model` and `base_url`; the latter usually ends in /v1",
}


class OpenaiSettings(RemoteSettings):
    """Settings of the engine.

    `sound` says how it travels: `input_audio` as a WAV part after the video, whose own track is then left out (vLLM,
    SGLang); `in_video` in the video's track; `none` for a model that cannot hear.
    """

    api_key_env: str | None = "OPENAI_API_KEY"
    sound: Literal["input_audio", "in_video", "none"] = "input_audio"
    extra_body: dict[str, Any] = Field(
        default_factory=dict
    )  # goes into every request as it is, e.g. mm_processor_kwargs of vLLM


class OpenaiEngine:
    """A model behind a server as an `Engine`.

    Args:
        settings: Which server and model, and the bounds.
        name: What predictions call the model; None takes the server's name of it.

    Raises:
        MmaBenchError: The client is not installed, or the key is not in the environment.
    """

    modes: frozenset[Mode] = frozenset({"generate"})

    def __init__(self, settings: OpenaiSettings, *, name: str | None = None) -> None:
        try:
            import openai
        except ModuleNotFoundError:
            raise MmaBenchError(
                "the openai engine needs the client `openai`", hint="pip install 'mma-bench[evaluation]'"
            ) from None

        self.name, self.revision = name or settings.model, settings.revision or settings.model
        self.adapter = self.adapter_revision = None
        self._settings, self._key, self._openai = settings, key_of(settings), openai
        # The client backs off with jitter by itself and does as Retry-After says.
        self._client = openai.OpenAI(
            api_key=self._key or "none",
            base_url=settings.base_url,
            timeout=settings.timeout_s,
            max_retries=settings.max_retries,
        )
        self._remote = Remote(settings, self._media, self._ask, self._measure)

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`; questions go out `concurrency` at a time."""
        return self._remote.answer(tasks)

    def close(self) -> None:
        """End the threads and the connections."""
        self._remote.close()
        self._client.close()

    def _media(self, task: ClipTask) -> list[Part]:
        sound = self._settings.sound
        video = seen(task, with_sound=sound == "in_video")
        parts: list[Part] = [{"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{_base64(video)}"}}]
        if sound == "input_audio" and task.hears:
            parts.append({"type": "input_audio", "input_audio": {"data": _base64(heard(task)), "format": "wav"}})
        return parts

    def _ask(self, media: list[Part], prompt: Prompt, context: str) -> Answer:
        if prompt.mode != "generate":
            raise Unanswered(f"{self.name} gives no log-likelihoods; ask it with mode generate")
        content: Any = [*media, {"type": "text", "text": prompt.text + context}]
        completion = self._called(
            lambda: self._client.chat.completions.create(
                model=self._settings.model,
                messages=[{"role": "user", "content": content}],
                max_tokens=prompt.max_new_tokens,
                temperature=prompt.temperature,
                seed=prompt.seed,
                extra_body=self._settings.extra_body or None,
            )
        )
        return _read(completion, prompt, self._openai.types.chat.ChatCompletion)

    def _measure(self, text: str) -> int:
        """The model's own tokens of a text, by the server's `/tokenize`, which vLLM and SGLang have beside `/v1`."""
        root = str(self._client.base_url).rstrip("/").removesuffix("/v1")
        body = {"model": self._settings.model, "prompt": text, "add_special_tokens": False}
        try:
            reply = self._called(lambda: self._client.post(f"{root}/tokenize", cast_to=object, body=body))
        except Refused as error:
            raise Unanswered(f"long context needs the server's /tokenize: {error}") from None
        count = reply.get("count") if isinstance(reply, dict) else None
        if not isinstance(count, int):
            raise Unanswered(f"{root}/tokenize gave no count: {said(reply, self._key)}")
        return count

    def _called(self, call: Any) -> Any:
        """What the server replied, its errors told apart.

        Raises:
            Refused: 401, 403, 404.
            Unanswered: All others, after the client has tried again where that can help.
        """
        openai = self._openai
        try:
            return call()
        except openai.APIStatusError as error:
            told = f"{error.status_code} from {error.request.url}: {said(error.response.text, self._key)}"
            if error.status_code in _REFUSALS:
                raise Refused(f"{self.name}: {told}", _REFUSALS[error.status_code]) from None
            raise Unanswered(told) from None
        except openai.APITimeoutError:
            raise Unanswered(f"no reply within {self._settings.timeout_s} s ({self._tries()})") from None
        except openai.APIError as error:
            raise Unanswered(f"{said(error.__cause__ or error, self._key)} ({self._tries()})") from None
        except ValueError as error:  # the client lets broken JSON through as it is
            raise Unanswered(f"the reply is not whole JSON: {said(error, self._key)}") from None

    def _tries(self) -> str:
        return f"tried {self._settings.max_retries + 1} times"


def _read(completion: Any, prompt: Prompt, kind: type) -> Answer:
    """An answer out of a completion; servers that are not quite OpenAI leave parts out."""
    if not isinstance(completion, kind) or not getattr(completion, "choices", None):
        raise Unanswered(f"the reply is not a chat completion: {said(completion, None)[:200]}")
    completion_: Any = completion
    choice = completion_.choices[0]
    text = getattr(choice.message, "content", None)
    usage: dict[str, Any] = {"finish_reason": choice.finish_reason, "served_model": completion_.model}
    if completion_.usage is not None:
        usage |= {"prompt_tokens": completion_.usage.prompt_tokens, "new_tokens": completion_.usage.completion_tokens}
    if text is None or choice.finish_reason == "content_filter":
        why = getattr(choice.message, "refusal", None) or f"finish_reason {choice.finish_reason}"
        return Answer(prompt.key, error=f"the model gave no answer: {said(why, None)}", usage=usage)
    return Answer(prompt.key, text=text, usage=usage)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
