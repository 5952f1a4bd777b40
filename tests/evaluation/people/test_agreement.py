"""Agreement between people and the ceiling, by hand and against known truth."""

import numpy as np
import pytest

from mma_bench.evaluation.people.agreement import against_majority, agreements
from mma_bench.evaluation.people.answers import Given, Person
from mma_bench.evaluation.people.study import Item

OPTIONS = ("Bird", "Cat", "Rain", "Dog")


def asked(number: int, condition: str = "aligned") -> Item:
    name = f"{condition}-{number}"
    return Item(name, name, "", str(number), str(number), condition, "forced_choice", "audio", OPTIONS, "", "", "Bird")


def person(name: str, options: list[str | None], condition: str = "aligned") -> Person:
    given = {
        f"{condition}-{number}": Given(f"{condition}-{number}", option, 1.0, 0)
        for number, option in enumerate(options)
        if option is not None
    }
    return Person(name, f"a-{name}", given)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        (["a", "a"], [1.0, 1.0]),
        (["a", "b"], [0.0, 0.0]),
        (["a", "a", "b"], [0.5, 0.5, 0.0]),
        (["a", "a", "a", "b"], [1.0, 1.0, 1.0, 0.0]),
        (["a", "b", "c"], [0.0, 0.0, 0.0]),
    ],
)
def test_one_person_is_held_against_the_majority_of_the_others(answers: list[str], wanted: list[float]) -> None:
    assert against_majority(answers) == wanted


def test_alpha_is_the_one_that_is_worked_out_by_hand() -> None:
    """Of 24 answers 4, 6, 6, 6 and 2 are equal; three pairs differ: 1 - 23 * 6 / (24^2 - 128)."""
    first = ["a", "a", "b", "b", "d", "c", "c", "c", "e", "d", "d", "a"]
    second = ["b", "a", "b", "b", "b", "c", "c", "c", "e", "d", "d", "d"]
    row = agreements([person("x", list(first)), person("y", list(second))], [asked(n) for n in range(12)])[0]
    assert row.alpha == pytest.approx(1 - 138 / 448)
    assert row.prompts == 12
    assert row.same.mean == pytest.approx(9 / 12)
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.alpha < row.high


def test_people_who_agree_throughout_have_no_alpha_and_reach_the_ceiling() -> None:
    row = agreements([person(name, ["Bird"] * 5) for name in "xyz"], [asked(n) for n in range(5)])[0]
    assert (row.alpha, row.low, row.ceiling.mean, row.accuracy) == (None, None, 1.0, 1.0)


def test_people_who_always_agree_have_an_interval_with_a_width() -> None:
    answers: list[str | None] = ["Bird", "Cat", "Bird", "Cat", "Bird"]
    row = agreements([person(name, list(answers)) for name in "xyz"], [asked(n) for n in range(5)])[0]
    assert row.low is not None
    assert (row.alpha, row.high) == (1.0, 1.0)
    assert row.low < 0.9


def test_prompts_that_one_person_answered_count_for_accuracy_alone() -> None:
    row = agreements([person("x", ["Bird", "Cat"]), person("y", ["Bird", None])], [asked(0), asked(1)])[0]
    assert (row.prompts, row.people, row.same.mean) == (1, 2, 1.0)
    assert row.accuracy == pytest.approx(2 / 3)


def test_nobody_gives_no_agreement() -> None:
    row = agreements([], [asked(0)])[0]
    assert (row.people, row.prompts, row.alpha, row.accuracy, row.ceiling.mean) == (0, 0, None, None, None)


def test_conditions_are_kept_apart() -> None:
    rows = agreements([person("x", ["Bird"])], [asked(0), asked(0, "misaligned")])
    assert [(row.condition, row.people) for row in rows] == [("aligned", 1), ("misaligned", 0)]


def test_the_ceiling_of_simulated_people_is_the_one_that_follows_from_their_skill() -> None:
    """Five people right with probability 0.8, else with one of three other options at random."""
    rng = np.random.default_rng(2511)
    clips = 400

    def draw() -> list[str | None]:
        return [OPTIONS[0] if rng.random() < 0.8 else OPTIONS[rng.integers(1, 4)] for _ in range(clips)]

    row = agreements([person(str(n), draw()) for n in range(5)], [asked(n) for n in range(clips)])[0]
    assert row.ceiling.low is not None
    assert row.ceiling.high is not None
    assert row.ceiling.low <= _expected(0.8) <= row.ceiling.high
    assert row.alpha is not None
    assert row.low is not None
    # All clips have the same truth here, so people agree no more than by chance.
    assert row.low <= 0 <= row.alpha + 0.05


def _expected(skill: float, draws: int = 200_000) -> float:
    """By a simulation of its own, in numpy: a person's answer against the mode of four others."""
    rng = np.random.default_rng(1)
    answers = np.where(rng.random((draws, 5)) < skill, 0, rng.integers(1, 4, (draws, 5)))
    counts = (answers[:, 1:, None] == np.arange(4)).sum(1)
    tied = counts == counts.max(1, keepdims=True)
    return float((tied[np.arange(draws), answers[:, 0]] / tied.sum(1)).mean())
