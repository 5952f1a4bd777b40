"""From embeddings with known truth to scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.models.encoders.similarity import Head, class_scores, pooled, unit

SOFTMAX, SIGMOID = Head(10.0, None), Head(10.0, -5.0)
# Prompts along the axes: two of the class "violin or cello", one of "cat".
PROMPTS = np.eye(3, dtype=np.float32)
CLASSES = ("Bowed", "Bowed", "Cat")


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("content", [vector(1, 0, 0), vector(0, 1, 0)])
def test_a_class_is_present_if_any_of_its_prompts_is(content: np.ndarray) -> None:
    for head in (SOFTMAX, SIGMOID):
        scores = class_scores(content, PROMPTS, CLASSES, head)
        assert scores["Bowed"] > 0.99
        assert scores["Cat"] < 0.01


def test_scores_are_those_of_the_models_own_training() -> None:
    content = unit(vector(3, 0, 4))
    logits = {"Bowed": 10 * 0.6, "Cat": 10 * 0.8}
    total = sum(np.exp(logit) for logit in logits.values())
    softmax = class_scores(content, PROMPTS, CLASSES, SOFTMAX)
    assert softmax == {name: pytest.approx(np.exp(logit) / total, abs=1e-6) for name, logit in logits.items()}
    sigmoid = class_scores(content, PROMPTS, CLASSES, SIGMOID)
    assert sigmoid == {name: pytest.approx(1 / (1 + np.exp(5 - logit)), abs=1e-6) for name, logit in logits.items()}


def test_each_part_of_a_clip_counts_the_same_however_long_its_vector() -> None:
    parts = np.stack([vector(100, 0, 0), vector(0, 0, 0.1)])
    np.testing.assert_allclose(pooled(parts), unit(vector(1, 0, 1)), atol=1e-6)
    assert np.array_equal(pooled(np.zeros((2, 3), np.float32)), vector(0, 0, 0)), "no part, no direction"


@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=1, max_size=4), st.sampled_from([SOFTMAX, SIGMOID]))
@settings(max_examples=60, deadline=None)
def test_scores_are_between_0_and_1(parts: list[tuple[float, float, float]], head: Head) -> None:
    scores = class_scores(pooled(np.array(parts, np.float32)), PROMPTS, CLASSES, head)
    assert all(0 <= score <= 1 for score in scores.values())
    if head.bias is None:
        assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
