"""What is asked under each condition, and what the right answer is."""

import pytest

from mma_bench import prompts
from mma_bench.errors import DataError
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.protocols import QUESTIONS, Protocol, Sampling, applies, expected, prompts_of
from tests.evaluation.doubles import OPTIONS, row


def asked(condition: str, protocol: Protocol, sampling: Sampling | None = None) -> list[str]:
    return [prompt.text for prompt in prompts_of(row("a", condition), [protocol], sampling or Sampling())]


def test_forced_choice_asks_both_questions_of_figure_5() -> None:
    assert asked("aligned", Protocol.FORCED_CHOICE) == [prompts.forced_choice(q, OPTIONS) for q in QUESTIONS]


def test_a_misleading_caption_comes_first() -> None:
    assert all(
        text.startswith("Video_caption: Rain. Which class")
        for text in asked("misleading_caption", Protocol.FORCED_CHOICE)
    )


def test_a_dataset_without_a_question_is_refused_by_the_clip_s_name() -> None:
    empty = {**row("a", "aligned"), "audio_question": None}
    with pytest.raises(DataError, match=r"a\.aligned: no audio_question"):
        list(prompts_of(empty, [Protocol.FORCED_CHOICE], Sampling()))


def test_the_parts_of_a_key_are_fields() -> None:
    sampled = Sampling(temperature=1.0, seeds=(0, 1))
    made = list(prompts_of(row("a", "aligned"), list(Protocol), sampled))
    assert {prompt.question for prompt in made} == set(QUESTIONS)
    assert {prompt.protocol for prompt in made} == set(Protocol)
    assert [prompt.key for prompt in made] == [f"{prompt.question}.{prompt.protocol}.{prompt.seed}" for prompt in made]


def test_abstention_offers_none_of_the_above_and_expects_it_where_the_modality_is_gone() -> None:
    for text in asked("audio_removed", Protocol.ABSTENTION):
        assert "Options: Bird, Cat, Rain, None of the above." in text
    removed = row("a", "audio_removed")
    assert expected(Protocol.ABSTENTION, removed, "audio") == prompts.NONE_OF_THE_ABOVE
    assert expected(Protocol.ABSTENTION, removed, "visual") == "Cat"
    assert expected(Protocol.FORCED_CHOICE, removed, "audio") == "Cat"


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_is_asked_by_forced_choice_and_by_score(condition: str) -> None:
    assert applies(Protocol.FORCED_CHOICE, condition)
    assert applies(Protocol.LOGLIKELIHOOD, condition)


def test_seeds_count_only_where_sampling_is_on() -> None:
    greedy = Sampling(temperature=0.0, seeds=(0, 1, 2))
    sampled = Sampling(temperature=1.0, seeds=(0, 1, 2))
    assert len(asked("aligned", Protocol.FORCED_CHOICE, greedy)) == 2
    assert len(asked("aligned", Protocol.FORCED_CHOICE, sampled)) == 6
    assert len(asked("aligned", Protocol.LOGLIKELIHOOD, sampled)) == 2
