"""Position bias of responders whose preference is known."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.stats import binomtest

from mma_bench.evaluation.positions import position_bias
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.protocols import OptionOrder, listed_classes
from mma_bench.prompts import NONE_OF_THE_ABOVE
from tests.evaluation.runs import SETTINGS, prediction

CLASSES = tuple(f"Class_{number:02}" for number in range(12))
CONDITIONS = ("aligned", "audio_removed", "frames_zeroed")
Choose = Callable[[str, str, list[str]], str]  # base clip, right answer, options in order → answer


def asked(
    choose: Choose, clips: int = 150, order: OptionOrder = OptionOrder.SHUFFLED, world: int = 0
) -> Iterator[Prediction]:
    """The answers to the visual question under three conditions."""
    settings = {**SETTINGS, "option_order": str(order)}
    for number in range(clips):
        base, right = f"{world}-{number}", CLASSES[number % len(CLASSES)]
        options = listed_classes({"base_id": base, "options": CLASSES}, order)
        for condition in CONDITIONS:
            answer = choose(base, right, options)
            yield prediction(base, condition, answer=answer, seen=right, options=options, settings=settings)


def first(_: str, right: str, options: list[str]) -> str:
    return options[0]


def perfect(_: str, right: str, options: list[str]) -> str:
    return right


def clueless(seed: int) -> Choose:
    """Has an opinion of every clip, often wrong, and the same under every condition; prefers some classes."""
    rng = np.random.default_rng(seed)
    opinions: dict[str, str] = {}

    def choose(base: str, right: str, options: list[str]) -> str:
        guess = CLASSES[int(rng.integers(len(CLASSES)) ** 2 // len(CLASSES))]
        return opinions.setdefault(base, right if rng.random() < 0.4 else guess)

    return choose


def test_a_responder_that_takes_the_first_option_is_found() -> None:
    (row,) = position_bias(list(asked(first)))
    assert (row["chosen"], row["first"], row["last"]) == ([1, 0, 0, 0, 0], 1, 0)
    assert (row["mean"], row["n"], row["clusters"]) == (0, 450, 150)
    assert row["high"] < 0.1
    assert row["p_holm"] < 1e-20


def test_a_slight_preference_is_found_too() -> None:
    rng = np.random.default_rng(0)
    (row,) = position_bias(
        list(asked(lambda _, right, options: options[0] if rng.random() < 0.15 else right, clips=600))
    )
    assert row["p"] < 0.001
    assert row["first"] > 0.2 > 1.5 * row["one"]
    assert row["chosen"][0] > row["truth"][0]
    assert row["high"] < 0.5


@pytest.mark.parametrize("responder", [lambda seed: perfect, clueless], ids=["perfect", "clueless"])
def test_without_position_bias_it_is_flagged_at_the_nominal_rate(responder: Callable[[int], Choose]) -> None:
    rows = [position_bias(list(asked(responder(world), 60, world=world)))[0] for world in range(300)]
    flagged = sum(row["p"] < 0.05 for row in rows)
    assert binomtest(flagged, len(rows), 0.05).pvalue > 0.01, flagged
    covered = sum(row["low"] <= 0.5 <= row["high"] for row in rows)
    assert binomtest(covered, len(rows), 0.95).pvalue > 0.01, covered


def test_where_the_options_are_sorted_nothing_is_tested() -> None:
    (row,) = position_bias(list(asked(first, order=OptionOrder.SORTED)))
    assert (row["option_order"], row["chi2"], row["p"]) == ("sorted", None, None)
    assert row["chosen"] == [1, 0, 0, 0, 0]
    (older,) = position_bias([prediction("a")])
    assert older["option_order"] == "sorted"


def test_with_few_clips_nothing_is_tested() -> None:
    (row,) = position_bias(list(asked(first, clips=20)))
    assert (row["p"], row["n"]) == (None, 60)


def test_shares_by_hand() -> None:
    options = ["C", "A", "B", NONE_OF_THE_ABOVE]
    given = [("A", "C"), ("A", "A"), ("B", "A"), (NONE_OF_THE_ABOVE, "A"), (None, "A")]
    rows = [
        prediction(f"c{i}", answer=answer, seen=right, options=options, status="ok" if answer else "unparseable")
        for i, (answer, right) in enumerate(given)
    ]
    (row,) = position_bias(rows)
    third = pytest.approx(1 / 3)
    assert row["chosen"] == [0, pytest.approx(2 / 3), third]
    assert row["truth"] == [third, pytest.approx(2 / 3), 0]
    assert row["expected"] == [third] * 3
    assert (row["n"], row["mean"], row["last"], row["one"]) == (3, pytest.approx(2 / 3), third, third)


def test_every_protocol_and_question_has_a_row() -> None:
    rows = [
        prediction(question=question, protocol=protocol)
        for question in ("audio", "visual")
        for protocol in ("forced_choice", "abstention")
    ]
    assert [(row["protocol"], row["question"]) for row in position_bias(rows)] == [
        *(("abstention", question) for question in ("visual", "audio")),
        *(("forced_choice", question) for question in ("visual", "audio")),
    ]
    assert position_bias([prediction(status="failed")]) == []
