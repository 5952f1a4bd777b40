"""Statistics of conflict: intervals, paired tests and corrections, clustered by base clip.

Answers about variants of one base clip (several donors, several seeds) are not independent, so a base clip is the unit
that is resampled and permuted. Where each base clip has one answer the exact binomial interval is used, which stays
honest at 0 and 100 % and on few clips, where a bootstrap claims no doubt at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

RESAMPLES = 9_999
_SEED = 2511

Outcomes = Mapping[str, Sequence[float]]  # base clip → one value per answer: 1.0 if it counts, else 0.0


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, as fractions.

    Attributes:
        n: Answers.
        clusters: Base clips.
        method: `clopper_pearson`, `bootstrap` (percentile, over base clips) or `none` (no answers).
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    method: str


@dataclass(frozen=True)
class Difference:
    """A paired difference of two means (second minus first), over the base clips that both have.

    Attributes:
        p: Two-sided: exact sign-flip test over base clips if there are at most 13, else by random sign flips.
    """

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    clusters: int


def estimate(outcomes: Outcomes) -> Estimate:
    """The share of answers that count, every base clip weighted by its number of answers."""
    values = [np.asarray(answers, dtype=float) for _, answers in sorted(outcomes.items()) if len(answers)]
    n = sum(len(answers) for answers in values)
    if n == 0:
        return Estimate(None, None, None, 0, 0, "none")
    if n == len(values) and all(answer in (0.0, 1.0) for answers in values for answer in answers):
        hits = int(sum(answers[0] for answers in values))
        interval = stats.binomtest(hits, n).proportion_ci(method="exact")
        return Estimate(hits / n, float(interval.low), float(interval.high), n, n, "clopper_pearson")
    sums = np.array([answers.sum() for answers in values])
    sizes = np.array([len(answers) for answers in values])
    low, high = _bootstrap_ratio(sums, sizes)
    return Estimate(float(sums.sum() / sizes.sum()), low, high, n, len(values), "bootstrap")


def difference(first: Outcomes, second: Outcomes) -> Difference:
    """How much the second mean lies above the first, paired by base clip."""
    common = sorted(base for base in first.keys() & second.keys() if len(first[base]) and len(second[base]))
    if not common:
        return Difference(None, None, None, None, 0)
    change = np.array([np.mean(second[base]) - np.mean(first[base]) for base in common])
    low, high = _bootstrap_ratio(change, np.ones(len(change)))
    return Difference(float(change.mean()), low, high, _sign_flip_p(change), len(common))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p values in the order given (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return [float(value) for value in adjusted]


def _bootstrap_ratio(sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Percentile interval of sum/size over resampled base clips."""
    if len(sums) == 1:
        ratio = float(sums[0] / sizes[0])
        return ratio, ratio
    result = stats.bootstrap(
        (sums, sizes),
        lambda s, z, axis: s.sum(axis=axis) / z.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_SEED),
        batch=512,
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _sign_flip_p(change: npt.NDArray[np.float64]) -> float:
    """Two-sided p of the mean change under random signs: scipy's paired permutation test."""
    if len(change) == 1 or not np.any(change):  # one clip is as far off with either sign
        return 1.0
    result = stats.permutation_test(
        (change,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(_SEED),
        batch=512,
    )
    return float(result.pvalue)
