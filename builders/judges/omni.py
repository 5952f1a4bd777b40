"""Qwen2.5-Omni as a judge, through transformers: the paper's automated check (appendix B.1, Figure 3).

The judge gets the contents of the view and nothing else: without sound there is no audio token in the prompt, and
without video the frames are black. Media are encoded once per view, so the two cross-modal questions share them, and
questions go through the model one view at a time, never padded into a batch in which one clip's audio flag would hold
for another.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

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
from mma_bench.errors import InvalidInput, Retryable
from mma_bench.files import fingerprint
from mma_bench.models.contracts import Prompt
from mma_bench.prompts import NO, YES, judge_question
from mma_bench.schema import Modality

if TYPE_CHECKING:
    from mma_bench.models.omni.engine import OmniSettings
    from mma_bench.models.omni.inputs import InputMaker
    from mma_bench.models.omni.load import Located
    from mma_bench.models.omni.prefix import Prefix, Reader

_REDUCE: Final = "lower judge.frames, or set max_pixels in judge.settings"


@dataclass
class OmniJudge:
    """Answers checks with an omni thinker.

    Args:
        params: The judge's part of params.yaml.
        model: Its name.
        settings: Of the model.
        checkpoint: Its files, which are loaded on first use.
    """

    params: OmniJudgeParams
    model: str
    settings: "OmniSettings"
    checkpoint: "Located"

    @classmethod
    def located(cls, params: OmniJudgeParams) -> Self:
        """With the checkpoint on disk, downloaded from the Hub if needed.

        Raises:
            MmaBenchError: The checkpoint is not available, or a setting cannot be used.
        """
        from mma_bench.errors import ConfigError
        from mma_bench.models.omni.engine import OmniSettings
        from mma_bench.models.omni.load import locate

        model, settings = engine_settings(params, "transformers", OmniSettings)
        if settings.adapter is not None:
            raise ConfigError("judge.settings: a judge takes no adapter", hint="remove adapter from the settings")
        return cls(params, model, settings, locate(settings.checkpoint, settings.revision, "config.json"))

    @property
    def name(self) -> str:
        return f"omni ({self.model})"

    @cached_property
    def revision(self) -> str:
        settings = self.settings.model_dump(exclude={"checkpoint", "revision", "device_map", "fps", "max_frames"})
        return fingerprint(self.checkpoint.revision, settings, rules_of(self.params))[:16]

    def knows(self, modality: Modality, class_name: str) -> bool:  # noqa: ARG002 (every judge takes them)
        """A language model can be asked about any class."""
        return True

    def ask(self, view: View, modality: Modality, class_name: str) -> Verdict:
        require_modality(view, modality)
        question = judge_question(modality, class_name)
        prompt = Prompt("check", question, options=(*YES, *NO), max_new_tokens=MAX_NEW_TOKENS)
        words, yes, no = self._model.answer(self._model.head(view), prompt)
        return answer(self.params, modality, words, probability_of_yes(yes, no))

    @cached_property
    def _model(self) -> "_Model":
        from mma_bench.models.omni.engine import pixel_bounds
        from mma_bench.models.omni.inputs import InputMaker
        from mma_bench.models.omni.load import load_thinker
        from mma_bench.models.omni.prefix import Reader

        settings = self.settings
        thinker, processor = load_thinker(
            self.checkpoint, dtype=settings.dtype, device_map=settings.device_map, attention=settings.attention
        )
        size = pixel_bounds(settings.min_pixels, settings.max_pixels, processor.videos_kwargs["size"])
        inputs = InputMaker(processor, system=settings.system, size=size)
        return _Model(self.params.frames, inputs, Reader(thinker, end=[processor.tokenizer.eos_token_id]))


class _Model:
    """The loaded thinker, and the last view that it encoded."""

    def __init__(self, frames: int, inputs: "InputMaker", reader: "Reader") -> None:
        self._frames, self._inputs, self._reader = frames, inputs, reader
        self._latest: tuple[View, Prefix] | None = None

    def head(self, view: View) -> "Prefix":
        """The view's media, encoded and prefilled; reused for the same view object."""
        from mma_bench.models.omni.media import Media
        from mma_bench.models.omni.memory import or_none

        if self._latest is not None and self._latest[0] is view:
            return self._latest[1]
        self._latest = None  # frees the other view's cache first
        frames = pictures(view, self._frames)
        clip = self._inputs.clip(Media(frames, len(frames) / view.duration_s, view.audio))
        if clip.video_tokens == 0 or (clip.audio_tokens > 0) != (view.audio is not None):
            raise InvalidInput(
                "wrong_modalities",
                f"the model would get {clip.audio_tokens} audio tokens and {clip.video_tokens} video tokens",
            )
        head = or_none(lambda: self._reader.read_clip(clip))
        if head is None:
            raise Retryable("out_of_memory", f"{clip.video_tokens} video tokens do not fit; {_REDUCE}")
        self._latest = view, head
        return head

    def answer(self, head: "Prefix", prompt: Prompt) -> tuple[str, list[float], list[float]]:
        """The greedy answer, and the log-probabilities that an answer begins with each spelling of yes and no."""
        from mma_bench.models.omni.memory import or_none

        inputs = self._inputs.prompt(prompt)

        def work() -> tuple[str, list[float]]:
            read = self._reader.read(head, inputs.ids[:-1])
            written = self._reader.generate(read, inputs.ids[-1], max_new_tokens=prompt.max_new_tokens)
            # Without the end token: "Yes, it is." is a yes as well.
            spellings = [option[:-1] for option in inputs.options]
            return self._inputs.text(written.ids), self._reader.score(read, inputs.ids[-1], spellings)

        done = or_none(work)
        if done is None:
            raise Retryable("out_of_memory", f"{len(head.ids)} tokens of media and a question do not fit; {_REDUCE}")
        words, logprobs = done
        return words, logprobs[: len(YES)], logprobs[len(YES) :]
