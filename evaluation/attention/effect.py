"""Effect of the question on attention: Cohen's d (section 4.2, equations 1 and 2) with its uncertainty.

The unit is the base clip: heads, steps and variants of one clip are not independent samples, and treating them as such
would make any difference significant. Both questions are about the same clips, so the bootstrap is paired, and under
the null hypothesis the two questions of a clip are exchangeable.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from mma_bench.stats import RESAMPLES, holm

Array: TypeAlias = npt.NDArray[np.float64]

_SEED: Final = 2511
_FEWEST: Final = 5  # clips; with fewer, many resamples have hardly any variance
_AT_ONCE: Final = 64  # resamples
_RESOLUTION: Final = 1e-6  # relative, for float32 shares; less spread than that is rounding error


@dataclass(frozen=True)
class Separation:
    """Cohen's d of the visual question (first) against the audio question (second).

    Attributes:
        d: None if undefined: fewer than 5 clips, or no variance.
        low: Lower bound of the 95 % percentile bootstrap interval over base clips.
        high: Upper bound.
        p: Two-sided, of the permutation test against d = 0; None without a test.
        p_holm: p, Holm-corrected over all d computed together.
        clips: Number of base clips.
    """

    d: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    clips: int


def cohens_d(first: Array, second: Array, axis: int = -1) -> Array:
    """Equations 1 and 2; NaN if the pooled standard deviation is 0 within rounding error.

    Args:
        first: Samples along `axis`, at least 2.
        second: Likewise; always the same number here, although the formula does not require it.
    """
    n, m = first.shape[axis], second.shape[axis]
    pooled = ((n - 1) * first.var(axis=axis, ddof=1) + (m - 1) * second.var(axis=axis, ddof=1)) / (n + m - 2)
    difference = first.mean(axis=axis) - second.mean(axis=axis)
    size = np.maximum(np.abs(first).max(axis=axis), np.abs(second).max(axis=axis))
    spread = np.sqrt(pooled)
    quotient: Array = np.divide(
        difference, spread, out=np.full_like(difference, np.nan), where=spread > _RESOLUTION * size
    )
    return quotient


def separations(first: Array, second: Array, *, resamples: int = RESAMPLES) -> list[Separation]:
    """Cohen's d of several measures on the same clips, each with an interval and a permutation test.

    Args:
        first: [measures, clips], one question.
        second: [measures, clips], the other question, about the same clips in the same order.
        resamples: Number for bootstrap and test; the test is exact if there are fewer permutations.
    """
    clips = first.shape[1]
    none = Separation(None, None, None, None, None, clips)
    if clips < _FEWEST:
        return [none] * len(first)
    d = cohens_d(first, second)
    there = np.flatnonzero(np.isfinite(d))
    if not len(there):
        return [none] * len(first)
    pair = first[there], second[there]
    options: dict[str, Any] = {"vectorized": True, "axis": -1, "n_resamples": resamples, "batch": _AT_ONCE}
    low, high = _interval(pair, cohens_d, **options)
    p = stats.permutation_test(
        pair, _mean_difference, permutation_type="samples", rng=np.random.default_rng(_SEED), **options
    ).pvalue
    found = {
        int(row[0]): Separation(float(row[1]), float(row[2]), float(row[3]), float(row[4]), float(row[5]), clips)
        for row in zip(there, d[there], low, high, p, holm(p), strict=True)
    }
    return [found.get(i, none) for i in range(len(first))]


def _mean_difference(first: Array, second: Array, axis: int) -> Array:
    """The test statistic: monotone in d when pairs are swapped, and defined where d is not.

    The total sum of squares is invariant under swaps, so the pooled variance falls as the difference grows.
    """
    difference: Array = first.mean(axis=axis) - second.mean(axis=axis)
    return difference


def token_separation(first: Sequence[Array], second: Sequence[Array], *, resamples: int = RESAMPLES) -> Separation:
    """Cohen's d of the weights of single tokens, pooled over clips, heads and steps.

    Args:
        first: Under one question, three arrays [clips]: number of weights, their sum, and their sum of squares.
        second: Likewise under the other question, the same clips in the same order.
        resamples: Number of bootstrap resamples over clips. There is no test: tokens of one clip are not exchangeable.
    """
    clips = len(first[0])
    (n, s, q), (m, t, r) = first, second
    d = _pooled_d(n, s, q, m, t, r)
    if clips < _FEWEST or not np.isfinite(d):
        return Separation(None, None, None, None, None, clips)
    low, high = _interval((*first, *second), _pooled_d, vectorized=True, n_resamples=resamples, batch=512)
    return Separation(float(d), float(low), float(high), None, None, clips)


def _interval(samples: Sequence[Array], statistic: Callable[..., Array], **options: Any) -> tuple[Array, Array]:
    """The 95 % percentile interval over resampled clips.

    Resamples that repeat a single clip have no variance and no d. With few clips they occur, and scipy warns that its
    interval cannot be computed; here they are dropped.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        resampled = stats.bootstrap(
            samples, statistic, paired=True, method="percentile", rng=np.random.default_rng(_SEED), **options
        ).bootstrap_distribution
    low, high = np.nanpercentile(resampled, (2.5, 97.5), axis=-1)
    return low, high


def _pooled_d(n: Array, s: Array, q: Array, m: Array, t: Array, r: Array, axis: int = -1) -> Array:
    """Equations 1 and 2 from counts, sums and sums of squares."""
    (n, s, q), (m, t, r) = ((part.sum(axis=axis) for part in side) for side in ((n, s, q), (m, t, r)))
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = (q - s * s / n) + (r - t * t / m)
        d: Array = (s / n - t / m) / np.sqrt(np.maximum(inner, 0) / (n + m - 2))
    return np.where(np.isfinite(d), d, np.nan)
