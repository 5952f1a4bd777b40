"""Pairs of 64-bit hashes that differ in few bits, found without comparing each hash with each other.

Multi-index hashing (M. Norouzi, A. Punjani and D. J. Fleet, "Fast Exact Search in Hamming Space with Multi-Index
Hashing", arXiv 1307.2982): if two hashes differ in at most k bits and are cut into m bands, they differ in at most
k // m bits of some band. So only hashes are compared of which one band is that near. It is exact. Other than in the
paper, the radius is given and m is the number of bands with the least work for it, by the expected number of
comparisons; the sorted bands are searched, instead of tables filled. How much is saved depends on the radius: at 6 bits
nearly all, above about 20 nothing.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import comb
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

HASH_BITS: Final = 64
_BLOCK: Final = 1 << 20  # pairs compared at once: some tens of megabytes

Hashes: TypeAlias = npt.NDArray[np.uint64]
Indices: TypeAlias = npt.NDArray[np.intp]


def nearest_within(mine: Hashes, others: Hashes, bits: int) -> tuple[Indices, Indices]:
    """The nearest of `others` to each of `mine`, if it differs in at most `bits` bits, 0 to 64.

    Returns:
        For each of `mine` the number of bits that differ and the index in `others`, of equally near ones the first;
        64 and -1 if none is that near.
    """
    distances, indices = np.full(mine.size, HASH_BITS, np.intp), np.full(mine.size, -1, np.intp)
    if not mine.size or not others.size:
        return distances, indices
    # Many clips may have the same hash, as those of a still picture; each is searched for once.
    asked, back = np.unique(mine, return_inverse=True)
    there, first = np.unique(others, return_index=True)
    nothing = (HASH_BITS + 1) * others.size
    best = np.full(asked.size, nothing, np.intp)  # bits, then index, as one number
    for rows, columns in _pairs(asked, there, bits):
        differing = np.bitwise_count(asked[rows] ^ there[columns]).astype(np.intp)
        near = differing <= bits
        np.minimum.at(best, rows[near], differing[near] * others.size + first[columns[near]])
    best = best[back]
    found = best < nothing
    distances[found], indices[found] = np.divmod(best[found], others.size)
    return distances, indices


def _pairs(mine: Hashes, others: Hashes, bits: int) -> Iterator[tuple[Indices, Indices]]:
    """As `_candidates`; the more numerous ones are indexed, the fewer looked up."""
    if mine.size <= others.size:
        return _candidates(mine, others, bits)
    return ((rows, columns) for columns, rows in _candidates(others, mine, bits))


def _candidates(mine: Hashes, others: Hashes, bits: int) -> Iterator[tuple[Indices, Indices]]:
    """Indices of pairs, among which are all that differ in at most `bits` bits; some come more than once."""
    bands = _bands(bits, others.size)
    for start, width in bands:
        mask = np.uint64((1 << width) - 1)
        keys, wanted = (others >> np.uint64(start)) & mask, (mine >> np.uint64(start)) & mask
        order = np.argsort(keys)
        keys = keys[order]
        for flipped in _patterns(width, bits // len(bands)):
            sought = wanted ^ flipped
            begins, ends = np.searchsorted(keys, sought, "left"), np.searchsorted(keys, sought, "right")
            yield from _expanded(begins, ends - begins, order)


def _expanded(begins: Indices, counts: Indices, order: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Each row with `order[begin : begin + count]`, some rows at a time."""
    hits = np.flatnonzero(counts)
    totals = np.cumsum(counts[hits])
    done = 0
    while done < hits.size:
        base = totals[done - 1] if done else 0
        end = max(done + 1, int(np.searchsorted(totals, base + _BLOCK, "right")))
        rows = hits[done:end]
        repeats = counts[rows]
        offsets = np.arange(totals[end - 1] - base) - np.repeat(totals[done:end] - repeats - base, repeats)
        yield np.repeat(rows, repeats), order[np.repeat(begins[rows], repeats) + offsets]
        done = end


def _bands(bits: int, size: int) -> list[tuple[int, int]]:
    """(first bit, bits) of each band: as many as give the least work per hash; one of 0 bits compares all with all."""

    def work(count: int) -> float:
        per_band = [(width, _number_of_patterns(width, bits // count)) for _, width in _cut(count)]
        return float(sum(patterns * (1 + size / 2**width) for width, patterns in per_band))

    best = min(range(1, bits + 2), key=work) if bits < HASH_BITS else 1
    return _cut(best) if work(best) < size else [(0, 0)]


def _cut(count: int) -> list[tuple[int, int]]:
    edges = [number * HASH_BITS // count for number in range(count + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]


def _number_of_patterns(width: int, radius: int) -> int:
    return sum(comb(width, flips) for flips in range(min(radius, width) + 1))


def _patterns(width: int, radius: int) -> Iterator[np.uint64]:
    """All words of at most `radius` set bits among the lowest `width`."""
    for flips in range(min(radius, width) + 1):
        for places in combinations(range(width), flips):
            yield np.uint64(sum(1 << place for place in places))
