"""An omni model behind an OpenAI-compatible server (vLLM, SGLang) as a judge: the same four questions over HTTP.

The server gets an MP4 file made of the view's frames and sound, so that a modality that the view lacks cannot leak
through the original file: without sound there is no audio at all, and without video the frames are black. The
probability of "Yes" comes from the log-probabilities of the answer's first token, which the server must give
(`logprobs`).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Final, Self

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
from mma_bench.models.contracts import ClipTask, Prompt, Stopped
from mma_bench.models.openai import OpenaiEngine, OpenaiSettings
from mma_bench.models.remote_settings import api_key
from mma_bench.prompts import NO, YES, judge_question
from mma_bench.schema import Condition, Modality

_TOP_LOGPROBS: Final = 20  # the most that the protocol allows
_YES: Final = frozenset(word.lower() for word in YES)
_NO: Final = frozenset(word.lower() for word in NO)


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
        """With validated settings and, if the server needs one, a key from the environment.

        Raises:
            ConfigError: A setting cannot be used, or there is no key.
        """
        model, settings = engine_settings(params, "openai", OpenaiSettings)
        if settings.sound == "none":
            raise ConfigError("judge.settings.sound is none, but a judge must hear", hint="use a model that can hear")
        api_key(settings)
        return cls(params, model, settings)

    @property
    def name(self) -> str:
        return f"omni-server ({self.model})"

    @cached_property
    def revision(self) -> str:
        # The server's address and connection settings do not affect an answer.
        asked = self.settings.model_dump(include={"model", "revision", "sound", "extra_body"})
        return fingerprint(asked, rules_of(self.params))[:16]

    def knows(self, modality: Modality, class_name: str) -> bool:  # noqa: ARG002 (every judge takes them)
        """A language model can be asked about any class."""
        return True

    def ask(self, view: View, modality: Modality, class_name: str) -> Verdict:
        require_modality(view, modality)
        prompt = Prompt(
            "check",
            judge_question(modality, class_name),
            options=(*YES, *NO),
            max_new_tokens=MAX_NEW_TOKENS,
            top_logprobs=_TOP_LOGPROBS,
        )
        try:
            ((reply,),) = self._engine.answer([replace(self._task(view), prompts=(prompt,))])
        except Stopped as stopped:
            raise Blocked("server_refuses", f"{stopped.message}; {stopped.hint}") from None
        if reply.error is not None or reply.text is None:
            raise Retryable("no_answer", reply.error or reply.refused or "the server gave no text")
        if not reply.first_token_logprobs:
            raise Retryable("no_logprobs", f"{self.settings.model} gave no logprobs; use a server that does")
        # Spellings that differ in case or spaces are separate tokens.
        spelled = [(token.strip().lower(), logprob) for token, logprob in reply.first_token_logprobs.items()]
        yes, no = ([logprob for word, logprob in spelled if word in words] for words in (_YES, _NO))
        return answer(self.params, modality, reply.text, probability_of_yes(yes, no))

    @cached_property
    def _engine(self) -> OpenaiEngine:
        # The client retries a failed question; failures in a row are counted by the stage.
        return OpenaiEngine(self.settings.model_copy(update={"concurrency": 1, "max_failures": 1 << 30}))

    def _task(self, view: View) -> ClipTask:
        """The view as a file, encoded once for the questions that share it."""
        if self._latest is None or self._latest[0] is not view:
            condition = (
                Condition.AUDIO_REMOVED
                if view.audio is None
                else Condition.FRAMES_ZEROED
                if view.frames is None
                else Condition.ALIGNED
            )
            video = as_mp4(view, self.params.frames)
            self._latest = view, ClipTask("view", video, condition, "", "", (), hears=view.audio is not None)
        return self._latest[1]


def as_mp4(view: View, count: int) -> bytes:
    """A view as an MP4 file: H.264 at the rate of its frames, and its sound as FLAC (lossless).

    Args:
        view: Frames with odd sides lose a row or column, since yuv420p needs even ones.
        count: Number of black frames, if the view has no video.
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
            for block in _audio_frames(view.audio):
                out.mux(sound.encode(block))
            out.mux(sound.encode(None))
    return file.getvalue()


def _audio_frames(samples: NDArray[np.float32]) -> Iterator[av.AudioFrame]:
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    for start in range(0, len(pcm), 4096):
        block = av.AudioFrame.from_ndarray(pcm[None, start : start + 4096], format="s16", layout="mono")
        block.sample_rate, block.pts = SAMPLE_RATE, start
        yield block
