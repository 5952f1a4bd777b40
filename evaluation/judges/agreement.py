"""Agreement between judges, and what one of them rejects alone: pure functions of verdict tables.

Cohen's kappa is scikit-learn's, its interval that of `stats.agreement_interval`. Resamples in which both judges give a
single constant answer have no kappa and are dropped.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
import polars as pl

from mma_bench.schema import CHECKS
from mma_bench.stats import Agreement, agreement

RESAMPLES: Final = 999
ALL_FOUR: Final = "all_four"  # in addition to the checks: whether the clip is kept

_SEED: Final = 2511


def judged_by_all(verdicts: Mapping[str, pl.DataFrame]) -> list[str]:
    """The clips with a verdict from every judge, sorted."""
    judged = [set(table.filter(pl.col("status").is_in(["ok", "rejected"]))["clip_id"]) for table in verdicts.values()]
    return sorted(set.intersection(*judged)) if judged else []


def agreements(verdicts: Mapping[str, pl.DataFrame]) -> Iterator[Agreement]:
    """Agreement of each pair of judges by check, over all classes and per class.

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


def rejected_alone(verdicts: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """Clips that exactly one judge rejects, with that judge's answers; by judge and clip."""
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
    """For each class, the number of `clips` judged by all judges, and how many each judge keeps."""
    clips = set(judged_by_all(verdicts))
    table = next(iter(verdicts.values())).filter(pl.col("clip_id").is_in(sorted(clips)))
    rows = []
    for (class_name,), members in sorted(table.group_by("class_name")):
        ids = set(members["clip_id"])
        kept = {name: len(ids & kept_by(verdict)) for name, verdict in verdicts.items()}
        rows.append({"class_name": str(class_name), "clips": len(ids), "kept": kept})
    return rows


def distribution_shift(counts: list[dict[str, Any]], judge: str) -> float | None:
    """Total variation distance (0..1) between the classes of a judge's kept and input clips; None if it keeps none."""
    shown, kept = sum(row["clips"] for row in counts), sum(row["kept"][judge] for row in counts)
    if not kept:
        return None
    return 0.5 * float(sum(abs(row["kept"][judge] / kept - row["clips"] / shown) for row in counts))
