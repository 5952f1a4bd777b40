"""The variance of a mean whose answers share clips, or were given by the same people: clustering of one to three ways.

Source: Cameron, Gelbach and Miller, "Robust inference with multiway clustering", Journal of Business & Economic
Statistics 2011.
"""

from collections.abc import Hashable, Sequence
from itertools import combinations
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

    For several ways: the sum of all, minus that of each two's intersection, plus that of all three's; at least that of
    any alone, since the sum can be smaller by chance.
    """
    ways = [_squares(parts, way) for way in codes]
    total = sum(ways)
    for several in range(2, len(codes) + 1):
        for chosen in combinations(codes, several):
            total += (-1) ** (several + 1) * _squares(parts, _intersection(chosen))
    return max(*ways, total), min(int(way.max()) for way in codes)


def _intersection(ways: Sequence[Codes]) -> Codes:
    """Codes that are equal where those of all ways are."""
    found = ways[0]
    for way in ways[1:]:
        found = np.unique(found * (way.max() + 1) + way, return_inverse=True)[1]
    return found


def _squares(parts: Array, way: Codes) -> float:
    return float((np.bincount(way, parts) ** 2).sum())
