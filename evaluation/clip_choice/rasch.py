"""The Rasch model of runs and clips, by conditional maximum likelihood.

A run with ability a answers an item of difficulty d with probability 1 / (1 + exp(d - a)) correctly. There are few runs
and many items, so that the usual estimate, conditional on the runs' scores, is turned round: given how many runs were
right on an item, which ones depends on the abilities alone, so that these are estimated without the difficulties
(Rasch, "Probabilistic Models for Some Intelligence and Attainment Tests", 1960; the model is symmetric). An item's
difficulty then follows from its score. `girth` and `py-irt`, which fit the model, maximise a marginal likelihood over
many respondents, or need a probabilistic programming system.

There is no second parameter: from the answers of a few runs the slopes of single items are not to be had.
"""

from typing import Final

import numpy as np
from scipy import optimize, special

from mma_bench.clusters import Array

FEW_RUNS: Final = 30  # with fewer, an item's difficulty is uncertain by more than ±0.7 logits: 1.96 · 2 / √30


def abilities(right: Array) -> Array:
    """Of each run, with the mean 0, [runs]; infinite where a run is right on no item that tells runs apart, or on all.

    Args:
        right: 0 or 1, [runs, items].
    """
    scores = right.sum(axis=0)
    telling = right[:, (scores > 0) & (scores < len(right))]
    totals, found = telling.sum(axis=1), np.zeros(len(right))
    extreme = (totals == 0) | (totals == telling.shape[1])
    found[extreme] = np.where(totals[extreme] == 0, -np.inf, np.inf)
    inner = right[~extreme]
    if len(inner) < 2:
        return found
    scores = inner.sum(axis=0)
    counts = np.bincount(scores[(scores > 0) & (scores < len(inner))].astype(int), minlength=len(inner))
    totals = inner[:, (scores > 0) & (scores < len(inner))].sum(axis=1)

    def loss(free: Array) -> float:
        values = np.append(free, -free.sum())
        sums = np.log(_symmetric(np.exp(values)))[: len(inner)]
        return float(counts @ sums - totals @ values)

    best = optimize.minimize(loss, np.zeros(len(inner) - 1), method="BFGS").x
    found[~extreme] = np.append(best, -best.sum())
    return found


def _symmetric(values: Array) -> Array:
    """The elementary symmetric functions of the values, of order 0 to their number."""
    sums = np.zeros(len(values) + 1)
    sums[0] = 1.0
    for number, value in enumerate(values):
        sums[1 : number + 2] += value * sums[: number + 1]
    return sums


def difficulty(score: int, of_runs: Array) -> tuple[float | None, float | None]:
    """Of an item that so many runs got right, and its standard error; None where all or none did.

    Args:
        score: Number of runs, among those with a finite ability.
        of_runs: Their abilities.
    """
    if not 0 < score < len(of_runs):
        return None, None

    def excess(at: float) -> float:
        return float(special.expit(of_runs - at).sum()) - score

    found = float(optimize.brentq(excess, of_runs.min() - 20, of_runs.max() + 20))
    p = special.expit(of_runs - found)
    return found, float(1 / np.sqrt((p * (1 - p)).sum()))
