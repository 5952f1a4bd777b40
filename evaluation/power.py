"""`mma-bench power`: the smallest difference between two runs that a number of clips can show, before money is spent.

Two runs on the same clips are compared clip by clip, so what counts besides the number of clips is on how many of them
the runs differ: if one is right and the other wrong on 30 % of the clips, a difference of 30 points is the most there
can be, and 5 points are 17.5 % against 12.5 %. The power is that of the very test that reports and comparisons use
(`stats.paired`), exact over all outcomes for clips that are independent. Sample sizes for McNemar's test by a normal
approximation are in Connor, "Sample size for testing differences in proportions for the paired-sample design",
Biometrics 1987; this is the exact power of another test, as few clips need it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

ALPHA: Final = 0.05
_TAIL: Final = 1e-9  # of the number of clips on which the runs differ, which is left out
_MOST_CLIPS: Final = 10_000_000


@dataclass(frozen=True)
class Planned:
    """A comparison of two runs.

    Attributes:
        clips: On which both are asked the same question.
        changed: 0 to 1: the share of clips on which one is right and the other wrong.
        design_effect: At least 1: how much clips that share a donor or a video inflate the variance.
    """

    clips: int
    changed: float
    design_effect: float = 1.0

    @property
    def independent_clips(self) -> int:
        """As many independent clips would tell as much."""
        return max(int(self.clips / self.design_effect), 1)


def power(planned: Planned, difference: float) -> float:
    """The probability that the runs are found different, if one is `difference` better: 0 to `changed`."""
    n = planned.independent_clips
    low, high = (int(stats.binom.ppf(tail, n, planned.changed)) for tail in (_TAIL, 1 - _TAIL))
    changed = np.arange(low, high + 1)
    needed = _needed(n, changed)
    share = 0.5 * (1 + difference / planned.changed) if planned.changed else 0.5
    # With m clips changed, b of them for the better: the difference is 2b - m.
    better = stats.binom.sf(np.ceil((changed + needed) / 2) - 1, changed, share)
    worse = stats.binom.cdf(np.floor((changed - needed) / 2), changed, share)
    return float(stats.binom.pmf(changed, n, planned.changed) @ (better + np.where(needed > 0, worse, 0)))


def _needed(n: int, changed: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The least |better - worse| that the test of `stats.paired` finds different, for independent pairs; more than
    `changed` where none is.
    """
    total, df = n + 2, n - 1
    if df < 1:
        return changed + 1
    critical = float(stats.t.isf(ALPHA / 2, df)) ** 2
    # p <= alpha if mean² >= t² · variance, with mean = d / total and the variance
    # (changed + 2 - d² / total) / (total · (total - 1)): solved for d.
    squared = critical * (changed + 2) * total / (total - 1 + critical)
    needed: npt.NDArray[np.int64] = np.floor(np.sqrt(squared)).astype(np.int64) + 1
    return needed


def smallest_difference(planned: Planned, wanted: float) -> float | None:
    """The difference that is found with the wanted power, 0 to 1; None if even the largest possible is not."""
    if planned.changed == 0 or power(planned, planned.changed) < wanted:
        return None
    low, high = 0.0, planned.changed
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if power(planned, middle) >= wanted else (middle, high)
    return high


def clips_needed(changed: float, difference: float, wanted: float, design_effect: float = 1.0) -> int | None:
    """A number of clips that finds a difference with the wanted power, while one clip less does not; None if more than
    ten million.

    Counts are whole, so the power of more clips is now and then a little lower: if the runs differ on nearly all clips,
    a number that is some percent smaller may be enough as well, or a slightly larger one not quite.
    """
    low, high = 0, 8
    while power(Planned(math.ceil(high * design_effect), changed, design_effect), difference) < wanted:
        low, high = high, high * 2
        if high > _MOST_CLIPS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(Planned(math.ceil(middle * design_effect), changed, design_effect), difference) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return math.ceil(high * design_effect)


def rows(
    clips: int, changed: list[float], wanted: float, design_effect: float, difference: float | None
) -> Iterator[tuple[str, ...]]:
    """The table for the terminal: for each share of changed clips, the smallest difference, or the clips needed."""
    for share in changed:
        if difference is not None:
            if difference > share:
                yield f"{100 * share:g}%", "impossible: the difference is larger"
                continue
            needed = clips_needed(share, difference, wanted, design_effect)
            yield f"{100 * share:g}%", "more than ten million" if needed is None else f"{needed:,}"
            continue
        found = smallest_difference(Planned(clips, share, design_effect), wanted)
        yield f"{100 * share:g}%", "none" if found is None else f"{100 * found:.1f} points"
