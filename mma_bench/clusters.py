"""The variance of a mean whose answers share clips: multiway clustering of one or two ways.

Source: Cameron, Gelbach and Miller, "Robust inference with multiway clustering", Journal of Business & Economic
Statistics 2011.
"""

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.intp]  # [answers], from 0, equal for answers of one cluster


def codes_of(keys: Sequence[Hashable]) -> Codes:
    """Numbers keys from 0, in order of first occurrence."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def clusters_within(group: Codes, way: Codes) -> npt.NDArray[np.intp]:
    """The number of clusters in each group."""
    pairs = np.unique(group * (way.max() + 1) + way)
    return np.bincount(pairs // (way.max() + 1))


def cluster_variance(parts: Array, codes: Sequence[Codes]) -> tuple[float, int]:
    """The variance of the sum of `parts` [answers], and its degrees of freedom: the fewest clusters of a way, minus
    one.

    For two ways: the sum of both, minus that of their intersection; at least that of either alone, since the sum can be
    smaller by chance.
    """
    ways = [_squares(parts, way) for way in codes]
    variance = max(ways)
    if len(codes) == 2:
        both = codes[0] * (codes[1].max() + 1) + codes[1]
        variance = max(variance, sum(ways) - _squares(parts, np.unique(both, return_inverse=True)[1]))
    return variance, min(int(way.max()) for way in codes)


def _squares(parts: Array, way: Codes) -> float:
    return float((np.bincount(way, parts) ** 2).sum())
