"""Statistics: intervals that hold what they promise, tests and corrections against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial, t, ttest_1samp

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


def test_answers_of_a_clip_are_weighted_one_each() -> None:
    found = stats.estimate({"a": [1.0, 1.0, 1.0], "b": [0.0], "c": []})
    assert (found.mean, found.n, found.clusters, found.method) == (0.75, 4, 2, "effective")


def test_answers_that_repeat_count_as_one() -> None:
    rng = np.random.default_rng(5)
    hits = [float(hit) for hit in rng.random(60) < 0.5]
    repeated = stats.estimate({f"clip{i}": [hit] * 6 for i, hit in enumerate(hits)})
    once = stats.estimate({f"clip{i}": [hit] for i, hit in enumerate(hits)})
    assert (repeated.low, repeated.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_a_donor_of_many_clips_counts_as_one_of_its_size() -> None:
    rng = np.random.default_rng(6)
    donors = rng.integers(0, 40, 240)
    heard = rng.random(40) < 0.5
    values = [float(heard[donor]) for donor in donors]
    bases = list(range(240))
    alone, shared = stats.share(values, [bases]), stats.share(values, [bases, list(donors)])
    assert alone.mean == shared.mean
    assert _width(shared) > 2 * _width(alone)  # √6 in theory
    swapped = stats.share(values, [list(donors), bases])
    assert (swapped.low, swapped.high) == (shared.low, shared.high)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_answers_agree_clusters_count_as_if_they_could_not_differ(value: float) -> None:
    found = stats.estimate({"a": [value] * 3, "b": [value] * 3, "c": [value] * 3})
    exact = stats.estimate({name: [value] for name in "abc"})
    assert (found.low, found.high) == (exact.low, exact.high)
    assert _width(found) > 0.7
    assert _width(stats.estimate({"a": [value] * 9})) == pytest.approx(0.975)


def test_clusters_that_balance_are_no_reason_for_a_narrow_interval() -> None:
    found = stats.estimate({str(i): [0.0, 1.0] for i in range(5)})
    exact = stats.estimate({str(i): [float(i % 2)] for i in range(10)})
    assert (found.low, found.high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_groups_weigh_the_same() -> None:
    values, groups = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0], ["a", "a", "a", "a", "b", "c"]
    found = stats.share(values, [list(range(6))], groups)
    assert found.mean == pytest.approx((0.75 + 0 + 1) / 3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.2  # b and c have one clip each, which says little
    assert found.high > 0.9


@given(
    st.sampled_from([0.0, 0.001, 0.25, 0.5, 0.999, 1.0]),
    st.lists(st.integers(0, 5), min_size=2, max_size=30).filter(lambda keys: len(set(keys)) > 1),
)
def test_equal_values_have_an_interval_with_a_width(value: float, clips: list[int]) -> None:
    found = stats.share([value] * len(clips), [clips])
    assert found.mean == pytest.approx(value)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= value <= found.high <= 1
    assert _width(found) > 0
    sure, never = (stats.share([every] * len(clips), [clips]) for every in (1.0, 0.0))
    assert sure.low is not None
    assert never.high is not None
    assert found.low == pytest.approx(value * sure.low)
    assert found.high == pytest.approx(value + (1 - value) * never.high)


def test_other_values_have_a_t_interval() -> None:
    values = [0.2, 0.4, 0.3, 0.35, 0.5]
    found = stats.estimate({str(i): [value] for i, value in enumerate(values)})
    interval = ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.method == "t"
    assert _width(stats.estimate({"a": [0.4]})) == 1.0


def _width(found: stats.Estimate) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


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


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
@settings(deadline=None, max_examples=100)
def test_an_interval_holds_the_mean_and_is_never_of_width_zero(rows: list[tuple[int, int, int]]) -> None:
    values, bases, donors = ([float(row[i]) for row in rows] for i in range(3))
    for groups in (None, bases):
        found = stats.share(values, [bases, donors], groups)
        assert found.mean is not None
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.mean + 1e-9
        assert found.mean - 1e-9 <= found.high <= 1
        assert _width(found) > 0
    change = stats.paired([value - 0.5 for value in values], [bases, donors])
    assert change.low is not None
    assert change.high is not None
    assert change.low <= np.mean(values) - 0.5 <= change.high
    assert change.high - change.low > 0


@pytest.mark.parametrize(("better", "worse"), [(1, 0), (5, 0), (13, 0), (7, 2), (30, 80), (0, 400)])
def test_one_answer_for_each_clip_has_the_interval_of_bonett_and_price_and_its_test(better: int, worse: int) -> None:
    changes = [1.0] * better + [-1.0] * worse + [0.0] * 50
    found = stats.paired(changes, [list(range(len(changes)))])
    assert found.difference == pytest.approx((better - worse) / len(changes))
    n = len(changes) + 2  # with t for z and n - 1 for n
    p, q = (better + 1) / n, (worse + 1) / n
    error = np.sqrt((p + q - (p - q) ** 2) / (n - 1))
    assert found.low == pytest.approx(max(-1, p - q - t.ppf(0.975, n - 3) * error))
    assert found.high == pytest.approx(min(1, p - q + t.ppf(0.975, n - 3) * error))
    assert found.p == pytest.approx(2 * t.sf(abs(p - q) / error, n - 3))


def _tables(n: int) -> list[tuple[int, int, stats.Difference]]:
    """Every outcome of n pairs: how many changed for the better, how many for the worse, and what is found."""
    return [
        (
            better,
            worse,
            stats.paired([1.0] * better + [-1.0] * worse + [0.0] * (n - better - worse), [list(range(n))]),
        )
        for better in range(n + 1)
        for worse in range(n + 1 - better)
    ]


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 14, 19, 30])
def test_on_few_clips_the_interval_holds_the_truth_and_agrees_with_its_p(n: int) -> None:
    """Exact probabilities under every rate of changes for the better and for the worse: no simulation is needed."""
    tables = _tables(n)
    counts = [(better, worse, n - better - worse) for better, worse, _ in tables]
    low, high, p = np.array([(found.low, found.high, found.p) for *_, found in tables], float).T
    excluded = (low > 0) | (high < 0)
    assert (excluded == (p < 0.05)).all()
    assert n > 5 or not excluded.any()
    for gain, loss in [(a / 10, b / 10) for a in range(11) for b in range(11 - a)]:
        likely = multinomial.pmf(counts, n, [gain, loss, max(0.0, 1 - gain - loss)])
        truth = gain - loss
        held = likely[(low <= truth + 1e-9) & (truth - 1e-9 <= high)].sum()
        assert held >= 0.935, (gain, loss)  # at worst, where all clips change; 0.95 and more on average


@given(st.lists(st.tuples(st.sampled_from([-1.0, -0.5, 0.0, 1.0]), st.integers(0, 5), st.integers(0, 5)), min_size=1))
@settings(deadline=None, max_examples=200)
def test_shared_clips_or_not_p_is_below_five_percent_exactly_if_the_interval_excludes_zero(
    rows: list[tuple[float, int, int]],
) -> None:
    found = stats.paired([row[0] for row in rows], [[row[1] for row in rows], [row[2] for row in rows]])
    assert None not in (found.low, found.high, found.p)
    assert (found.low > 0 or found.high < 0) == (found.p < 0.05)  # type: ignore[operator]


def test_p_has_no_floor_that_a_correction_lifts_above_five_percent() -> None:
    bases = list(range(655))
    donors = [base // 2 for base in bases]
    changes = [1.0] * 150 + [0.0] * 505
    for clusters in ([bases], [bases, donors]):
        found = stats.paired(changes, clusters)
        assert found.p is not None
        assert found.p * 10_000 < 0.001


def test_equal_runs_do_not_differ_and_that_is_not_certain() -> None:
    found = stats.paired([0.0] * 9, [list(range(9))])
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.low == pytest.approx(-t.ppf(0.975, 8) * np.sqrt(2 / 11 / 10))
    assert found.high == -found.low


def test_pairs_that_share_a_donor_are_fewer_than_they_seem() -> None:
    rng = np.random.default_rng(7)
    donors = list(np.repeat(np.arange(40), 6))
    changes = [float(change) for change in rng.integers(-1, 2, 40)[donors]]
    alone = stats.paired(changes, [list(range(240))])
    shared = stats.paired(changes, [list(range(240)), donors])
    assert alone.p is not None
    assert shared.p is not None
    assert alone.p < shared.p
    assert alone.low is not None
    assert shared.low is not None
    assert shared.low < alone.low


def test_no_pairs_give_no_number() -> None:
    nothing = stats.Difference(None, None, None, None, 0)
    assert stats.paired([], [[]]) == nothing
    assert stats.mean_change([]) == nothing


def test_mean_changes_are_those_of_students_t() -> None:
    changes = [1.5, -0.5, 2.0, 3.0]
    found, reference = stats.mean_change(changes), ttest_1samp(changes, 0)
    assert (found.difference, found.p, found.clusters) == (1.5, pytest.approx(reference.pvalue), 4)
    assert found.low == pytest.approx(reference.confidence_interval().low)
    assert stats.mean_change([2.0]) == stats.Difference(2.0, None, None, 1.0, 1)  # no interval
    assert stats.mean_change([0.0, 0.0]).p == 1.0
    assert stats.mean_change([2.0] * 8).p == 2 / 2**8


def test_the_same_outcomes_give_the_same_numbers_in_any_order() -> None:
    rng = np.random.default_rng(4)
    outcomes = {str(i): [float(hit) for hit in rng.random(3) < 0.4] for i in range(30)}
    assert stats.estimate(outcomes) == stats.estimate(dict(reversed(outcomes.items())))


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([True] * 19 + [False], [True] * 19 + [False]),
        ([True] * 20, [True] * 19 + [False]),
        ([True, False], [True, True]),
        ([True, False] * 50, [True, False] * 50),
    ],
)
def test_the_interval_of_kappa_has_a_width_and_holds_kappa(one: list[bool], other: list[bool]) -> None:
    pytest.importorskip("sklearn")  # of the extras whose commands report kappa
    found = stats.agreement("a", "b", "c", None, np.array(one), np.array(other))
    assert found.kappa is not None
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= found.kappa <= found.high <= 1
    assert found.high - found.low > 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("clips", "passed", "kappa"), [(10, 0.7, 0.8), (20, 0.9, 0.8), (50, 0.9, 0.9), (20, 0.5, 0.6)])
def test_the_interval_of_kappa_holds_the_truth(clips: int, passed: float, kappa: float) -> None:
    """60 draws: with 95 % each, fewer than 52 have a probability of 0.003."""
    rng = np.random.default_rng(0)
    both, apart = passed * (1 - passed) * kappa, passed * (1 - passed) * (1 - kappa)
    cells = [(1 - passed) ** 2 + both, apart, apart, passed**2 + both]
    missed = 0
    for _ in range(60):
        drawn = rng.choice(4, clips, p=cells)
        found = stats.agreement("a", "b", "c", None, drawn >= 2, drawn % 2 == 1)
        if found.low is not None and found.high is not None:
            missed += not found.low <= kappa <= found.high
    assert missed <= 8
