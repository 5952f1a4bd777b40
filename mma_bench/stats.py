"""Statistics of conflict: intervals, paired tests and corrections, clustered by every clip that an answer depends on.

A misaligned clip has the picture of its base clip and the sound of its donor, and a donor's sound is used for several
base clips: answers that share either are not independent, nor are answers to one prompt under several seeds. So the
variance is clustered two ways (Cameron, Gelbach and Miller, "Robust inference with multiway clustering", JBES 2011),
and an interval never has width zero, not even at 0 or 100 %. `benchmarks/coverage.py` measures the coverage of all of
them.
"""

import math
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from mma_bench.clusters import cluster_variance, clusters_within, codes_of

RESAMPLES = 9_999
KAPPA_RESAMPLES = 999  # bootstrap resamples
_SEED = 2511
ALPHA = 0.05  # of 95 % intervals
_NO_VARIANCE = 1e-12

Outcomes = Mapping[str, Sequence[float]]  # base clip → one value per answer: 1.0 if it counts, else 0.0


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, as fractions.

    Attributes:
        n: Answers.
        clusters: Base clips.
        method: `clopper_pearson` (exact: one answer for each clip, no clip in two of them), `effective` (the same on
            the effective number of answers), `t` (values other than 0 and 1) or `none` (no answers).
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    method: str


@dataclass(frozen=True)
class Difference:
    """A mean paired difference (second minus first) with its 95 % interval.

    Attributes:
        p: Two-sided, against no difference.
        clusters: Pairs: clips on both sides.
    """

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    clusters: int


def estimate(outcomes: Outcomes) -> Estimate:
    """`share` where answers are clustered one way: by the key of `outcomes`."""
    keys = [key for key, answers in sorted(outcomes.items()) for _ in answers]
    return share([value for _, answers in sorted(outcomes.items()) for value in answers], [keys])


def share(
    values: Sequence[float],
    clusters: Sequence[Sequence[Hashable]],
    groups: Sequence[Hashable] | None = None,
    *,
    alpha: float = ALPHA,
) -> Estimate:
    """The share of answers that count, or with groups the mean of the groups' shares with equal weights.

    The interval is that of Clopper and Pearson on the effective number of answers (Korn and Graubard, "Confidence
    intervals for proportions with small expected number of positive counts", Survey Methodology 1998):
    1 + p (1 - p) / V, V being the cluster-robust variance of p; lowered as in their paper if clusters are few. It is
    the exact interval if all answers are independent. If all answers agree, V carries no information, and each cluster
    counts as if its answers could not differ (Kish's effective size), except that a person's answers always could. A
    group with a single cluster gives no within-group variance, so its deviation is taken from the mean of all groups.

    Args:
        values: 0 to 1; values other than 0 and 1 get a t interval with the same variance, or, if they do not vary,
            one that is for 0 and 1 that of Clopper and Pearson.
        clusters: One to three keys of each answer: its base clip, which is counted, its donor, and who gave it.
        groups: The group of each answer, e.g. its class.
        alpha: How often the interval may miss the truth.
    """
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0, 0, "none")
    y = np.asarray(values, dtype=float)
    codes = [codes_of(keys) for keys in clusters]
    group = np.zeros(n, np.intp) if groups is None else codes_of(groups)
    sizes = np.bincount(group)
    means = np.bincount(group, y) / sizes
    weights = 1 / (len(sizes) * sizes[group])
    mean, base_clips = float(means.mean()), int(codes[0].max()) + 1
    counts = np.min([clusters_within(group, way) for way in codes], axis=0)[group]  # of the answer's group
    corrected = (y - means[group]) * np.sqrt(counts / np.maximum(counts - 1, 1))
    spread = np.where(counts > 1, corrected, y - mean)
    variance, df = cluster_variance(weights * spread, codes)
    # If all agree. A person's answers can differ, whatever they did here, or each person would count as one answer.
    unanimous = min(n, *(float(1 / (np.bincount(way, weights) ** 2).sum()) for way in codes[:2]))
    if not np.isin(y, (0.0, 1.0)).all():
        if df > 0 and variance < _NO_VARIANCE:
            # So large a part of all answers may differ, by as much as can be, without one of them being among these.
            other = 1 - (alpha / 2) ** (1 / unanimous)
            return Estimate(mean, mean * (1 - other), mean + (1 - mean) * other, n, base_clips, "t")
        return Estimate(mean, *_t_interval(mean, variance, df, (0.0, 1.0), alpha), n, base_clips, "t")
    if df == 0 or np.ptp(y) == 0:
        effective = unanimous
    else:
        effective = 1 + mean * (1 - mean) / max(variance, _NO_VARIANCE)  # which is 0 if clusters happen to balance
        if effective - 1 > df:
            effective = (
                1
                + (effective - 1)
                * float(special.stdtrit(effective - 1, 1 - alpha / 2) / special.stdtrit(df, 1 - alpha / 2)) ** 2
            )
    effective = min(effective, n)
    low, high = _clopper_pearson(mean, effective, alpha)
    independent = groups is None and df == n - 1
    return Estimate(mean, low, high, n, base_clips, "clopper_pearson" if independent else "effective")


