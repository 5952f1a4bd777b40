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
* With a remedy (`remedies`), a prompt is computed in the remedy's branches, and prompts share the clip that their
  branches read alike.
* Clips and prompts are computed sequentially, never padded into one batch, so neither batch size nor order can change
  an answer. On out-of-memory, the work is retried in halves (chunks of a long prompt, groups of options); if that does
  not help, the prompt fails with an error and is never counted as wrong.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from mma_bench.config import Count, Positive
from mma_bench.errors import InvalidInput
from mma_bench.media import SAMPLE_RATE
from mma_bench.models.ahead import ahead
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.models.omni.inputs import NO_CLIP, ClipInputs, InputMaker, PromptInputs, check_modalities
from mma_bench.models.omni.load import AdapterError, LoadedAdapter, load_adapter, load_thinker, locate
from mma_bench.models.omni.media import Media, decode
from mma_bench.models.omni.memory import or_none, release
from mma_bench.models.omni.prefix import Prefix, Reader
from mma_bench.models.omni.remedies import RemedySettings, make_remedy
from mma_bench.models.omni.remedies.branches import Branches
from mma_bench.models.omni.token_groups import group_tokens
from mma_bench.models.thoughts import without_thoughts

Item = TypeVar("Item")
Result = TypeVar("Result")


class OmniSettings(RemedySettings):
    """Settings of the engine, with those of a remedy; frozen, unknown keys are rejected.

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
        if self.remedy is not None and self.attention != "sdpa":
            raise ValueError(f"the remedy {self.remedy} needs attention: sdpa")
        if self.opens_thoughts and self.max_new_tokens is None:
            raise ValueError("set max_new_tokens too: thoughts count as generated tokens")
        if self.min_pixels is not None and self.max_pixels is not None and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
        return self


@dataclass(frozen=True)
class PreparedClip:
    """A preprocessed clip: tensors of its media and token ids of its prompts, or the error."""

    task: ClipTask
    clip: ClipInputs | InvalidInput = field(repr=False)
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
        self._config = thinker.config
        self.remedy = settings.remedy
        self._remedy = make_remedy(settings, thinker)
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
        inputs_of = partial(self._inputs.prompt, text_alone=task.text_alone)
        prompts = tuple(_or_refusal(inputs_of, prompt) for prompt in task.prompts)
        return PreparedClip(task, NO_CLIP if task.text_alone else _or_refusal(self._clip, task), prompts)

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
        if isinstance(clip, InvalidInput):
            return [_failed(task, prompt, clip) for prompt in task.prompts]
        # Before the clip is in memory.
        priors = {
            prompt.key: self._prior(prompt, inputs)
            for prompt, inputs in zip(task.prompts, prepared.prompts, strict=True)
            if isinstance(inputs, PromptInputs) and inputs.alone
        }
        groups = group_tokens(clip.ids, self._config)
        # Prompts with the same text, e.g. one both generated and scored, are prefilled once.
        answers: dict[int, Answer] = {}
        alike: dict[tuple[tuple[int, ...], str | None], dict[int, PromptInputs]] = {}
        for index, (prompt, inputs) in enumerate(zip(task.prompts, prepared.prompts, strict=True)):
            if isinstance(inputs, InvalidInput):
                answers[index] = _failed(task, prompt, inputs)
            elif (length := len(clip.ids) + len(inputs.ids) + self._limit(prompt)) > self._most_tokens:
                why = f"prompt and answer take up to {length} tokens, the model's context has {self._most_tokens}"
                answers[index] = _failed(task, prompt, why)
            else:
                alike.setdefault((inputs.ids, prompt.question), {})[index] = inputs
        heads: dict[Hashable, Prefix | None] = {}
        for (ids, question), members in alike.items():
            try:
                branches = self._remedy.branches(groups, question) if self._remedy else Branches()
            except InvalidInput as error:
                answers |= {index: Answer(task.prompts[index].key, unsupported=str(error)) for index in members}
                continue
            if branches.head not in heads:
                with branches.clip():
                    heads[branches.head] = or_none(lambda: self._reader.read_clip(clip))
            head = heads[branches.head]
            if head is None:
                why = f"out of memory with {clip.video_tokens} video tokens; hint: lower max_pixels, max_frames or fps"
                answers |= {index: _failed(task, task.prompts[index], why) for index in members}
                continue
            with branches.text():
                read = or_none(partial(self._reader.read, head, ids[:-1]))
                for index, inputs in members.items():
                    prompt = task.prompts[index]
                    prior = priors.get(prompt.key)
                    answer = None
                    if read is not None:
                        answer = or_none(partial(self._answer, clip, read, prompt, inputs, prior, branches))
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

    def _answer(
        self,
        clip: ClipInputs,
        read: Prefix,
        prompt: Prompt,
        inputs: PromptInputs,
        prior: list[float] | None,
        branches: Branches,
    ) -> Answer:
        """Answer one prompt; `read` contains all its tokens but the last."""
        usage: dict[str, Any] = {
            "prompt_tokens": len(read.ids) + 1,
            "text_tokens": inputs.text_tokens,
            "audio_tokens": clip.audio_tokens,
            "video_tokens": clip.video_tokens,
        }
        if prompt.mode == "score":
            scores = self._reader.score(read, inputs.ids[-1], inputs.options, combine=branches.scored)
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
            combine=branches.next_token,
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
