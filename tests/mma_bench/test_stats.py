"""Statistics: intervals that hold what they promise, tests and corrections against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import stats


def _each_once(hits: int, n: int) -> dict[str, list[float]]:
    return {f"clip{i:03}": [float(i < hits)] for i in range(n)}


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 10, 0.0, 1 - 0.025 ** (1 / 10)),  # closed forms of Clopper and Pearson at the ends
        (10, 10, 0.025 ** (1 / 10), 1.0),
        (0, 1, 0.0, 0.975),
        (8, 10, 0.44390, 0.97479),  # tabled
    ],
)
def test_exact_intervals(hits: int, n: int, low: float, high: float) -> None:
    found = stats.estimate(_each_once(hits, n))
    assert found == stats.Estimate(
        hits / n, pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5), n, n, "clopper_pearson"
    )


def test_no_answers_give_no_number() -> None:
    nothing = stats.Estimate(None, None, None, 0, 0, "none")
    assert stats.estimate({}) == nothing
    assert stats.estimate({"a": []}) == nothing
    assert stats.difference({"a": [1.0]}, {"b": [1.0]}) == stats.Difference(None, None, None, None, 0)
    assert stats.difference({"a": []}, {"a": [1.0]}).clusters == 0


def test_answers_of_a_clip_are_weighted_one_each() -> None:
    found = stats.estimate({"a": [1.0, 1.0, 1.0], "b": [0.0], "c": []})
    assert (found.mean, found.n, found.clusters, found.method) == (0.75, 4, 2, "bootstrap")


def test_a_bootstrap_over_clips_is_wider_than_one_over_answers_that_repeat() -> None:
    rng = np.random.default_rng(5)
    hits = rng.random(60) < 0.5
    clustered = stats.estimate({f"clip{i}": [float(hit)] * 6 for i, hit in enumerate(hits)})
    naive = stats.estimate({f"answer{i}": [float(hit)] for i, hit in enumerate(np.repeat(hits, 6))})
    assert clustered.mean == naive.mean
    assert clustered.low is not None
    assert clustered.high is not None
    assert naive.low is not None
    assert naive.high is not None
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)  # √6 in theory


def test_the_exact_interval_covers_the_truth_in_95_of_100_runs_at_least() -> None:
    rng = np.random.default_rng(1)
    for truth in (0.05, 0.3, 0.9):
        covered = 0
        for _ in range(400):
            found = stats.estimate(_each_once(int(rng.binomial(30, truth)), 30))
            assert found.low is not None
            assert found.high is not None
            covered += found.low <= truth <= found.high
        assert covered >= 372  # 95 % less three standard errors of 400 runs: the exact interval is conservative


def test_the_clustered_interval_covers_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "RESAMPLES", 999)
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        chances = rng.beta(1, 1, size=60)  # mean 0.5, answers within a clip alike
        found = stats.estimate({str(i): list((rng.random(4) < chance) * 1.0) for i, chance in enumerate(chances)})
        assert found.method == "bootstrap"
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 178 <= covered < 200


def test_a_difference_is_second_minus_first_over_common_clips() -> None:
    first = {"a": [1.0], "b": [1.0, 0.0], "only": [0.0]}
    second = {"a": [0.0], "b": [0.0, 0.0], "other": [1.0]}
    found = stats.difference(first, second)
    assert (found.difference, found.clusters) == (-0.75, 2)
    assert (found.low, found.high) == (-1.0, -0.5)
    assert stats.difference(second, first).difference == 0.75


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (5, 2 / 2**5), (8, 2 / 2**8), (13, 2 / 2**13)])
def test_few_clips_have_an_exact_p(n: int, p: float) -> None:
    found = stats.difference(_each_once(n, n), _each_once(0, n))
    assert found.p == pytest.approx(p)
    assert found.difference == -1.0


def test_equal_runs_do_not_differ() -> None:
    found = stats.difference(_each_once(3, 9), _each_once(3, 9))
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_p_is_uniform_where_nothing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "RESAMPLES", 499)
    rng = np.random.default_rng(3)
    found = []
    for _ in range(200):
        sides = [{str(i): [float(rng.random() < 0.5)] for i in range(40)} for _ in range(2)]
        found.append(stats.difference(*sides).p)
    assert sum(p is not None and p <= 0.05 for p in found) <= 20  # 5 % of 200, and three standard errors
    assert sum(p is not None and p <= 0.5 for p in found) >= 60


def test_the_same_outcomes_give_the_same_numbers_in_any_order() -> None:
    rng = np.random.default_rng(4)
    outcomes = {str(i): list((rng.random(3) < 0.4) * 1.0) for i in range(30)}
    shuffled = dict(reversed(outcomes.items()))
    assert stats.estimate(outcomes) == stats.estimate(shuffled)
    other = {key: values[:1] for key, values in outcomes.items()}
    assert stats.difference(outcomes, other) == stats.difference(shuffled, other)


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04; the last may not fall below 0.06.
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.6, 0.7]) == [1.0, 1.0]
    assert stats.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None, max_examples=100)
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p_values: list[float]) -> None:
    adjusted = stats.holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= 1.0
        assert q <= max(min(1.0, len(p_values) * p), max(adjusted))
    assert [adjusted[i] for i in np.argsort(p_values, kind="stable")] == sorted(adjusted)
    assert adjusted[int(np.argmin(p_values))] == pytest.approx(min(1.0, len(p_values) * min(p_values)))