def paired(changes: Sequence[float], clusters: Sequence[Sequence[Hashable]]) -> Difference:
    """The mean of one difference per clip, with its interval and test.

    The interval is Wald's after adding a pair that changed for the better and one that changed for the worse (Bonett
    and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
    Journal of Educational and Behavioral Statistics 2012), with the cluster-robust variance and Student's t; an added
    pair weighs as much as a cluster, and gives no degree of freedom. The test is the one that the interval inverts, so
    p is below 0.05 exactly if the interval excludes 0. McNemar's exact test has no such interval for the difference:
    it is conditional on the number of pairs that changed. With 5 pairs or fewer of one answer each, none is found
    different, as by McNemar's test.

    Args:
        changes: -1 to 1.
        clusters: One or two keys of each pair: base clip and donor.
    """
    n = len(changes)
    if n == 0:
        return Difference(None, None, None, None, 0)
    change = np.asarray(changes, dtype=float)
    codes = [codes_of(keys) for keys in clusters]
    weight = max(float((np.bincount(way) ** 2).sum()) / n for way in codes)  # of an average cluster, in pairs
    added = np.concatenate([change, [1.0, -1.0]])
    weights = np.concatenate([np.ones(n), [weight, weight]])
    weights /= weights.sum()
    mean = float(weights @ added)
    augmented = [np.append(way, way.max() + np.array([1, 2])) for way in codes]
    variance, clusters_less_one = cluster_variance(weights * (added - mean), augmented)
    variance *= (clusters_less_one + 1) / clusters_less_one
    df = clusters_less_one - 2
    low, high = _t_interval(mean, variance, df, (-1.0, 1.0))
    p = 2 * stats.t.sf(abs(mean) / math.sqrt(variance), df) if df else 1.0
    return Difference(float(change.mean()), low, high, float(p), n)


def mean_change(changes: Sequence[float]) -> Difference:
    """The mean of real numbers, one per base clip, with Student's t interval and test.

    Numbers that are all equal give no variance and so no interval.
    """
    n = len(changes)
    if n == 0:
        return Difference(None, None, None, None, 0)
    change = np.asarray(changes, dtype=float)
    mean = float(change.mean())
    if np.ptp(change) == 0:  # with random signs all would be equal in 2 of 2^n cases
        return Difference(mean, None, None, 1.0 if mean == 0 else 2.0 ** (1 - n), n)
    found = stats.ttest_1samp(change, 0.0)
    interval = found.confidence_interval()
    return Difference(mean, float(interval.low), float(interval.high), float(found.pvalue), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p values in the order given (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return [float(value) for value in adjusted]


def _clopper_pearson(mean: float, n: float, alpha: float) -> tuple[float, float]:
    """The exact interval of a share; n and the hits need not be integers."""
    hits = mean * n
    low = float(special.betaincinv(hits, n - hits + 1, alpha / 2)) if hits > 0 else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1 - alpha / 2)) if hits < n else 1.0
    return low, high


def _t_interval(
    mean: float, variance: float, df: int, bounds: tuple[float, float], alpha: float = ALPHA
) -> tuple[float, float]:
    """Clip to the bounds of the averaged values; exactly those bounds if there is only one cluster."""
    if df == 0:
        return bounds
    half = float(special.stdtrit(df, 1 - alpha / 2)) * math.sqrt(variance)
    return max(bounds[0], mean - half), min(bounds[1], mean + half)


