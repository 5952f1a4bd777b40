"""Differences of Cohen's d between conditions and model states, with a bootstrap interval and a sign-flip test.

The cells of a contrast hold the same clips, so clips are resampled together (paired). Clips that share a donor share a
sound and are resampled, left out and flipped together: with one value per base clip, base clips lie within donors, and
the variance clustered by both (`mma_bench.clusters`) is that clustered by donor.

The interval is Student's t with the bootstrap's bias and standard error (Davison and Hinkley, "Bootstrap Methods and
their Application", 1997, section 5.2): percentiles are too narrow, since d is a ratio. The test flips the signs of the
jackknife's pseudovalues, whose mean estimates the difference: it needs no equal levels or variances in the cells, as
exchanging the conditions of a clip would. `benchmarks/coverage_attention.py` measures both.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from mma_bench.clusters import Codes
from mma_bench.stats import RESAMPLES

Array: TypeAlias = npt.NDArray[np.float64]

_SEED: Final = 2511
_FEWEST: Final = 5  # clusters
_DRAWS: Final = 1_999  # bootstrap resamples: the standard error is then exact to about 2 %
_RESOLUTION: Final = 1e-6  # relative, for float32 masses; less spread than that is rounding error


@dataclass(frozen=True)
class Contrast:
    """A difference of Cohen's d.

    Attributes:
        difference: None if undefined: fewer than 5 clusters, or no variance in a cell.
        low: Lower bound of the 95 % interval.
        high: Upper bound.
        p: Two-sided, against no difference; exact if all sign flips were tried.
        clips: Base clips in all cells.
        clusters: Clusters of base clips: their donors, or the base clips themselves.
    """

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    clips: int
    clusters: int


def moments(values: Array) -> Array:
    """Number, sum and sum of squares of one value per clip, [..., 3, clips] from [..., clips]."""
    return np.stack([np.ones_like(values), values, values**2], axis=-2)


def contrasts(sums: Array, signs: Array, clusters: Codes, *, resamples: int = RESAMPLES) -> list[Contrast]:
    """The contrast at every place (layer or head), and last that of the mean of d over all places.

    Args:
        sums: [places, cells, 6, clips]: `moments` of each clip under the visual question, then under the audio one.
        signs: [cells]: the weight of each cell's d, e.g. (1, -1).
        clusters: [clips]: the cluster of each clip, numbered from 0.
        resamples: Sign flips of the test, which is exact if there are no more, and at most the bootstrap resamples.
    """
    clips, count = sums.shape[-1], int(clusters.max(initial=-1)) + 1
    none = Contrast(None, None, None, None, clips, count)
    if count < _FEWEST:
        return [none] * (len(sums) + 1)
    parts = sums @ np.eye(count)[clusters]  # [places, cells, 6, clusters]
    whole = parts.sum(axis=-1)
    found = _with_mean(_contrast(whole, signs))
    left_out = _with_mean(np.stack([_contrast(whole - parts[..., cluster], signs) for cluster in range(count)]))
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(count, np.full(count, 1 / count), min(resamples, _DRAWS)).astype(float)
    samples = (np.moveaxis(drawn @ place.swapaxes(-1, -2), 0, -2) for place in parts)  # each [resamples, cells, 6]
    resampled = _with_mean(np.stack([_contrast(sample, signs) for sample in samples], axis=-1))
    p = _sign_flips(count * found - (count - 1) * left_out, resamples, rng)
    t = float(special.stdtrit(count - 1, 0.975))
    rows = []
    for place, difference in enumerate(found):
        good = resampled[np.isfinite(resampled[:, place]), place]
        if not np.isfinite(left_out[:, place]).all() or len(good) < len(resampled) / 2:
            rows.append(none)
            continue
        centre = 2 * float(difference) - float(good.mean())
        half = t * float(good.std(ddof=1)) * math.sqrt(count / (count - 1))
        rows.append(Contrast(float(difference), centre - half, centre + half, float(p[place]), clips, count))
    return rows


def _contrast(sums: Array, signs: Array) -> Array:
    """[...] from sums over clips [..., cells, 6]."""
    with np.errstate(invalid="ignore"):  # NaN @ signs
        contrast: Array = _d(sums) @ signs
    return contrast


def _with_mean(values: Array) -> Array:
    return np.concatenate([values, values.mean(axis=-1, keepdims=True)], axis=-1)


def _d(sums: Array) -> Array:
    """Equations 1 and 2 from sums [..., 6]; NaN without spread."""
    n, s, q, m, t, r = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.maximum((q - s * s / n) + (r - t * t / m), 0) / (n + m - 2))
        size = np.sqrt(np.maximum(q / n, r / m))
        return np.where(spread > _RESOLUTION * size, (s / n - t / m) / spread, np.nan)


def _sign_flips(values: Array, resamples: int, rng: np.random.Generator) -> Array:
    """p of each column of values [clusters, measures] against a mean of 0."""
    count = len(values)
    exact = 2**count <= resamples
    flips = np.array(list(product((1.0, -1.0), repeat=count))) if exact else rng.choice((1.0, -1.0), (resamples, count))
    reached = np.abs(flips @ values) >= np.abs(values.sum(axis=0)) * (1 - 1e-9)
    p: Array = reached.mean(axis=0) if exact else (1 + reached.sum(axis=0)) / (1 + resamples)
    return p
