"""Cohen's d against the paper's equations, and its interval and test against what they promise."""

import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mma_bench.evaluation.attention.effect import Separation, cohens_d, separations, token_separation

VALUES = st.floats(-10, 10).map(lambda x: round(x, 2))


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=9), st.lists(VALUES, min_size=2, max_size=9))
def test_d_is_that_of_the_papers_equations(first: list[float], second: list[float]) -> None:
    n, m = len(first), len(second)
    pooled = ((n - 1) * statistics.variance(first) + (m - 1) * statistics.variance(second)) / (n + m - 2)
    d = float(cohens_d(np.array(first), np.array(second)))
    if pooled == 0:
        assert np.isnan(d)
    else:
        assert d == pytest.approx((statistics.mean(first) - statistics.mean(second)) / pooled**0.5, abs=1e-9)


def test_d_of_a_worked_example() -> None:
    # Means 4 and 3; variances 2.5 and 1; pooled 1.75.
    (found,) = separations(np.array([[2.0, 3, 4, 5, 6]]), np.array([[3.0, 2, 4, 2, 4]]))
    assert found.d == pytest.approx(1 / 1.75**0.5)
    assert found.clips == 5


def clips(rng: np.random.Generator, count: int, shift: float) -> tuple[Any, Any]:
    """Shares under both questions; a clip's own level is common to both."""
    level = rng.normal(0, 1, count)
    return (level + rng.normal(shift, 0.5, count))[None], (level + rng.normal(0, 0.5, count))[None]


@pytest.mark.slow
def test_the_permutation_test_is_calibrated_under_the_null_hypothesis() -> None:
    rng = np.random.default_rng(1)
    p = [separations(*clips(rng, 20, 0.0), resamples=199)[0].p for _ in range(300)]
    for level in (0.05, 0.2, 0.5):
        share = np.mean([one is not None and one <= level for one in p])
        # Five standard deviations of a share of 300.
        assert abs(share - level) < 5 * (level * (1 - level) / 300) ** 0.5


@pytest.mark.slow
def test_the_permutation_test_finds_a_shift_and_the_interval_covers_d() -> None:
    rng = np.random.default_rng(2)
    true = 0.6 / (1 + 0.25) ** 0.5  # shift over the root of the variance of level and noise
    found = [separations(*clips(rng, 60, 0.6), resamples=499)[0] for _ in range(60)]
    assert np.mean([one.p is not None and one.p < 0.05 for one in found]) > 0.95
    covered = np.mean([one.low is not None and one.high is not None and one.low <= true <= one.high for one in found])
    assert covered > 0.8


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 12))
def test_the_questions_in_the_other_order_give_the_other_sign_and_the_same_p(seed: int, count: int) -> None:
    first, second = clips(np.random.default_rng(seed), count, 0.3)
    one, other = separations(first, second, resamples=299)[0], separations(second, first, resamples=299)[0]
    assert one.d == pytest.approx(-(other.d or 0))
    assert one.p == pytest.approx(other.p, abs=0.05 if count > 8 else 1e-9)  # up to 8 clips all permutations are made
    assert one.low is not None
    assert one.high is not None
    assert other.low == pytest.approx(-one.high)


def test_pairing_counts() -> None:
    level = np.linspace(0, 10, 12)
    nudge = np.tile([0.09, 0.11], 6)
    paired = separations(level[None] + nudge, level[None])[0]
    unpaired = stats.permutation_test((level + nudge, level), lambda x, y: x.mean() - y.mean(), n_resamples=500)
    assert paired.p is not None
    assert paired.p < 0.001
    assert unpaired.pvalue > 0.5


def test_p_is_corrected_for_all_that_is_compared() -> None:
    rng = np.random.default_rng(3)
    first, second = (np.concatenate(sides) for sides in zip(*(clips(rng, 9, 0.7) for _ in range(4)), strict=True))
    found = separations(first, second)
    p, corrected = [one.p or 0 for one in found], [one.p_holm or 0 for one in found]
    assert min(corrected) == pytest.approx(min(1.0, 4 * min(p)))
    assert all(after >= before for before, after in zip(p, corrected, strict=True))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([[1.0, 1, 1, 1, 1]], [[1.0, 1, 1, 1, 1]]),
        ([[1.0, 2, 3, 4]], [[2.0, 2, 2, 1]]),
        ([[1.0, 2, 3, 4, np.nan]], [[2.0, 2, 2, 1, 1]]),
    ],
    ids=["no spread", "few clips", "no share"],
)
def test_where_d_is_not_defined_there_is_none(first: list[list[float]], second: list[list[float]]) -> None:
    clips = len(first[0])
    assert separations(np.array(first), np.array(second)) == [Separation(None, None, None, None, None, clips)]


def test_a_measure_without_spread_does_not_disturb_the_others() -> None:
    first, second = clips(np.random.default_rng(4), 10, 0.5)
    flat = np.ones_like(first)
    alone, beside = (
        separations(first, second),
        separations(np.concatenate([flat, first]), np.concatenate([flat, second])),
    )
    assert beside == [Separation(None, None, None, None, None, 10), *alone]


def test_tokens_pooled_by_sums_give_the_d_of_all_tokens() -> None:
    rng = np.random.default_rng(5)
    sides = [[rng.normal(shift, 1, rng.integers(3, 9)) for _ in range(8)] for shift in (0.5, 0.0)]
    sums = [[np.array([f(x) for x in side]) for f in (len, np.sum, lambda x: np.square(x).sum())] for side in sides]
    found = token_separation(*sums)
    assert found.d == pytest.approx(float(cohens_d(*(np.concatenate(side) for side in sides))))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.d < found.high
    assert found.p is None