@dataclass(frozen=True)
class Agreement:
    """Two judges on one check, over all clips that both judged or over those of one class.

    Attributes:
        class_name: None for all classes.
        clips: Number judged by both.
        same: Number with the same answer from both.
        only_first: Passed only by the first judge.
        only_second: Passed only by the second.
        kappa: -1 to 1; None if both always gave the same single answer, for which kappa is undefined.
        low: Of the 95 % interval; None without a kappa, or with a single clip.
    """

    first: str
    second: str
    check: str
    class_name: str | None
    clips: int
    same: int
    only_first: int
    only_second: int
    kappa: float | None
    low: float | None
    high: float | None


def agreement(
    first: str,
    second: str,
    check: str,
    class_name: str | None,
    one: npt.NDArray[np.bool_],
    other: npt.NDArray[np.bool_],
) -> Agreement:
    """Agreement of two answers [clips] each."""
    cells = _cells(one, other)
    kappa, low, high = _kappa(cells), None, None
    if kappa is not None and len(one) > 1:
        differ = estimate({str(number): [float(value)] for number, value in enumerate(one != other)})
        expected = float(one.mean() * (1 - other.mean()) + (1 - one.mean()) * other.mean())
        low, high = agreement_interval(
            (one, other), lambda a, b: _or_nan(_kappa(_cells(a, b))), disagreement=differ, expected=expected
        )
    neither, only_second, only_first, both = cells
    return Agreement(
        *(first, second, check, class_name, len(one), neither + both, only_first, only_second, kappa, low, high)
    )


def agreement_interval(
    samples: Sequence[npt.NDArray[Any]], statistic: Callable[..., float], *, disagreement: Estimate, expected: float
) -> tuple[float, float]:
    """The 95 % interval of an agreement beyond chance, which is 1 - disagreement / expected disagreement.

    It encloses that of the percentile bootstrap, and that of the disagreement over the expected one. The first alone
    has no width where no sample disagrees, and covers too little where few do: resamples cannot have more than was
    seen. `tests/mma_bench/test_stats.py` has simulations.

    Args:
        samples: Paired, [clips] each; resampled together.
        statistic: Of the samples; NaN where it is undefined, which is left out.
        disagreement: The share of pairs of answers that differ.
        expected: The same by chance, over 0.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # all resamples may have one value
        resampled = stats.bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=KAPPA_RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(_SEED),
        ).bootstrap_distribution
    low, high = np.nanpercentile(resampled, [2.5, 97.5]).tolist()
    assert disagreement.low is not None
    assert disagreement.high is not None
    return min(low, max(-1.0, 1 - disagreement.high / expected)), max(high, 1 - disagreement.low / expected)


def disagreements(counts: npt.NDArray[np.int_]) -> tuple[list[float], float]:
    """The share of pairs of answers to each item that differ, and that of all pairs of answers: the one by chance.

    Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), for nominal data.

    Args:
        counts: Answers by item and category [items, categories]; at least two for each item.
    """
    answers, totals = counts.sum(axis=1), counts.sum(axis=0)
    same = (counts * (counts - 1)).sum(axis=1) / (answers * (answers - 1))
    by_chance = float((totals * (totals - 1)).sum() / (totals.sum() * (totals.sum() - 1)))
    return (1 - same).tolist(), 1 - by_chance


def _cells(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Numbers of clips that both reject, only the second passes, only the first passes, both pass."""
    neither, only_second, only_first, both = np.bincount(2 * one.astype(int) + other, minlength=4).tolist()
    return neither, only_second, only_first, both


@cache
def _kappa(cells: tuple[int, int, int, int]) -> float | None:
    """Kappa of a two-by-two table; resamples of few clips often have the same one."""
    from sklearn.metrics import cohen_kappa_score

    if max(cells[0], cells[3]) == sum(cells):
        return None
    return float(cohen_kappa_score([0, 0, 1, 1], [0, 1, 0, 1], sample_weight=list(cells)))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def interval(row: Mapping[str, Any]) -> str:
    """`0.81 [0.62, 0.95]`, or a dash if there is no kappa."""
    if row["kappa"] is None:
        return "–"
    if row["low"] is None:
        return f"{row['kappa']:.2f}"
    return f"{row['kappa']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def format_estimate(cell: Estimate | Mapping[str, Any]) -> str:
    """`73.2 [65.1, 80.3]` in percent, or a dash if there is nothing to average."""
    values = asdict(cell) if isinstance(cell, Estimate) else cell
    if values["mean"] is None:
        return "–"
    return f"{100 * values['mean']:.1f} [{100 * values['low']:.1f}, {100 * values['high']:.1f}]"
