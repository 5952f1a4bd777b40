"""How far two judges agree, and what one of them rejects alone: pure functions of verdict tables.

Cohen's kappa is scikit-learn's; its interval is scipy's percentile bootstrap over clips. Resamples in which both
judges give one and the same answer throughout have no kappa and are left out.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from mma_bench.schema import CHECKS

RESAMPLES: Final = 999
ALL_FOUR: Final = "all_four"  # beside the checks: whether the clip is kept

_SEED: Final = 2511


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


def judged_by_all(verdicts: Mapping[str, pl.DataFrame]) -> list[str]:
    """The clips that every judge could judge, sorted."""
    judged = [set(table.filter(pl.col("status").is_in(["ok", "rejected"]))["clip_id"]) for table in verdicts.values()]
    return sorted(set.intersection(*judged)) if judged else []


def agreements(verdicts: Mapping[str, pl.DataFrame]) -> Iterator[Agreement]:
    """Each pair of judges, each check, all classes together and each class.

    Args:
        verdicts: Judge → its table (schema VERDICTS).
    """
    for first, second in combinations(verdicts, 2):
        pair = {name: verdicts[name] for name in (first, second)}
        clips = pl.DataFrame({"clip_id": judged_by_all(pair)}, schema={"clip_id": pl.String()})
        one, other = (
            clips.join(
                table.with_columns((pl.col("status") == "ok").alias(f"{ALL_FOUR}_pass")),
                on="clip_id",
                how="left",
                maintain_order="left",
            )
            for table in pair.values()
        )
        classes = one["class_name"].to_numpy()
        for check in (ALL_FOUR, *CHECKS):
            answers = [table[f"{check}_pass"].to_numpy().astype(bool) for table in (one, other)]
            for class_name in (None, *sorted(set(classes))):
                chosen = np.ones(len(classes), bool) if class_name is None else classes == class_name
                yield agreement(first, second, check, class_name, answers[0][chosen], answers[1][chosen])


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


def _interval(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> tuple[float, float]:
    return percentile_interval((one, other), lambda a, b: _or_nan(_kappa(_cells(a, b))))


def percentile_interval(samples: Sequence[npt.NDArray[Any]], statistic: Callable[..., float]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a statistic of paired samples [clips], without NaN resamples."""
    from scipy import stats

    with warnings.catch_warnings():
        # Where all resamples have one value, that is the interval, and no reason to warn.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        resampled = stats.bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(_SEED),
        ).bootstrap_distribution
    low, high = np.nanpercentile(resampled, [2.5, 97.5]).tolist()
    return low, high


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


def rejected_alone(verdicts: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """Clips that every judge but one keeps, and what the one says of them; by judge and clip."""
    clips = judged_by_all(verdicts)
    kept = {name: kept_by(table) for name, table in verdicts.items()}
    rows = []
    for name, table in verdicts.items():
        others = [kept[other] for other in verdicts if other != name]
        alone = {clip for clip in clips if clip not in kept[name] and all(clip in passed for passed in others)}
        for row in table.filter(pl.col("clip_id").is_in(sorted(alone))).sort("clip_id").rows(named=True):
            said = {"score": row[f"{row['reason']}_score"], "words": row[f"{row['reason']}_answer"]}
            rows.append({"judge": name, **{key: row[key] for key in ("clip_id", "class_name", "reason")}, **said})
    return rows if len(verdicts) > 1 else []


def kept_by(verdicts: pl.DataFrame) -> frozenset[str]:
    """The clips that a judge keeps."""
    return frozenset(verdicts.filter(pl.col("status") == "ok")["clip_id"])


def class_counts(verdicts: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """For each class: `clips` that all judges judged, and how many of them each judge keeps."""
    clips = set(judged_by_all(verdicts))
    table = next(iter(verdicts.values())).filter(pl.col("clip_id").is_in(sorted(clips)))
    rows = []
    for (class_name,), members in sorted(table.group_by("class_name")):
        ids = set(members["clip_id"])
        kept = {name: len(ids & kept_by(verdict)) for name, verdict in verdicts.items()}
        rows.append({"class_name": str(class_name), "clips": len(ids), "kept": kept})
    return rows


def distribution_shift(counts: list[dict[str, Any]], judge: str) -> float | None:
    """Total variation distance, 0 to 1, of the classes a judge keeps from those it was shown; None if it keeps none."""
    shown, kept = sum(row["clips"] for row in counts), sum(row["kept"][judge] for row in counts)
    if not kept:
        return None
    return 0.5 * float(sum(abs(row["kept"][judge] / kept - row["clips"] / shown) for row in counts))


def as_rows(found: list[Agreement]) -> list[dict[str, Any]]:
    """As rows of a table."""
    return [asdict(row) for row in found]
