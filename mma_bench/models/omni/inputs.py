"""Converts a clip and its prompts to token ids and tensors with the checkpoint's own chat template and processor.

A conversation is split at two fixed places: the head ends with the token that ends the video, and the closing starts
with the token that ends the user's turn. Both boundaries are special tokens, across which no tokenizer merges, so head
+ text + closing has the ids of the whole conversation.
"""

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch

from mma_bench.errors import InvalidInput, MmaBenchError
from mma_bench.media import SAMPLE_RATE
from mma_bench.models.contracts import ClipTask, Prompt
from mma_bench.models.omni.media import Media

_TEXT = "mma-bench-text"  # placeholder for the prompt while the template is split


@dataclass(frozen=True)
class ClipInputs:
    """Inputs shared by all prompts of a clip.

    Attributes:
        tensors: Keyword arguments of the model; `input_ids` is int64 [1, length]. Empty without a clip.
        hears: Whether audio is interleaved with the video.
        audio_tokens: Number of audio placeholders among the ids.
        video_tokens: Number of video placeholders among the ids.
    """

    tensors: Mapping[str, torch.Tensor] = field(repr=False)
    hears: bool
    audio_tokens: int
    video_tokens: int

    @property
    def ids(self) -> tuple[int, ...]:
        """The head's token ids; none without a clip."""
        return tuple(self.tensors["input_ids"][0].tolist()) if self.tensors else ()

    def pinned(self) -> "ClipInputs":
        """The same in page-locked memory, from which a GPU copies without making the host wait; needs a GPU."""
        return replace(self, tensors={name: tensor.pin_memory() for name, tensor in self.tensors.items()})


NO_CLIP: Final = ClipInputs({}, hears=False, audio_tokens=0, video_tokens=0)


@dataclass(frozen=True)
class PromptInputs:
    """A prompt's token ids.

    Attributes:
        ids: After the head, up to the start of the answer; without a clip, the whole conversation up to there.
        options: Of each option, with the end token.
        text_tokens: Number of `ids` that the prompt's text has.
        alone: The whole conversation up to the start of the answer without the clip; empty unless the prompt sets
            `prior`.
    """

    ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]
    text_tokens: int
    alone: tuple[int, ...] = ()


