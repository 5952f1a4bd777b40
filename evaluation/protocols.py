"""Protocols: how one row of the dataset becomes prompts (section 4.1, appendices J and K).

A protocol asks both questions about a clip, or one of its own, and defines the conditions it applies to: abstention
concerns a missing modality, chain of thought was measured on aligned and misaligned clips (Table 11).

Forced choice and log-likelihood use the dataset's own questions verbatim (`conditions.question_of`), so that a dataset
with an older wording keeps it. The dataset has no questions for the other two protocols; `mma_bench.prompts` provides
them.

With `OptionOrder.SHUFFLED` every protocol lists the same classes in an order drawn for each base clip; nothing else in
the prompt changes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mma_bench import prompts
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.conditions import CONDITIONS, Variant, question_of
from mma_bench.models.contracts import Prompt
from mma_bench.names import choose
from mma_bench.schema import MODALITIES, Condition, Question

QUESTIONS: Final = MODALITIES  # one question per modality


class Protocol(StrEnum):
    """How a question is asked and its answer parsed."""

    FORCED_CHOICE = "forced_choice"  # Figure 5, generated
    LOGLIKELIHOOD = "loglikelihood"  # the same question; the most likely option is the answer, without parsing
    ABSTENTION = "abstention"  # appendix J
    CHAIN_OF_THOUGHT = "chain_of_thought"  # appendix K
    # Beyond the paper:
    WRITTEN = "written"  # what the caption of a three-way conflict says
    SYNCHRONY = "synchrony"  # whether picture and sound are in sync
    OPEN_ANSWER = "open_answer"  # no options; the answer is read into AudioSet's ontology


class OptionOrder(StrEnum):
    """The order in which a prompt lists the classes."""

    SORTED = "sorted"  # the dataset's, which is alphabetical
    SHUFFLED = "shuffled"  # another one for every base clip


_ORDER_SEED: Final = 2511
_CONDITIONS: Final[Mapping[Protocol, frozenset[str]]] = {
    Protocol.FORCED_CHOICE: frozenset(CONDITIONS),
    Protocol.LOGLIKELIHOOD: frozenset(CONDITIONS),
    Protocol.ABSTENTION: frozenset(
        {
            *(Condition.ALIGNED, Condition.MISALIGNED, Condition.AUDIO_REMOVED, Condition.FRAMES_ZEROED),
            Variant.AUDIO_DROPPED,
        }
    ),
    Protocol.CHAIN_OF_THOUGHT: frozenset({Condition.ALIGNED, Condition.MISALIGNED}),
    Protocol.WRITTEN: frozenset({Condition.THREE_WAY}),
    Protocol.SYNCHRONY: frozenset({Condition.ALIGNED, Condition.SHIFTED_AUDIO}),
    # Those whose prompt is the question alone, about a sense that is there.
    Protocol.OPEN_ANSWER: frozenset(
        {
            *(Condition.ALIGNED, Condition.MISALIGNED, Condition.SHIFTED_AUDIO),
            *(Condition.DEGRADED_AUDIO, Condition.MIXED_AUDIO, Condition.DEGRADED_VIDEO),
            *(Variant.NO_CLIP, Variant.OTHER_CLIP),
        }
    ),
}
_QUESTIONS: Final[Mapping[Protocol, tuple[Question, ...]]] = {
    Protocol.WRITTEN: ("text",),
    Protocol.SYNCHRONY: ("time",),
}
_BEYOND: Final = (Protocol.WRITTEN, Protocol.SYNCHRONY, Protocol.OPEN_ANSWER)
_MAX_NEW_TOKENS: Final = {Protocol.CHAIN_OF_THOUGHT: 512}
_SHORT_ANSWER_TOKENS: Final = 32


@dataclass(frozen=True)
class Sampling:
    """How answers are generated.

    Attributes:
        temperature: 0 is greedy; then only the first seed is used.
        seeds: One answer per seed; the score is the mean over seeds.
        option_order: The order of the options in the prompt.
    """

    temperature: float = 0.0
    seeds: tuple[int, ...] = (0,)
    option_order: OptionOrder = OptionOrder.SORTED


def refuse_unknown(protocol: str, condition: str) -> None:
    """Check the names of what a command is to show.

    Raises:
        ConfigError: There is no such protocol or condition; has the name that is closest.
    """
    for what, name, known in (("protocol", protocol, list(Protocol)), ("condition", condition, CONDITIONS)):
        if name not in known:
            raise ConfigError(f"unknown {what} {name!r}", hint=choose(name, known))


def questions_of(protocol: Protocol) -> tuple[Question, ...]:
    """The questions that a protocol asks about each clip, in order: one per modality, or one of its own."""
    return _QUESTIONS.get(protocol, MODALITIES)


def applies(protocol: Protocol, condition: str) -> bool:
    """Whether the protocol applies to this condition."""
    return condition in _CONDITIONS[protocol]


def listed_classes(row: Mapping[str, Any], order: OptionOrder) -> list[str]:
    """The row's classes in the order in which a prompt lists them.

    A shuffled order depends only on the classes and the base clip: it is the same for every model, condition, question
    and seed, so that these stay comparable clip by clip.
    """
    if OptionOrder(order) is OptionOrder.SORTED:
        return list(row["options"])
    # Sorting by a hash is a uniformly random order, and the same with every version of every library.
    return sorted(
        row["options"],
        key=lambda name: hashlib.sha256(f"{_ORDER_SEED}/{row['base_id']}/{name}".encode()).hexdigest(),
    )


def options_for(protocol: Protocol, options: Sequence[str]) -> list[str]:
    """The answers that the question offers; "None of the above" is always the last.

    An open answer's prompt offers none: the classes are what a baseline chooses among, and chance is guessing one.
    """
    if protocol is Protocol.SYNCHRONY:
        return list(prompts.IN_TIME)
    return [*options, prompts.NONE_OF_THE_ABOVE] if protocol is Protocol.ABSTENTION else list(options)


def expected(protocol: Protocol, row: Mapping[str, Any], question: Question) -> str:
    """The correct answer: the class, or under abstention "None of the above" if the modality is removed; under
    synchrony "Yes" unless the sound is shifted.
    """
    if protocol is Protocol.SYNCHRONY:
        return prompts.IN_TIME[bool(row.get("level"))]
    column = "abstention_answer" if protocol is Protocol.ABSTENTION else "answer"
    return str(row[f"{question}_{column}"])


def text_of(
    protocol: Protocol, row: Mapping[str, Any], question: Question, classes: Sequence[str] | None = None
) -> str:
    """The prompt text for a row of the dataset, with its caption or irrelevant text.

    Args:
        protocol: How the question is asked.
        row: The row.
        question: The queried modality, or what else is asked.
        classes: The row's classes in the order in which the prompt lists them; None: the dataset's.

    Raises:
        DataError: The row has no question, or one that does not list its classes once, where their order is to change;
            names the row.
    """
    classes = row["options"] if classes is None else classes
    if protocol is Protocol.SYNCHRONY:
        return prompts.synchrony()
    if question == "text":
        return _ordered(row, "text_question", _text_question(row), classes)
    assert question != "time", protocol
    if protocol is Protocol.OPEN_ANSWER:
        return prompts.open_answer(question)
    if protocol is Protocol.ABSTENTION:
        return prompts.forced_choice(question, options_for(protocol, classes))
    if protocol is Protocol.CHAIN_OF_THOUGHT:
        return prompts.chain_of_thought(question, classes)
    return _ordered(row, f"{question}_question", question_of(row, question), classes)


def _text_question(row: Mapping[str, Any]) -> str:
    if not row.get("text_question"):
        raise DataError(f"{row['id']}: no text_question", hint="use a dataset that `mma-bench build` packaged")
    return str(row["text_question"])


def _ordered(row: Mapping[str, Any], column: str, text: str, classes: Sequence[str]) -> str:
    """The text of a column with the classes in the order in which the prompt lists them."""
    shown, wanted = ", ".join(row["options"]), ", ".join(classes)
    if shown == wanted:
        return text
    if text.count(shown) != 1:
        raise DataError(
            f"{row['id']}: {column} does not list the options {shown!r} once, so they cannot be shuffled",
            hint="use --option-order sorted",
        )
    return text.replace(shown, wanted)


def version_of(protocol: Protocol, row: Mapping[str, Any]) -> str:
    """The version of the prompt text: the dataset's, or that of `mma_bench.prompts`."""
    if protocol in _BEYOND:
        return prompts.BEYOND_VERSION
    worded_here = protocol in (Protocol.ABSTENTION, Protocol.CHAIN_OF_THOUGHT)
    return prompts.PROMPT_VERSION if worded_here else str(row["prompt_version"])


def prompts_of(
    row: Mapping[str, Any],
    protocols: Sequence[Protocol] = (Protocol.FORCED_CHOICE,),
    sampling: Sampling = Sampling(),
) -> Iterator[Prompt]:
    """All prompts about one row of the dataset; the key is `<question>.<protocol>.<seed>`."""
    classes = listed_classes(row, sampling.option_order)
    for protocol in protocols:
        if not applies(protocol, row["condition"]):
            continue
        scored = protocol is Protocol.LOGLIKELIHOOD
        # Scores and greedy answers do not depend on the seed.
        seeds = sampling.seeds[:1] if scored or sampling.temperature == 0 else sampling.seeds
        for question in questions_of(protocol):
            for seed in seeds:
                yield Prompt(
                    key=f"{question}.{protocol}.{seed}",
                    text=text_of(protocol, row, question, classes),
                    mode="score" if scored else "generate",
                    options=tuple(options_for(protocol, classes)),
                    max_new_tokens=_MAX_NEW_TOKENS.get(protocol, _SHORT_ANSWER_TOKENS),
                    temperature=sampling.temperature,
                    seed=seed,
                    prior=scored,
                    question=question,
                    protocol=protocol,
                )
