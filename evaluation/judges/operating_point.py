"""Thresholds from labelled clips: precision and recall at every threshold, and the operating point by a fixed rule.

In: pairs of a clip and a class, each with a human label and the judge's score. The rule: of all thresholds with at
least the target precision, the one with the highest recall; ties go to the highest threshold. Precision and recall have
95 % intervals over clips.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mma_bench.schema import Modality
from mma_bench.stats import Estimate, estimate

_COLUMNS: Final[tuple[tuple[Modality, str], ...]] = (("visual", "seen"), ("audio", "heard"))


@dataclass(frozen=True)
class Pair:
    """A clip, a class, the human label (whether the class is present) and the judge's score."""

    clip_id: str
    modality: Modality
    class_name: str
    label: bool
    score: float


@dataclass(frozen=True)
class OperatingPoint:
    """The effect of a threshold: a pair passes if its score is at least the threshold.

    Attributes:
        threshold: None: a threshold for each class.
        precision: Over the pairs that pass.
        recall: Over the positive pairs.
    """

    threshold: float | None
    precision: Estimate
    recall: Estimate

    @property
    def found(self) -> int:
        """Positive pairs that pass (true positives)."""
        return round((self.recall.mean or 0.0) * self.recall.n)

    @property
    def wrong(self) -> int:
        """Negative pairs that pass (false positives)."""
        return self.precision.n - self.found

    @property
    def missed(self) -> int:
        """Positive pairs that do not pass (false negatives)."""
        return self.recall.n - self.found


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one judge in one modality.

    Attributes:
        positives: Pairs with a positive human label, out of `pairs`.
        average_precision: scikit-learn's average precision; None without positives.
        precision: By threshold, ascending.
        chosen: The point chosen by the rule; None if no threshold reaches the target precision.
    """

    modality: Modality
    pairs: int
    positives: int
    average_precision: float | None
    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    chosen: OperatingPoint | None


def curve(pairs: Sequence[Pair], modality: Modality, wanted_precision: float) -> Curve | None:
    """The curve of one modality; None if it has no pairs."""
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
    chosen = operating_point(asked, modality, max(good)[1]) if good else None
    average = float(average_precision_score(labels, scores))
    lines = tuple(thresholds), tuple(precision[:-1]), tuple(recall[:-1])
    return Curve(modality, len(asked), positives, average, *lines, chosen)


def operating_point(
    pairs: Sequence[Pair], modality: Modality, threshold: float | Mapping[str, float]
) -> OperatingPoint:
    """Precision and recall at one threshold, or at those of the pairs' classes."""

    def passes(pair: Pair) -> bool:
        return pair.score >= (threshold[pair.class_name] if isinstance(threshold, Mapping) else threshold)

    asked = [pair for pair in pairs if pair.modality == modality]
    return OperatingPoint(
        None if isinstance(threshold, Mapping) else threshold,
        _share([pair for pair in asked if passes(pair)], lambda pair: pair.label),
        _share([pair for pair in asked if pair.label], passes),
    )


def _share(pairs: Sequence[Pair], counts: Callable[[Pair], bool]) -> Estimate:
    by_clip: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        by_clip[pair.clip_id].append(1.0 if counts(pair) else 0.0)
    return estimate(by_clip)


def pairs_of_evidence(verdicts: Sequence[Mapping[str, Any]], labelled: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """Clips paired with their own class: labelled by VGGSounder, scored by the judge's unimodal checks.

    Args:
        verdicts: Judged rows of VERDICTS.
        labelled: Rows of `mma_bench.builders.labels.vggsounder.join_labels`.
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
