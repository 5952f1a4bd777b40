"""Thresholds by class from labelled clips, and what they achieve on clips that they were not chosen on.

In: pairs of a clip and a class. The rule of `operating_point` chooses a threshold
for each modality on all pairs together, and one for each class on its own pairs if enough of them are positive; a class
with fewer, or whose own pairs reach the target precision at no threshold, gets that of all pairs.

A threshold always looks good on the clips that it was chosen on. So the stated operating point is measured by
cross-validation: a hash divides the clips into five parts, and each part is decided by thresholds chosen on the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from mma_bench.evaluation.judges.operating_point import OperatingPoint, Pair, curve, operating_point
from mma_bench.files import fingerprint
from mma_bench.schema import Modality

FOLDS: Final = 5


@dataclass(frozen=True)
class Choice:
    """The threshold of one class in one modality.

    Attributes:
        chosen_on: Its own pairs, or those of all classes.
        pairs: The class's.
        positives: Those of them with a positive label.
        point: What the threshold achieves on the class's own pairs.
    """

    class_name: str
    modality: Modality
    threshold: float
    chosen_on: Literal["class", "all"]
    pairs: int
    positives: int
    point: OperatingPoint


def choose(
    pairs: Sequence[Pair], modality: Modality, classes: Iterable[str], *, precision: float, positives: int
) -> list[Choice] | None:
    """A threshold for each of the classes; None if no threshold reaches the precision on all pairs together.

    Args:
        pairs: Labelled pairs.
        modality: Whose pairs count.
        classes: All classes that the judge is asked about, labelled or not.
        precision: The target.
        positives: A class with at least this many positive pairs gets a threshold of its own.
    """
    of_all = _best(pairs, modality, precision)
    if of_all is None:
        return None
    chosen = []
    for name in sorted(classes):
        own = [pair for pair in pairs if pair.class_name == name and pair.modality == modality]
        there = sum(pair.label for pair in own)
        best = _best(own, modality, precision) if there >= positives else None
        threshold = of_all if best is None else best
        point = operating_point(own, modality, threshold)
        chosen.append(Choice(name, modality, threshold, "all" if best is None else "class", len(own), there, point))
    return chosen


def held_out(pairs: Sequence[Pair], modality: Modality, *, precision: float, positives: int) -> OperatingPoint:
    """The operating point of the rule: each clip decided by thresholds that were chosen without it.

    A part for which no threshold can be chosen passes nothing.
    """
    decided = []
    for fold in range(FOLDS):
        others = [pair for pair in pairs if _fold(pair) != fold]
        part = [pair for pair in pairs if _fold(pair) == fold and pair.modality == modality]
        names = {pair.class_name for pair in part}
        chosen = choose(others, modality, names, precision=precision, positives=positives) or []
        thresholds = {choice.class_name: choice.threshold for choice in chosen}
        decided += [replace(pair, score=_passes(pair, thresholds)) for pair in part]
    return replace(operating_point(decided, modality, 1.0), threshold=None)


def _best(pairs: Sequence[Pair], modality: Modality, precision: float) -> float | None:
    drawn = curve(pairs, modality, precision)
    return None if drawn is None or drawn.chosen is None else drawn.chosen.threshold


def _passes(pair: Pair, thresholds: Mapping[str, float]) -> float:
    return float(pair.class_name in thresholds and pair.score >= thresholds[pair.class_name])


def _fold(pair: Pair) -> int:
    return int(fingerprint("fold", pair.clip_id)[:8], 16) % FOLDS