class InputMaker:
    """Builds inputs on any thread, and decodes answers on one other thread.

    Args:
        processor: The checkpoint's processor.
        system: System prompt; None uses the chat template's default.
        size: Pixel limits per frame, in the video processor's terms `shortest_edge` and `longest_edge`; empty uses the
            processor's defaults.

    Raises:
        MmaBenchError: The chat template does not put the video right before the text.
    """

    def __init__(self, processor: Any, *, system: str | None, size: Mapping[str, int]) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._size = dict(size)
        self._special = frozenset(self._tokenizer.all_special_ids) | frozenset(self._tokenizer.added_tokens_decoder)
        self._head, self._closing = self._cut_template(system)
        self._head_alone = self._conversation(system).partition(_TEXT)[0]
        # Fast tokenizers reject concurrent calls from two threads. Answers are decoded by a copy, so that the model
        # does not wait for a clip that is being processed.
        self._lock = threading.Lock()
        self._decoder = copy.deepcopy(self._tokenizer)

    def _cut_template(self, system: str | None) -> tuple[str, tuple[int, ...]]:
        whole = self._conversation(system, {"type": "video", "video": ""})
        head, found, closing = whole.partition(_TEXT)
        ids = self._ids(closing)
        if not (found and head.endswith(self._processor.vision_eos_token) and ids and ids[0] in self._special):
            raise MmaBenchError(
                f"the chat template does not put the video right before the text: {whole!r}",
                hint="use a Qwen2.5-Omni or Qwen3-Omni checkpoint with its own chat template",
            )
        return head, ids

    def _conversation(self, system: str | None, *media: dict[str, str]) -> str:
        """The chat template, with the placeholder as the user's text."""
        user = {"role": "user", "content": [*media, {"type": "text", "text": _TEXT}]}
        turns = [user] if system is None else [{"role": "system", "content": system}, user]
        return str(self._processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def clip(self, media: Media) -> ClipInputs:
        """Tensors of a clip; audio is interleaved with the video, time-aligned with the frames.

        Raises:
            InvalidInput: `not_processable` if the processor rejects the media.
        """
        sound: dict[str, Any] = {}
        if media.sound is not None:
            sound = {"audio": [media.sound], "audio_from_video_indices": [0], "load_audio_from_video": True}
            sound["audio_kwargs"] = {"sampling_rate": SAMPLE_RATE, **self._audio_length(len(media.sound))}
        videos = {"fps": media.fps, "do_sample_frames": False, **({"size": self._size} if self._size else {})}
        try:
            with self._lock:
                batch = self._processor(
                    text=[self._head], videos=[media.frames], videos_kwargs=videos, return_tensors="pt", **sound
                )
        except ValueError as error:
            raise InvalidInput("not_processable", str(error)) from None
        ids = batch["input_ids"]
        audio_tokens = int((ids == self._processor.audio_token_id).sum())
        video_tokens = int((ids == self._processor.video_token_id).sum())
        return ClipInputs(dict(batch), media.sound is not None, audio_tokens, video_tokens)

    def _audio_length(self, samples: int) -> dict[str, int]:
        """Qwen2.5-Omni's processor pads all audio to 300 s; the padding is masked, so less of it suffices.

        One window of padding stays, because the last spectrogram frames overlap it.
        """
        extractor = self._processor.feature_extractor
        if "padding" in getattr(self._processor, "audio_kwargs", {}):
            return {}  # Qwen3-Omni's does not
        padded = samples + extractor.n_fft
        padded += -padded % extractor.hop_length
        return {"max_length": min(padded, extractor.n_samples)}

    def prompt(self, prompt: Prompt, *, text_alone: bool = False) -> PromptInputs:
        """Token ids of a prompt: text, closing; and of its options.

        Args:
            prompt: The prompt.
            text_alone: Whether it is asked without a clip.

        Raises:
            InvalidInput: `special_tokens` if a text contains one of the model's special tokens.
        """
        with self._lock:
            text = self._plain(prompt.text)
            end = (int(self._tokenizer.eos_token_id),)
            options = tuple(self._plain(option) + end for option in prompt.options)
            # Without the special token that ends a video, head and text have to be tokenised together.
            alone = self._ids(self._head_alone + prompt.text) + self._closing if prompt.prior or text_alone else ()
        return PromptInputs(
            alone if text_alone else text + self._closing, options, len(text), alone if prompt.prior else ()
        )

    def _plain(self, text: str) -> tuple[int, ...]:
        ids = self._ids(text)
        if bad := self._special.intersection(ids):
            names = ", ".join(repr(name) for name in self._tokenizer.convert_ids_to_tokens(sorted(bad)))
            raise InvalidInput(
                "special_tokens", f"the text {text[:80]!r} contains special tokens of the model: {names}"
            )
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of generated tokens, without special tokens."""
        return str(self._decoder.decode(list(ids), skip_special_tokens=True))


def check_modalities(task: ClipTask, inputs: ClipInputs) -> None:
    """Check that the model gets video, and audio if and only if it is to hear the clip.

    Raises:
        InvalidInput: `wrong_modalities`; names the clip, the condition and the counts.
    """
    if inputs.video_tokens > 0 and (inputs.audio_tokens > 0) == task.hears == inputs.hears:
        return
    wanted = "some" if task.hears else "no"
    raise InvalidInput(
        "wrong_modalities",
        f"clip {task.id} under {task.condition} must have {wanted} audio tokens and some video tokens, but has "
        f"{inputs.audio_tokens} and {inputs.video_tokens}",
    )
