"""An omni model behind an OpenAI-compatible server (vLLM, SGLang) as a judge: the same four questions, over HTTP.

The server gets an MP4 file made of what is open in the view, frames and sound, so that a closed sense cannot travel in
the original file: without sound there is no audio at all, and without sight the frames are black. The probability of
"Yes" comes from the log-probabilities of the answer's first token, which the server must give (`logprobs`).
"""

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, Self

import av
import numpy as np
from numpy.typing import NDArray

from mma_bench.builders.judges.contracts import Verdict, View, require_modality
from mma_bench.builders.judges.yes_no import (
    MAX_NEW_TOKENS,
    answer,
    engine_settings,
    pictures,
    probability_of_yes,
    rules_of,
)
from mma_bench.config import OmniJudgeParams
from mma_bench.errors import Blocked, ConfigError, Retryable
from mma_bench.files import fingerprint
from mma_bench.media import SAMPLE_RATE
from mma_bench.models.contracts import Answer, ClipTask, Prompt, Stopped
from mma_bench.models.openai import OpenaiEngine, OpenaiSettings, Part
from mma_bench.models.remote import key_of
from mma_bench.prompts import NO, YES, judge_question
from mma_bench.schema import Condition, Modality

_LIKELIEST: Final = 20  # first tokens that the server is asked for: the most that the protocol allows


@dataclass
class OmniServerJudge:
    """Answers checks by asking a server.

    Args:
        params: The judge's part of params.yaml.
        model: Its name.
        settings: Of the server and the model.
    """

    params: OmniJudgeParams
    model: str
    settings: OpenaiSettings
    _latest: tuple[View, ClipTask] | None = field(default=None, init=False, repr=False)

    @classmethod
    def configured(cls, params: OmniJudgeParams) -> Self:
        """With settings that were checked, and a key in the environment if the server wants one.

        Raises:
            ConfigError: A setting cannot be used, or there is no key.
        """
        model, settings = engine_settings(params, "openai", OpenaiSettings)
        if settings.sound == "none":
            raise ConfigError("judge.settings.sound is none, but a judge must hear", hint="use a model that can hear")
        key_of(settings)
        return cls(params, model, settings)

    @property
    def name(self) -> str:
        return f"omni-server ({self.model})"

    @cached_property
    def revision(self) -> str:
        # Where the server stands and how it is reached changes no answer.
        asked = self.settings.model_dump(include={"model", "revision", "sound", "extra_body"})
        return fingerprint(asked, rules_of(self.params))[:16]

    def knows(self, modality: Modality, class_name: str) -> bool:  # noqa: ARG002 (every judge takes them)
        """A language model can be asked about any class."""
        return True

    def ask(self, view: View, modality: Modality, class_name: str) -> Verdict:
        require_modality(view, modality)
        prompt = Prompt(
            "check", judge_question(modality, class_name), options=(*YES, *NO), max_new_tokens=MAX_NEW_TOKENS
        )
        try:
            ((given,),) = self._engine.answer([replace(self._task(view), prompts=(prompt,))])
        except Stopped as stopped:
            raise Blocked("server_refuses", f"{stopped.message}; {stopped.hint}") from None
        if given.error is not None or given.text is None:
            raise Retryable("no_answer", given.error or "the server gave no text")
        if given.logprobs is None:
            raise Retryable("no_logprobs", f"{self.settings.model} gave no logprobs; use a server that does")
        yes, no = (
            [value for token, value in given.logprobs.items() if token in words]
            for words in ({word.lower() for word in YES}, {word.lower() for word in NO})
        )
        return answer(self.params, modality, given.text, probability_of_yes(yes, no))

    @cached_property
    def _engine(self) -> "_WithLogprobs":
        # A failed question is tried again by the client; a row of failures is the stage's to count.
        return _WithLogprobs(self.settings.model_copy(update={"concurrency": 1, "max_failures": 1 << 30}))

    def _task(self, view: View) -> ClipTask:
        """The view as a file, made once for the questions that share it."""
        if self._latest is None or self._latest[0] is not view:
            condition = (
                Condition.AUDIO_REMOVED
                if view.audio is None
                else Condition.FRAMES_ZEROED
                if view.frames is None
                else Condition.ALIGNED
            )
            self._latest = view, ClipTask("view", as_mp4(view, self.params.frames), condition, "", "", ())
        return self._latest[1]


class _WithLogprobs(OpenaiEngine):
    """The engine, which also keeps the first token's log-probabilities, by the token in small letters."""

    def __init__(self, settings: OpenaiSettings) -> None:
        wanted = {**settings.extra_body, "logprobs": True, "top_logprobs": _LIKELIEST}
        super().__init__(settings.model_copy(update={"extra_body": wanted}))
        self._reply = threading.local()

    def _ask(self, media: list[Part], prompt: Prompt, context: str) -> Answer:
        given = super()._ask(media, prompt, context)
        return replace(given, logprobs=_first_token(self._reply.value))

    def _called(self, call: Any) -> Any:
        self._reply.value = super()._called(call)
        return self._reply.value


def _first_token(completion: Any) -> dict[str, float] | None:
    """Log-probability by token, spellings with the same letters joined; None if the server gave none."""
    tokens = getattr(completion.choices[0].logprobs, "content", None)
    if not tokens:
        return None
    joined: dict[str, float] = {}
    for item in tokens[0].top_logprobs:
        word = item.token.strip().lower()
        joined[word] = float(np.logaddexp(joined.get(word, -np.inf), item.logprob))
    return joined


def as_mp4(view: View, count: int) -> bytes:
    """What is open in a view as an MP4 file: H.264 at the rate of its frames, and its sound as FLAC, without loss.

    Args:
        view: Frames of odd sides lose a row or column, which yuv420p cannot have.
        count: Of the black frames, if sight is closed.
    """
    frames = pictures(view, count)
    rate = Fraction(len(frames) / view.duration_s).limit_denominator(1000)
    height, width = (side - side % 2 for side in frames.shape[1:3])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"strict": "experimental"}) as out:
        video = out.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "veryfast", "threads": "1"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = None if view.audio is None else out.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
        if sound is not None and view.audio is not None:
            for block in _blocks(view.audio):
                out.mux(sound.encode(block))
            out.mux(sound.encode(None))
    return file.getvalue()


def _blocks(samples: NDArray[np.float32]) -> Iterator[av.AudioFrame]:
    whole = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    for start in range(0, len(whole), 4096):
        block = av.AudioFrame.from_ndarray(whole[None, start : start + 4096], format="s16", layout="mono")
        block.sample_rate, block.pts = SAMPLE_RATE, start
        yield block
