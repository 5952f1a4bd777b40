"""What is asked under each condition, and what the right answer is."""

from collections import Counter

import pytest
from scipy.stats import chisquare

from mma_bench import prompts
from mma_bench.errors import DataError
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.protocols import (
    QUESTIONS,
    OptionOrder,
    Protocol,
    Sampling,
    applies,
    expected,
    listed_classes,
    prompts_of,
)
from mma_bench.schema import PAPERS_CONDITIONS
from tests.evaluation.doubles import OPTIONS, row

PAPERS_PROTOCOLS = tuple(Protocol)[:4]  # the others have questions or options of their own


def asked(condition: str, protocol: Protocol, sampling: Sampling | None = None) -> list[str]:
    return [prompt.text for prompt in prompts_of(row("0", condition), [protocol], sampling or Sampling())]


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
    assert {prompt.question for prompt in made} == {*QUESTIONS, "time"}
    assert {prompt.protocol for prompt in made} == set(Protocol) - {Protocol.WRITTEN}  # of three_way alone
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


SHUFFLED = Sampling(option_order=OptionOrder.SHUFFLED)


def test_a_shuffled_order_is_the_same_for_a_clips_conditions_questions_and_protocols() -> None:
    for base in "abcdef":
        orders = {
            tuple(option for option in prompt.options if option != prompts.NONE_OF_THE_ABOVE)
            for condition in PAPERS_CONDITIONS
            for prompt in prompts_of(row(base, condition), PAPERS_PROTOCOLS, SHUFFLED)
        }
        assert len(orders) == 1
        assert sorted(*orders) == OPTIONS


def test_every_order_is_equally_likely() -> None:
    made = [next(prompts_of(row(str(base), "aligned"), sampling=SHUFFLED)).options for base in range(3000)]
    counts = Counter(made)
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 0.001
    assert made[:4] == [
        ("Cat", "Bird", "Rain"),
        ("Cat", "Bird", "Rain"),
        ("Rain", "Bird", "Cat"),
        ("Rain", "Cat", "Bird"),
    ]  # and the same everywhere


@pytest.mark.parametrize("condition", ["aligned", "misleading_caption", "long_context"])
def test_a_shuffled_prompt_differs_in_the_order_alone(condition: str) -> None:
    for prompt in prompts_of(row("0", condition), PAPERS_PROTOCOLS, SHUFFLED):
        assert f"Options: {', '.join(prompt.options)}." in prompt.text
    before, after = asked(condition, Protocol.FORCED_CHOICE), asked(condition, Protocol.FORCED_CHOICE, SHUFFLED)
    assert before != after
    order = next(prompts_of(row("0", condition), sampling=SHUFFLED)).options
    assert [text.replace(", ".join(order), ", ".join(OPTIONS)) for text in after] == before


def test_an_order_is_known_by_its_name_too() -> None:
    for order in OptionOrder:
        assert listed_classes(row("0", "aligned"), str(order)) == listed_classes(row("0", "aligned"), order)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'alphabetical' is not a valid OptionOrder"):
        list(prompts_of(row("0", "aligned"), sampling=Sampling(option_order="alphabetical")))  # type: ignore[arg-type]


def test_none_of_the_above_stays_below() -> None:
    for base in "abcdef":
        for prompt in prompts_of(row(base, "aligned"), [Protocol.ABSTENTION], SHUFFLED):
            assert prompt.options[-1] == prompts.NONE_OF_THE_ABOVE


def test_a_question_that_does_not_list_its_options_cannot_be_shuffled() -> None:
    other = {**row("0", "aligned"), "visual_question": "What is seen: Bird or Cat or Rain?"}
    with pytest.raises(DataError, match=r"0\.aligned: visual_question does not list the options"):
        list(prompts_of(other, sampling=SHUFFLED))
    assert next(prompts_of(other)).text == other["visual_question"]
