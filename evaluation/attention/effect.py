"""How far two questions pull attention apart: Cohen's d (section 4.2, equations 1 and 2), with its doubt.

A base clip is the unit: heads, steps and variants of one clip are not independent samples, and counting them as such
would make any difference significant. The two questions are about the same clips, so clips are resampled in pairs, and
under the null hypothesis the two questions of a clip may change places.
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
_FEWEST: Final = 5  # clips; of fewer, most resamples repeat one clip and have hardly any spread
_AT_ONCE: Final = 64  # resamples
_RESOLUTION: Final = 1e-6  # of the float32 that shares are made of; less spread than that is rounding


@dataclass(frozen=True)
class Separation:
    """Cohen's d of the question about sight (first) against that about sound (second).

    Attributes:
        d: None where it is not defined: fewer than 5 clips, or no spread.
        low: Of the 95 % percentile bootstrap interval over base clips.
        high: Likewise.
        p: Two-sided, of the permutation test against d = 0; None where none is made.
        p_holm: p corrected for all d that were computed together.
        clips: Base clips.
    """

    d: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    clips: int


def cohens_d(first: Array, second: Array, axis: int = -1) -> Array:
    """Equations 1 and 2; NaN where the pooled standard deviation is 0 within rounding.

    Args:
        first: Samples along `axis`, at least 2.
        second: Likewise; as many here, though the formula allows others.
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
    """Cohen's d of several measures on the same clips, each with interval and permutation test.

    Args:
        first: [measures, clips], one question.
        second: [measures, clips], the other question, about the same clips in the same order.
        resamples: Of bootstrap and test; with fewer permutations than that the test is exact.
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
    """For pairs that change places, d grows and falls with it, and it is defined where d is not.

    The sum of squares of both samples together stays, so the pooled variance falls as the difference grows.
    """
    difference: Array = first.mean(axis=axis) - second.mean(axis=axis)
    return difference


def token_separation(first: Sequence[Array], second: Sequence[Array], *, resamples: int = RESAMPLES) -> Separation:
    """Cohen's d of the weights of single tokens, pooled over clips, heads and steps.

    Args:
        first: Under one question, three arrays [clips]: how many weights, their sum, and the sum of their squares.
        second: Likewise under the other question, the same clips in the same order.
        resamples: Of the bootstrap over clips. There is no test: tokens of one clip are not exchangeable.
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

    Resamples of one clip alone have no spread and no d. With a handful of clips they occur, and scipy warns that its
    own interval cannot be computed; here they are left out.
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
