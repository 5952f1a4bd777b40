"""The interface of engines: a clip and its prompts go in, answers come out.

An engine gets all prompts of one clip under one condition at once, so that media are decoded and encoded once and the
shared prompt prefix is computed once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from mma_bench.errors import MmaBenchError
from mma_bench.schema import Modality, Question

Mode: TypeAlias = Literal["generate", "score"]
MODES: Final[frozenset[Mode]] = frozenset({"generate", "score"})
# Settings of engines that do not change the answers: they do not identify a run, which may be resumed with others.
OPERATIONAL: Final = frozenset(
    {
        "api_key_env",
        "backoff_s",
        "base_url",
        "concurrency",
        "max_failures",
        "max_requests",
        "max_retries",
        "max_tokens",
        "start_timeout_s",
        "stream",
        "timeout_s",
    }
)


@dataclass(frozen=True)
class Prompt:
    """One question about one clip.

    Attributes:
        key: Unique among the prompts of the clip, e.g. `audio.forced_choice.0`; its parts are separate fields.
        text: The whole prompt text, the same for every engine; the media always precede it.
        mode: `generate` asks for text; `score` asks for the log-likelihood of each option as the whole answer.
        options: The offered classes, in order; scored in the mode `score`.
        max_new_tokens: Limit on the generated answer.
        temperature: 0 is greedy.
        seed: For sampling.
        question: The queried modality, "text" or "time"; None if there is none. Read by baselines, and by the local
            engine with a remedy.
        protocol: The protocol (`evaluation.protocols.Protocol`); None outside the benchmark. Engines ignore it.
        prior: Also score the options after the same text without the clip; in the mode `score`.
        top_logprobs: Number of most likely first tokens to return with a generated answer, 0 to 20.
    """

    key: str
    text: str
    mode: Mode = "generate"
    options: tuple[str, ...] = ()
    max_new_tokens: int = 32
    temperature: float = 0.0
    seed: int = 0
    question: Question | None = None
    protocol: str | None = None
    prior: bool = False
    top_logprobs: int = 0


@dataclass(frozen=True)
class ClipTask:
    """One clip under one condition, with its prompts.

    Attributes:
        id: The dataset's row id.
        video: The bytes of an MP4 file (H.264 + AAC); always has an audio track, silent in `audio_removed`.
        condition: The condition it is asked under. In `audio_removed`, models hear the silent track; in
            `frames_zeroed`, they see the black frames (section 4.1.1).
        visual_class: Ground truth, for the `oracle` baseline; models ignore it.
        audio_class: Likewise.
        prompts: All questions about this clip.
        hears: Whether the model gets the audio track; if not, it gets no audio tokens at all.
        text_alone: Whether the model gets no clip, but the text of the prompts alone; then `video` is empty and `hears`
            is false. An engine that cannot ask without a clip answers `unsupported`.
        truths: Right answers of prompts about neither picture nor sound, by key, for the `oracle` baseline.
    """

    id: str
    video: bytes = field(repr=False)
    condition: str
    visual_class: str
    audio_class: str
    prompts: tuple[Prompt, ...]
    hears: bool = True
    text_alone: bool = False
    truths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """One answer, or the reason for its absence.

    Attributes:
        key: The prompt's key.
        text: The raw output; None for `score` and for failures.
        logprobs: Log-likelihood (natural, summed over the option's tokens) by option; None for `generate`.
        option_tokens: Number of summed tokens by option; None if unknown.
        prior_logprobs: As `logprobs`, after the same text without the clip; None unless the prompt sets `prior` and the
            engine supports it.
        first_token_logprobs: Natural log-probability by token string of the most likely first tokens; None unless the
            prompt sets `top_logprobs` and the engine supports it.
        error: What failed, with a hint if there is one; None on success.
        usage: Counts and metadata: `prompt_tokens` (all of the input, media included), `text_tokens` (those of the
            prompt's text alone), `audio_tokens`, `video_tokens`, `new_tokens`, `finish_reason`, `fed`; of a server also
            `served_model`, `thought_tokens`, `thoughts` (the text), `truncated` (true if the answer reached its token
            limit) and, without an answer, the beginning of its `reply`.
        unsupported: Why the model cannot take the prompt; None if it can.
        refused: Why the model or its server refuses an answer; None if it does not.
    """

    key: str
    text: str | None = None
    logprobs: dict[str, float] | None = None
    option_tokens: dict[str, int] | None = None
    prior_logprobs: dict[str, float] | None = None
    first_token_logprobs: dict[str, float] | None = None
    error: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    unsupported: str | None = None
    refused: str | None = None


class Stopped(MmaBenchError):
    """An engine cannot continue (no access, budget exhausted); carries the answers obtained so far.

    Args:
        message: The reason.
        answers: The answers so far, in task order; prompts without an answer are omitted.
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
        """Answers in the order of the tasks and their prompts. The result for a task does not depend on the others.

        A failed prompt sets its `Answer.error`; an engine-wide failure (unknown model, no access, budget exhausted)
        raises `MmaBenchError`, or `Stopped` if there are answers to keep.
        """
        ...

    def close(self) -> None:
        """Release the engine's resources; called once."""
        ...


@runtime_checkable
class PreparesAhead(Protocol):
    """An engine that can decode media while it works on other clips."""

    def prepare(self, task: ClipTask) -> Any:
        """The prepared input that `answer` accepts in place of the task; called in another thread."""
        ...


@runtime_checkable
class AnswersEach(Protocol):
    """An engine that has several prompts in progress and gives each clip's answers when it has them."""

    def answer_each(self, tasks: Iterable[ClipTask]) -> Iterator[tuple[ClipTask, list[Answer]]]:
        """The tasks with their answers, in any order; `tasks` is consumed as far as there is room for more.

        Raises:
            Stopped: As `Engine.answer`, after the answers obtained so far, and carrying none.
        """
        ...


@runtime_checkable
class Served(Protocol):
    """An engine whose model is behind a server, which may be down, or not give the media to its model."""

    @property
    def name(self) -> str: ...

    def check(self) -> list[str]:
        """See that the server answers a short prompt; returns warnings, e.g. that it lists other models.

        Raises:
            MmaBenchError: It does not; with the server's words and a hint.
        """
        ...

    def ask_once(self, task: ClipTask | None, prompt: Prompt) -> Answer:
        """One answer outside the run's budget; without a clip if `task` is None.

        Raises:
            MmaBenchError: The server does not answer; with its words and a hint.
            InvalidInput: The clip cannot be read.
        """
        ...


@runtime_checkable
class CountsAnswers(Protocol):
    """A baseline that depends on how often each class is right, as `majority` does."""

    def count(self, condition: str, answers: Mapping[Modality, Mapping[str, int]]) -> None:
        """The number of clips by right class, by queried modality; called before the condition's clips are asked."""
        ...


def modes_of(engine: Engine) -> frozenset[Mode]:
    """The modes that an engine supports: its attribute `modes`, by default both.

    A server without log-likelihoods of prompt tokens supports `generate` only.
    """
    modes: frozenset[Mode] = getattr(engine, "modes", MODES)
    return modes
