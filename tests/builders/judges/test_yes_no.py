"""Yes and no in words and in probability, and settings that cannot be used."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mma_bench.builders.judges import open_judge
from mma_bench.builders.judges.contracts import View
from mma_bench.builders.judges.yes_no import answer, pictures, probability_of_yes, says_yes
from mma_bench.config import OmniJudgeParams
from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.prompts import SAYS_YES


def params(**other: Any) -> OmniJudgeParams:
    values = {
        **{"name": "omni", "model": "qwen2.5-omni-7b", "settings": {}, "frames": 4, "decide_by": "answer"},
        **{"visual_threshold": 0.6, "audio_threshold": 0.8, "processes": 1},
    }
    return OmniJudgeParams.model_validate(values | other)


WORDS = {
    **dict.fromkeys(["Yes", "yes.", " YES, it is", "**Yes**", '"Yes"', "Yes\nNo"], True),
    **dict.fromkeys(["No", "no, yes", "Yesterday", "The cat is visible.", "", "I would say yes"], False),
}


@pytest.mark.parametrize(("words", "yes"), WORDS.items())
def test_only_an_answer_that_begins_with_yes_is_a_yes(words: str, yes: bool) -> None:
    assert says_yes(words) is yes
    # The gate reads the same pattern with another engine.
    assert pl.Series([words]).str.contains(SAYS_YES).item() is yes


LOGPROBS = st.lists(st.floats(-60, 0), min_size=1, max_size=3)


@examples(max_examples=60, deadline=None)
@given(yes=LOGPROBS, no=LOGPROBS)
def test_the_probability_of_yes_is_its_share(yes: list[float], no: list[float]) -> None:
    for_yes, for_no = (sum(map(math.exp, values)) for values in (yes, no))
    assert probability_of_yes(yes, no) == pytest.approx(for_yes / (for_yes + for_no), abs=1e-6)


def test_the_probability_of_yes_at_its_ends() -> None:
    assert probability_of_yes([-2000.0], [-2000.0]) == 0.5, "does not vanish where both are improbable"
    assert probability_of_yes([-1.0], []) == 1.0
    assert probability_of_yes([], [-1.0]) == 0.0
    assert probability_of_yes([], []) == 0.0, "neither was among the likeliest"


@pytest.mark.parametrize(
    ("decide_by", "words", "score", "visual", "audio"),
    [
        ("answer", "Yes.", 0.1, True, True),
        ("answer", "No.", 0.9, False, False),
        ("probability", "No.", 0.7, True, False),
        ("probability", "Yes.", 0.5, False, False),
        ("probability", "No.", 0.8, True, True),
    ],
)
def test_the_decision_is_by_the_words_or_by_the_probability(
    decide_by: str, words: str, score: float, visual: bool, audio: bool
) -> None:
    for modality, yes in (("visual", visual), ("audio", audio)):
        given_answer = answer(params(decide_by=decide_by), modality, words, score)  # type: ignore[arg-type]
        assert (given_answer.yes, given_answer.score, given_answer.words) == (yes, score, words)


def test_closed_eyes_see_black_of_one_size() -> None:
    whole = View(2.0, np.full((4, 10, 20, 3), 9, np.uint8), np.ones(32_000, np.float32))
    black = pictures(whole.only("audio"), 6)
    assert (black.shape[0], black.dtype, int(black.max())) == (6, np.uint8, 0)
    assert pictures(whole, 6) is whole.frames


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"model": "no-such-model"}, "there is no model 'no-such-model'"),
        ({"model": "random"}, "judge.model: random runs on the engine random"),
        ({"name": "omni-server"}, "runs on the engine transformers, but judge.name is omni-server"),
        ({"settings": {"fsp": 1.0}}, "fsp: Extra inputs are not permitted"),
        ({"settings": {"adapter": "mine"}}, "a judge takes no adapter"),
    ],
)
def test_settings_that_cannot_be_used_are_named_before_anything_loads(other: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_judge(params(**other))


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MmaBenchError, match=r"has no config\.json"):
        open_judge(params(settings={"checkpoint": str(tmp_path)}))
