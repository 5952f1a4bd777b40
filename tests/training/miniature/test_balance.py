"""What keeps a base model from leaning: shares move against the lean, and the lean is measured on whole answers."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.training.examples import IGNORED
from mma_bench.training.miniature.balance import lean, shift
from mma_bench.training.miniature.lessons import Kind

accuracy = st.floats(0, 1)
share = st.floats(0.01, 1)


@given(share, share, accuracy, accuracy, st.floats(0.01, 50))
def test_the_sense_that_wins_is_taken_away_more_often(
    silent: float, black: float, visual: float, audio: float, gain: float
) -> None:
    shares: dict[Kind, float] = {"aligned": 0.3, "silent": silent, "black": black}
    shift(shares, visual, audio, gain)
    assert shares["aligned"] == 0.3
    assert shares["silent"] + shares["black"] == pytest.approx(silent + black)
    assert min(shares.values()) > 0
    odds = math.log(black / silent) + gain * (visual - audio)
    assert math.log(shares["black"] / shares["silent"]) == pytest.approx(min(max(odds, -4), 4))


class Thinker:
    """Holds the token that each row's first id names for the likeliest, everywhere."""

    def __init__(self) -> None:
        self.training = True
        self.asked: list[int] = []

    def train(self) -> None:
        self.training = True

    def eval(self) -> None:
        self.training = False

    def model(self, input_ids: torch.Tensor, use_cache: bool) -> SimpleNamespace:
        assert not self.training
        assert not use_cache
        self.asked.append(len(input_ids))
        likely = torch.nn.functional.one_hot(input_ids[:, :1].expand(-1, input_ids.shape[1]), 9)
        return SimpleNamespace(last_hidden_state=likely.float())

    def lm_head(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


def collate(examples: list[tuple[int, list[int]]]) -> dict[str, Any]:
    """Examples are (what the model will say, labels)."""
    return {
        "input_ids": torch.tensor([[said] * 6 for said, _ in examples]),
        "labels": torch.tensor([[IGNORED, *labels] for _, labels in examples]),
        "example_ids": [],
        "faults": {},
    }


def test_an_answer_is_right_if_all_its_tokens_are() -> None:
    right, half, wrong = (1, [1, 1]), (1, [1, 2]), (1, [2, 2])
    short = (1, [IGNORED, 1])
    thinker: Any = Thinker()
    asked: Any = {"visual": [right, half, wrong, short] * 10, "audio": [wrong, wrong, right, half]}
    assert lean(thinker, asked, collate) == (0.5, 0.25)  # type: ignore[arg-type]
    assert thinker.training
    assert sum(thinker.asked) == 44
