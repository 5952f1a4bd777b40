"""Responders that score options by a known rule, read under each normalisation."""

from dataclasses import replace
from typing import Any

import pytest

from mma_bench.evaluation.normalisation import NORMALISATIONS, likeliest
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.score import score
from tests.evaluation.runs import CLASSES, prediction

TOKENS = {"Bird": 1, "Cat": 1, "Rain": 1, "Bowed_string_instrument": 5}


def scored(base: str, seen: str, sums: dict[str, float], **others: Any) -> Prediction:
    """As `infer` records it."""
    row = prediction(base, seen=seen, protocol="loglikelihood", raw=None, logprobs=sums, **others)
    return replace(row, answer=likeliest(row))


def prefers_short_names(**without: None) -> list[Prediction]:
    """Before any clip it gives a name e^-2 for each letter; a clip makes the right one e times as likely."""
    prior = {name: -2.0 * len(name) for name in CLASSES}
    return [
        scored(
            f"clip{number}",
            seen,
            {name: value + (name == seen) for name, value in prior.items()},
            **{"option_tokens": TOKENS, "prior_logprobs": prior, **without},
        )
        for number, seen in enumerate(CLASSES * 5)
    ]


def test_a_responder_that_prefers_short_names_is_right_once_the_prior_is_taken_away() -> None:
    scores = score(prefers_short_names())
    found = {row["normalisation"]: row["mean"] for row in scores["by_normalisation"]}
    assert list(found) == list(NORMALISATIONS)
    assert found["none"] == pytest.approx(1 / 4)  # always Cat
    assert found["prior"] == 1
    assert found["characters"] == 1  # here the prior is proportional to the length
    assert [row["mean"] for row in scores["accuracy"]] == [found["none"]]  # the stated choice


def test_by_hand() -> None:
    sums = {"Bird": -4.0, "Cat": -3.6, "Rain": -4.4, "Bowed_string_instrument": -5.0}
    tokens = {"Bird": 2, "Cat": 1, "Rain": 1, "Bowed_string_instrument": 2}
    prior = {"Bird": -4.0, "Cat": -1.0, "Rain": -9.0, "Bowed_string_instrument": -5.0}
    row = scored("a", "Bird", sums, option_tokens=tokens, prior_logprobs=prior)
    assert {name: likeliest(row, name) for name in NORMALISATIONS} == {
        "none": "Cat",
        "tokens": "Bird",  # -2.0 a token
        "characters": "Bowed_string_instrument",  # -0.22 a character
        "prior": "Rain",  # +4.6
    }


@pytest.mark.parametrize(
    ("without", "left"),
    [
        ({"prior_logprobs": None}, ["none", "tokens", "characters"]),
        ({"option_tokens": None}, ["none", "prior"]),
        ({"option_tokens": None, "prior_logprobs": None}, []),
    ],
)
def test_without_the_numbers_there_is_no_row(without: dict[str, None], left: list[str]) -> None:
    assert [row["normalisation"] for row in score(prefers_short_names(**without))["by_normalisation"]] == left


def test_a_number_missing_once_leaves_the_row_out_and_generated_answers_have_none() -> None:
    rows = prefers_short_names()
    mixed = [scored("last", "Cat", dict.fromkeys(CLASSES, -1.0), option_tokens=TOKENS), *rows]
    assert [row["normalisation"] for row in score(mixed)["by_normalisation"]] == ["none", "tokens", "characters"]
    assert score([prediction()])["by_normalisation"] == []
