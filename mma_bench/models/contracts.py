"""What passes between the parts of an evaluation: a clip and its prompts go to an engine, answers come back.

An engine gets all prompts of one clip under one condition at once, so that media are decoded and encoded once and the
prefix that the prompts share is computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from mma_bench.errors import MmaBenchError
from mma_bench.schema import Modality

Mode: TypeAlias = Literal["generate", "score"]
MODES: Final[frozenset[Mode]] = frozenset({"generate", "score"})


@dataclass(frozen=True)
class Prompt:
    """One question about one clip.

    Attributes:
        key: Unique among the prompts of the clip, e.g. `audio.forced_choice.0`; its parts are fields of their own.
        text: The prompt, without the media, which always come before it.
        mode: `generate` asks for text; `score` asks for the log-likelihood of each option as the whole answer.
        options: The classes that the question offers, in order; what `score` scores.
        max_new_tokens: Bound on the generated answer.
        temperature: 0 is greedy.
        seed: For sampling.
        context_tokens: So many random tokens of the model's own vocabulary follow the text (section 4.1.4).
        context_seed: Seed of those tokens.
        question: The modality that is asked about; None where a prompt is not about one. For baselines alone.
        protocol: How it is asked (`evaluation.protocols.Protocol`); None outside the benchmark. No engine reads it.
        top_logprobs: So many of the likeliest first tokens of a generated answer are to come with it, 0 to 20.
    """

    key: str
    text: str
    mode: Mode = "generate"
    options: tuple[str, ...] = ()
    max_new_tokens: int = 32
    temperature: float = 0.0
    seed: int = 0
    context_tokens: int = 0
    context_seed: int = 0
    question: Modality | None = None
    protocol: str | None = None
    top_logprobs: int = 0


@dataclass(frozen=True)
class ClipTask:
    """One clip under one condition, with its prompts.

    Attributes:
        id: The dataset's row id.
        video: The bytes of an MP4 file (H.264 + AAC); always has an audio track, silent in `audio_removed`.
        condition: The dataset's config. Models get the silent track of `audio_removed` as no audio at all, and the
            black frames of `frames_zeroed` as they are (section 4.1.1).
        visual_class: Ground truth, for the baseline that may know it (`oracle`); no model reads it.
        audio_class: Likewise.
        prompts: All questions about this clip.
    """

    id: str
    video: bytes = field(repr=False)
    condition: str
    visual_class: str
    audio_class: str
    prompts: tuple[Prompt, ...]

    @property
    def hears(self) -> bool:
        """Whether the model must get audio tokens."""
        return self.condition != "audio_removed"


@dataclass(frozen=True)
class Answer:
    """One answer, or why there is none.

    Attributes:
        key: The prompt's key.
        text: The raw answer; None for `score` and for failures.
        logprobs: Log-likelihood (natural, summed over the option's tokens) by option; None for `generate`.
        first_token_logprobs: Natural log-probability by token, as the model spells it, of the likeliest first tokens;
            None unless the prompt has `top_logprobs` and the engine gives them.
        error: What failed, with what to do where there is one; None if nothing did.
        usage: Counts and the like: `prompt_tokens`, `audio_tokens`, `video_tokens`, `new_tokens`, `finish_reason`.
    """

    key: str
    text: str | None = None
    logprobs: dict[str, float] | None = None
    first_token_logprobs: dict[str, float] | None = None
    error: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)


class Stopped(MmaBenchError):
    """An engine cannot go on (no access, budget spent) after it has got some answers, which must not be lost.

    Args:
        message: Why.
        answers: What there is, in the order of the tasks; prompts without an answer are left out.
        hint: As in every `MmaBenchError`.
    """

    def __init__(self, message: str, answers: list[list[Answer]], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.answers = answers


class Engine(Protocol):
    """A model under test.

    `name` and `revision` identify it in every prediction; `adapter` and `adapter_revision` are None without an adapter.
    """

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def adapter(self) -> str | None: ...
    @property
    def adapter_revision(self) -> str | None: ...

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """Answers in the order of tasks and their prompts. The result for a task does not depend on the others.

        An error of one prompt is that prompt's `Answer.error`; an error of the engine as a whole (no such model, no
        access, budget spent) is raised as a `MmaBenchError`, as `Stopped` if there are answers to keep.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds; called once."""
        ...


@runtime_checkable
class PreparesAhead(Protocol):
    """An engine whose media can be decoded while it works on other clips."""

    def prepare(self, task: ClipTask) -> Any:
        """What `answer` takes in the task's place; called in another thread."""
        ...


def modes_of(engine: Engine) -> frozenset[Mode]:
    """The modes that an engine answers: its attribute `modes`; one without it answers both.

    A server that gives no log-likelihoods of a prompt's tokens answers `generate` alone.
    """
    modes: frozenset[Mode] = getattr(engine, "modes", MODES)
    return modes
