"""Statistics of conflict: intervals, paired tests and corrections, clustered by base clip.

Answers about variants of one base clip (several donors, several seeds) are not independent, so a base clip is the unit
that is resampled and permuted. Where each base clip has one answer the exact binomial interval is used, which stays
honest at 0 and 100 % and on few clips, where a bootstrap claims no doubt at all.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

RESAMPLES = 9_999
KAPPA_RESAMPLES = 999  # of what is computed resample by resample
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


@dataclass(frozen=True)
class Agreement:
    """Two judges on one check, over all clips that both judged or over those of one class.

    Attributes:
        class_name: None for all classes.
        clips: How many both judged.
        same: To how many both gave the same answer.
        only_first: Passed by the first judge alone.
        only_second: Passed by the second alone.
        kappa: -1 to 1; None if both gave one and the same answer throughout, which no chance can be taken from.
        low: Of the 95 % interval; None without a kappa, or with a single clip.
    """

    first: str
    second: str
    check: str
    class_name: str | None
    clips: int
    same: int
    only_first: int
    only_second: int
    kappa: float | None
    low: float | None
    high: float | None


def agreement(
    first: str,
    second: str,
    check: str,
    class_name: str | None,
    one: npt.NDArray[np.bool_],
    other: npt.NDArray[np.bool_],
) -> Agreement:
    """Agreement of two answers [clips] each."""
    cells = _cells(one, other)
    kappa, low, high = _kappa(cells), None, None
    if kappa is not None and len(one) > 1:
        low, high = _interval(one, other)
    neither, only_second, only_first, both = cells
    return Agreement(
        *(first, second, check, class_name, len(one), neither + both, only_first, only_second, kappa, low, high)
    )


def percentile_interval(samples: Sequence[npt.NDArray[Any]], statistic: Callable[..., float]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a statistic of paired samples [clips], without NaN resamples."""
    with warnings.catch_warnings():
        # Where all resamples have one value, that is the interval, and no reason to warn.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        resampled = stats.bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=KAPPA_RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(_SEED),
        ).bootstrap_distribution
    low, high = np.nanpercentile(resampled, [2.5, 97.5]).tolist()
    return low, high


def _interval(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> tuple[float, float]:
    return percentile_interval((one, other), lambda a, b: _or_nan(_kappa(_cells(a, b))))


def _cells(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """How many clips both reject, only the second passes, only the first passes, both pass."""
    neither, only_second, only_first, both = np.bincount(2 * one.astype(int) + other, minlength=4).tolist()
    return neither, only_second, only_first, both


@cache
def _kappa(cells: tuple[int, int, int, int]) -> float | None:
    """Kappa of a two-by-two table; resamples of few clips often have the same one."""
    from sklearn.metrics import cohen_kappa_score

    if max(cells[0], cells[3]) == sum(cells):
        return None
    return float(cohen_kappa_score([0, 0, 1, 1], [0, 1, 0, 1], sample_weight=list(cells)))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def interval(row: Mapping[str, Any]) -> str:
    """`0.81 [0.62, 0.95]`, or a dash where there is no kappa."""
    if row["kappa"] is None:
        return "–"
    if row["low"] is None:
        return f"{row['kappa']:.2f}"
    return f"{row['kappa']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def format_estimate(cell: Estimate | Mapping[str, Any]) -> str:
    """`73.2 [65.1, 80.3]` in percent, or a dash where there is nothing to average."""
    values = asdict(cell) if isinstance(cell, Estimate) else cell
    if values["mean"] is None:
        return "–"
    return f"{100 * values['mean']:.1f} [{100 * values['low']:.1f}, {100 * values['high']:.1f}]"
