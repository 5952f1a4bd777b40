"""The fewest clips on which fresh runs of the same models would keep their ranking, with a stated certainty.

The ranking that is kept is that of every two runs which all clips tell apart (`stats.paired`); others are ties. The
difference of two runs on n clips is predicted from that on all N: mean d, variance s² (1/n + 1/N), since the true
difference is known no better than N clips tell; s² is the variance of the clips' differences, inflated by shared
donors, and Student's t allows for its estimate. The certainty that all pairs keep their order is at least one minus the
sum of their risks (Bonferroni). Choosing clips for how they happened to be answered would promise too much, so they
are drawn at random, evenly over the range of difficulties. Polo et al. ("tinyBenchmarks: evaluating LLMs with fewer
examples", arXiv 2402.14992) estimate scores from chosen examples instead, by item response theory over many models.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from mma_bench.clusters import Array, cluster_variance, codes_of
from mma_bench.evaluation.clip_choice.items import Outcomes
from mma_bench.stats import paired


@dataclass(frozen=True)
class Plan:
    """A planned subset.

    Attributes:
        clips: Base clips, sorted; empty if not even all of them suffice.
        certainty: That fresh runs keep the order of all pairs that are told apart; of all clips if they do not suffice.
        pairs: Numbers of the runs that all clips tell apart, the better one first.
        ties: Numbers of the runs that they do not.
    """

    clips: list[str]
    certainty: float
    pairs: list[tuple[int, int]]
    ties: list[tuple[int, int]]


@dataclass(frozen=True)
class _Difference:
    mean: float
    variance: float  # of one clip's difference
    df: int

    def risk(self, few: int, every: int) -> float:
        """That the order is not kept on so many clips."""
        if self.variance == 0:
            return 0.0 if self.mean > 0.5 / few else 1.0
        spread = np.sqrt(self.variance * (1 / few + 1 / every))
        untied = self.mean - 0.5 / few  # a continuity correction: equal scores do not keep the order
        return float(stats.t.sf(untied / spread, self.df))


def certainty_text(certainty: float) -> str:
    """In percent, rounded down: what is stated is never more than what is known, and never certain."""
    return "more than 99.9 %" if certainty > 0.999 else f"{int(1000 * certainty + 1e-9) / 10:.1f} %"


def plan_subset(outcomes: Outcomes, certainty: float, seed: int = 0) -> Plan:
    """The smallest subset with the certainty, 0 to 1; a seed draws another of the same size."""
    bases = sorted(set(outcomes.bases))
    place = np.array([bases.index(base) for base in outcomes.bases])
    counts = np.bincount(place)
    by_clip = np.array([np.bincount(place, row) / counts for row in outcomes.right])  # [runs, clips]
    donor_of = dict(zip(outcomes.bases, outcomes.donors, strict=True))
    keys = [bases, [donor_of[base] for base in bases]]
    if keys[0] == keys[1]:
        keys = keys[:1]
    pairs, ties, differences = [], [], []
    for one, two in combinations(range(len(by_clip)), 2):
        change = by_clip[one] - by_clip[two]
        found = paired([float(value) for value in change], keys)
        if found.p is None or found.p >= 0.05:
            ties.append((one, two))
            continue
        better = (one, two) if change.mean() > 0 else (two, one)
        pairs.append(better)
        differences.append(_of(abs(float(change.mean())), change - change.mean(), keys))

    def kept(few: int) -> float:
        return 1 - sum(each.risk(few, len(bases)) for each in differences)

    if not differences or kept(len(bases)) < certainty:
        return Plan([], max(0.0, kept(len(bases))) if differences else 0.0, pairs, ties)
    few = next(few for few in range(2, len(bases) + 1) if kept(few) >= certainty)
    return Plan(_drawn(bases, by_clip.mean(axis=0), few, seed), kept(few), pairs, ties)


def _of(mean: float, rest: Array, keys: list[list[str]]) -> _Difference:
    variance, df = cluster_variance(rest, [codes_of(each) for each in keys])
    return _Difference(mean, variance / len(rest) * (df + 1) / max(df, 1), max(df, 1))


def _drawn(bases: list[str], ease: Array, few: int, seed: int) -> list[str]:
    """So many clips, spread evenly over the order of ease: a systematic sample with a random start."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(bases)), ease))
    steps = (np.arange(few) + rng.random()) * len(bases) / few
    return sorted(bases[order[int(step)]] for step in steps)
