"""Thresholds from labelled clips: precision and recall at every threshold, and the operating point by a stated rule.

In: pairs of a clip and a class with a person's label and the judge's score. The rule: of all thresholds with at least
the wanted precision, the one with the highest recall; of equals the highest. Precision and recall of a point have 95 %
intervals over clips.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mma_bench.builders.judges.contracts import Modality
from mma_bench.evaluation.judges.calibrate import Pair
from mma_bench.stats import Estimate, estimate


@dataclass(frozen=True)
class Point:
    """What a threshold does: a pair passes if its score reaches it."""

    threshold: float
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one judge in one modality.

    Attributes:
        positives: Pairs that people say are there, out of `pairs`.
        average_precision: The mean precision over all recalls (scikit-learn's); None without a positive.
        precision: By threshold, ascending.
        chosen: By the rule; None if no threshold reaches the wanted precision.
    """

    modality: Modality
    pairs: int
    positives: int
    average_precision: float | None
    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    chosen: Point | None


def curve(pairs: Sequence[Pair], modality: Modality, wanted_precision: float) -> Curve | None:
    """The curve of one modality; None if there is no pair of it."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    asked = [pair for pair in pairs if pair.modality == modality]
    if not asked:
        return None
    labels, scores = [pair.label for pair in asked], [pair.score for pair in asked]
    positives = sum(labels)
    if not positives:
        return Curve(modality, len(asked), 0, None, (), (), (), None)
    precision, recall, thresholds = (values.tolist() for values in precision_recall_curve(labels, scores))
    # The last point of scikit-learn's curve has no threshold.
    points = list(zip(precision, recall, thresholds, strict=False))
    good = [(found, threshold) for right, found, threshold in points if right >= wanted_precision and found > 0]
    chosen = point(asked, modality, max(good)[1]) if good else None
    average = float(average_precision_score(labels, scores))
    lines = tuple(thresholds), tuple(precision[:-1]), tuple(recall[:-1])
    return Curve(modality, len(asked), positives, average, *lines, chosen)


def point(pairs: Sequence[Pair], modality: Modality, threshold: float) -> Point:
    """Precision and recall at one threshold."""
    asked = [pair for pair in pairs if pair.modality == modality]
    passed = [pair for pair in asked if pair.score >= threshold]
    there = [pair for pair in asked if pair.label]
    return Point(
        threshold,
        _share(passed, lambda pair: pair.label),
        _share(there, lambda pair: pair.score >= threshold),
    )


def _share(pairs: Sequence[Pair], counts: Callable[[Pair], bool]) -> Estimate:
    by_clip: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        by_clip[pair.clip_id].append(1.0 if counts(pair) else 0.0)
    return estimate(by_clip)


def pairs_of_evidence(verdicts: Sequence[Mapping[str, Any]], labelled: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """Clips with their own class: labelled by VGGSounder, scored by the judge's unimodal checks.

    Args:
        verdicts: Judged rows of VERDICTS.
        labelled: Rows of `evidence.vggsounder.join_labels`.
    """
    people = {row["clip_id"]: row for row in labelled}
    return [
        Pair(
            *(row["clip_id"], modality, row["class_name"]),
            label=row["class_name"] in people[row["clip_id"]][column],
            score=row[f"{modality}_unimodal_score"],
        )
        for row in verdicts
        if row["clip_id"] in people
        for modality, column in _COLUMNS
    ]


_COLUMNS: tuple[tuple[Modality, str], ...] = (("visual", "seen"), ("audio", "heard"))
