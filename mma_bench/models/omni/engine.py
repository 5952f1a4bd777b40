"""The `transformers` engine: Qwen2.5-Omni and Qwen3-Omni thinkers, with or without a LoRA adapter.

In: clips with their prompts. Out: answers equal to those of one plain `generate` call per prompt, and log-likelihoods
equal to those of one plain forward pass per option, at a fraction of the cost: media are decoded and encoded once per
clip, and the prefix of all questions is prefilled once (`prefix`).

Decisions:

* Audio is interleaved with the video, as in training, if and only if the task `hears` it; this is checked for each
  clip by counting its tokens.
* A log-likelihood is that of the option as the whole answer, including the end-of-turn token: without it `Bird` would
  profit from every longer option that begins with it. Its prior, after the same conversation without the clip, is
  computed once for each distinct prompt.
* Clips and prompts are computed sequentially, never padded into one batch, so neither batch size nor order can change
  an answer. On out-of-memory, the work is retried in halves (chunks of a long prompt, groups of options); if that does
  not help, the prompt fails with an error and is never counted as wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from mma_bench.config import Count, Namespace, Positive
from mma_bench.errors import InvalidInput
from mma_bench.media import SAMPLE_RATE
from mma_bench.models.ahead import ahead
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.models.omni.inputs import ClipInputs, InputMaker, PromptInputs, check_modalities
from mma_bench.models.omni.load import AdapterError, LoadedAdapter, load_adapter, load_thinker, locate
from mma_bench.models.omni.media import Media, decode
from mma_bench.models.omni.memory import or_none, release
from mma_bench.models.omni.prefix import Prefix, Reader
from mma_bench.models.thoughts import without_thoughts

Item = TypeVar("Item")
Result = TypeVar("Result")


class OmniSettings(Namespace):
    """Settings of the engine; frozen, unknown keys are rejected.

    `fps`, `max_frames`, `min_pixels` and `max_pixels` limit the video input; None uses the limit of the checkpoint's
    processor (128·28² to 768·28² pixels a frame for Qwen2.5-Omni). Pixels are counted after resizing.
    """

    checkpoint: str  # a folder or a Hub ID
    revision: str | None = None  # branch, tag or commit on the Hub
    adapter: str | None = None  # a folder or a Hub ID
    adapter_revision: str | None = None
    fps: Positive = 2.0
    max_frames: Annotated[int, Field(ge=2)] | None = None
    min_pixels: Count | None = None
    max_pixels: Count | None = None
    system: str | None = None  # system prompt; None uses the chat template's default
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    device_map: str | None = None  # cpu, cuda, cuda:1, auto …; None uses the GPU if available
    attention: Literal["sdpa", "eager"] = "sdpa"  # sdpa uses flash kernels where possible
    max_new_tokens: Count | None = None  # in place of each prompt's own limit, for models that think first
    opens_thoughts: bool = False  # the chat template ends with an opening <think>

    @model_validator(mode="after")
    def _is_consistent(self) -> "OmniSettings":
        if self.opens_thoughts and self.max_new_tokens is None:
            raise ValueError("set max_new_tokens too: thoughts count as generated tokens")
        if self.min_pixels is not None and self.max_pixels is not None and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
        return self


@dataclass(frozen=True)
class PreparedClip:
    """A preprocessed clip: tensors of its media and token ids of its prompts, or the error."""

    task: ClipTask
    clip: ClipInputs | InvalidInput | None = field(repr=False)  # None: the text alone
    prompts: tuple[PromptInputs | InvalidInput, ...] = field(repr=False)


class OmniEngine:
    """A thinker as an `Engine`.

    Args:
        settings: The checkpoint and the input limits.
        name: The model's name in predictions; None uses the checkpoint's name.
        loaded: A thinker in eval mode and its processor that are in memory already, as `load_thinker` returns them;
            `checkpoint` and `revision` of the settings are then only names.

    Raises:
        MmaBenchError: The checkpoint or adapter is missing, unsupported or incomplete, or the adapter has no effect.
    """

    def __init__(
        self, settings: OmniSettings, *, name: str | None = None, loaded: tuple[Any, Any] | None = None
    ) -> None:
        if loaded is None:
            checkpoint = locate(settings.checkpoint, settings.revision, "config.json")
            loaded = load_thinker(
                checkpoint, dtype=settings.dtype, device_map=settings.device_map, attention=settings.attention
            )
            self.revision = checkpoint.revision
        else:
            self.revision = settings.revision or "in memory"
        thinker, self._processor = loaded
        adapter = settings.adapter and locate(settings.adapter, settings.adapter_revision, "adapter_config.json")
        self.name = name or settings.checkpoint
        self.adapter = settings.adapter
        self.adapter_revision = adapter.revision if adapter else None
        self._settings = settings
        size = pixel_bounds(settings.min_pixels, settings.max_pixels, self._processor.videos_kwargs["size"])
        self._inputs = InputMaker(self._processor, system=settings.system, size=size)
        self._on_gpu = thinker.get_input_embeddings().weight.is_cuda
        self._most_tokens = int(thinker.config.get_text_config().max_position_embeddings)
        self._reader = Reader(thinker, end=[self._processor.tokenizer.eos_token_id])
        self._priors: dict[tuple[object, ...], list[float]] = {}
        self.loaded_adapter = load_adapter(thinker, adapter) if adapter else None
        if self.loaded_adapter:
            self._check_effect(self.loaded_adapter)

    def probe(self) -> list[float]:
        """Log-likelihoods of a few answers about a noise clip: a fingerprint of the model."""
        noise = np.random.default_rng(0)
        media = Media(
            noise.integers(0, 256, (4, 56, 56, 3), np.uint8),
            2.0,
            noise.uniform(-1, 1, 2 * SAMPLE_RATE).astype(np.float32),
        )
        clip = self._inputs.clip(media)
        prompt = self._inputs.prompt(Prompt("probe", "What is this?", options=("A", "B", "Cat", "Dog")))
        read = self._reader.read(self._reader.read_clip(clip), prompt.ids[:-1])
        return self._reader.score(read, prompt.ids[-1], prompt.options)

    def _check_effect(self, loaded: LoadedAdapter) -> None:
        """Check that the adapter changes the model's outputs."""
        with loaded.model.disable_adapter():
            without = self.probe()
        adapted = self.probe()
        if adapted == without or not np.isfinite(adapted).all():
            why = "answers are the same without it" if adapted == without else "answers are not numbers with it"
            raise AdapterError(
                "effect",
                self.adapter,
                f"it has no useful effect: {why}",
                hint="use the adapter of a finished training run, and the base model that it was trained on",
            )

    def prepare(self, task: ClipTask) -> PreparedClip:
        """Decode and preprocess a clip and tokenise its prompts; may run on another thread."""
        if not task.sees:
            alone = (replace(prompt, prior=True) for prompt in task.prompts)  # for the ids without a clip
            return PreparedClip(task, None, tuple(_or_refusal(self._inputs.prompt, prompt) for prompt in alone))
        prompts = tuple(_or_refusal(self._inputs.prompt, prompt) for prompt in task.prompts)
        return PreparedClip(task, _or_refusal(self._clip, task), prompts)

    def _clip(self, task: ClipTask) -> ClipInputs:
        settings = self._settings
        media = decode(task, self._processor.video_processor, fps=settings.fps, max_frames=settings.max_frames)
        clip = self._inputs.clip(media)
        check_modalities(task, clip)
        # Here rather than where it is copied, since allocating such memory takes time.
        return clip.pinned() if self._on_gpu else clip

    def answer(self, tasks: Sequence[ClipTask | PreparedClip]) -> list[list[Answer]]:
        """Answers in the order of the tasks and their prompts; unprepared clips are prepared in the background."""

        def ready(task: ClipTask | PreparedClip) -> PreparedClip:
            return task if isinstance(task, PreparedClip) else self.prepare(task)

        return [self._answers(prepared) for prepared in ahead(ready, tasks)]

    def _answers(self, prepared: PreparedClip) -> list[Answer]:
        task, clip = prepared.task, prepared.clip
        if clip is None:
            pairs = zip(task.prompts, prepared.prompts, strict=True)
            return [self._without_clip(task, prompt, inputs) for prompt, inputs in pairs]
        if isinstance(clip, InvalidInput):
            return [_failed(task, prompt, clip) for prompt in task.prompts]
        # Before the clip is in memory.
        priors = {
            prompt.key: self._prior(prompt, inputs)
            for prompt, inputs in zip(task.prompts, prepared.prompts, strict=True)
            if isinstance(inputs, PromptInputs) and inputs.alone
        }
        head = or_none(lambda: self._reader.read_clip(clip))
        if head is None:
            why = f"out of memory with {clip.video_tokens} video tokens; hint: lower max_pixels, max_frames or fps"
            return [_failed(task, prompt, why) for prompt in task.prompts]
        # Prompts with the same text, e.g. one both generated and scored, are prefilled once.
        answers: dict[int, Answer] = {}
        alike: dict[tuple[int, ...], dict[int, PromptInputs]] = {}
        for index, (prompt, inputs) in enumerate(zip(task.prompts, prepared.prompts, strict=True)):
            if isinstance(inputs, InvalidInput):
                answers[index] = _failed(task, prompt, inputs)
            elif (length := len(head.ids) + len(inputs.ids) + self._limit(prompt)) > self._most_tokens:
                why = f"prompt and answer take up to {length} tokens, the model's context has {self._most_tokens}"
                answers[index] = _failed(task, prompt, why)
            else:
                alike.setdefault(inputs.ids, {})[index] = inputs
        for ids, members in alike.items():
            read = or_none(partial(self._reader.read, head, ids[:-1]))
            for index, inputs in members.items():
                prompt = task.prompts[index]
                prior = priors.get(prompt.key)
                answer = None if read is None else or_none(partial(self._answer, clip, read, prompt, inputs, prior))
                why = f"out of memory with {len(head.ids) + len(ids)} prompt tokens; hint: lower max_pixels or fps"
                answers[index] = answer or _failed(task, prompt, why)
        return [answers[index] for index in range(len(task.prompts))]

    def _prior(self, prompt: Prompt, inputs: PromptInputs) -> list[float] | None:
        """Log-likelihoods of the options without the clip; None on out-of-memory."""
        key = prompt.text, prompt.options
        if key not in self._priors:

            def score() -> list[float]:
                read = self._reader.read(self._reader.nothing(), inputs.alone[:-1])
                return self._reader.score(read, inputs.alone[-1], inputs.options)

            if (scores := or_none(score)) is None:
                return None
            self._priors[key] = scores
        return self._priors[key]

    def _without_clip(self, task: ClipTask, prompt: Prompt, inputs: PromptInputs | InvalidInput) -> Answer:
        """Answer one prompt whose text is all that the model gets."""
        if isinstance(inputs, InvalidInput):
            return _failed(task, prompt, inputs)
        ids = inputs.alone
        if (length := len(ids) + self._limit(prompt)) > self._most_tokens:
            why = f"prompt and answer take up to {length} tokens, the model's context has {self._most_tokens}"
            return _failed(task, prompt, why)
        read = or_none(lambda: self._reader.read(self._reader.nothing(), ids[:-1]))
        given = replace(inputs, ids=ids)
        answer = None if read is None else or_none(lambda: self._answer(None, read, prompt, given, None))
        return answer or _failed(task, prompt, f"out of memory with {len(ids)} prompt tokens")

    def _answer(
        self, clip: ClipInputs | None, read: Prefix, prompt: Prompt, inputs: PromptInputs, prior: list[float] | None
    ) -> Answer:
        """Answer one prompt; `read` contains all its tokens but the last."""
        usage: dict[str, Any] = {
            "prompt_tokens": len(read.ids) + 1,
            "text_tokens": inputs.text_tokens,
            "audio_tokens": clip.audio_tokens if clip else 0,
            "video_tokens": clip.video_tokens if clip else 0,
        }
        if prompt.mode == "score":
            scores = self._reader.score(read, inputs.ids[-1], inputs.options)
            usage |= {"new_tokens": 0, "scored_tokens": sum(map(len, inputs.options))}
            return Answer(
                prompt.key,
                logprobs=dict(zip(prompt.options, scores, strict=True)),
                option_tokens=dict(zip(prompt.options, map(len, inputs.options), strict=True)),
                prior_logprobs=None if prior is None else dict(zip(prompt.options, prior, strict=True)),
                usage=usage,
            )
        written = self._reader.generate(
            read,
            inputs.ids[-1],
            max_new_tokens=self._limit(prompt),
            temperature=prompt.temperature,
            seed=prompt.seed,
        )
        usage |= {"new_tokens": len(written.ids), "finish_reason": "stop" if written.ended else "length"}
        text = self._inputs.text(written.ids)
        return without_thoughts(prompt.key, text, usage, opened=self._settings.opens_thoughts)

    def _limit(self, prompt: Prompt) -> int:
        """The largest number of generated tokens."""
        return self._settings.max_new_tokens or prompt.max_new_tokens

    def close(self) -> None:
        """Free the model's memory."""
        del self._reader
        self.loaded_adapter = None
        release()


def pixel_bounds(least: int | None, most: int | None, default: Mapping[str, int]) -> dict[str, int]:
    """Pixel limits per frame as the video processor names them; setting one adjusts the other's default."""
    shortest = min(default["shortest_edge"], most or default["shortest_edge"]) if least is None else least
    longest = max(default["longest_edge"], shortest) if most is None else most
    return {"shortest_edge": shortest, "longest_edge": longest}


def _or_refusal(work: Callable[[Item], Result], item: Item) -> Result | InvalidInput:
    try:
        return work(item)
    except InvalidInput as error:
        return error


def _failed(task: ClipTask, prompt: Prompt, why: object) -> Answer:
    return Answer(prompt.key, error=f"clip {task.id}: {why}")
