"""Trust curves: what answers follow as one sense is degraded in steps under conflict.

A clip shows one class and sounds like another, and one of the two is degraded. Asked about the degraded sense, an
answer may follow it, or the other sense, or neither (another class, or none that can be read). The curve is the share
of the degraded sense among the answers that follow either; its threshold is where they follow both equally often
(`psychometric`). "Neither" is left out of the curve, since it tells nothing about the choice between the two, and its
share is in the table beside. The question about the intact sense is the control: its curve should stay flat.

Answers about the same clips without degradation (`misaligned`) are the reference: 0 % of a degraded picture, and part
of its fit; no finite level of a degraded sound, so shown beside.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, Final

import numpy as np

from mma_bench.clusters import codes_of
from mma_bench.evaluation.cells import clusters, estimated, outcomes
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.trust.psychometric import Switch, fit_switch
from mma_bench.schema import Condition, Manipulation, Modality


@dataclass(frozen=True)
class Degradation:
    """What is degraded, and how its level is written.

    Attributes:
        sense: The degraded one.
        unit: Of the level.
        rising: Whether a higher level leaves more of the sense.
        intact: The level without degradation; None if there is none.
    """

    sense: Modality
    unit: str
    rising: bool
    intact: float | None


DEGRADED: Final[Mapping[str, Degradation]] = {
    Manipulation.PINK_NOISE: Degradation("audio", "dB", rising=True, intact=None),
    Manipulation.MIXTURE: Degradation("audio", "dB", rising=True, intact=None),
    Manipulation.BLUR: Degradation("visual", "%", rising=False, intact=0.0),
    Manipulation.DARKNESS: Degradation("visual", "%", rising=False, intact=0.0),
    Manipulation.LOW_CONTRAST: Degradation("visual", "%", rising=False, intact=0.0),
}
_CONDITIONS: Final = (Condition.DEGRADED_AUDIO, Condition.MIXED_AUDIO, Condition.DEGRADED_VIDEO)


@dataclass(frozen=True)
class Curve:
    """The answers of one protocol, condition, manipulation and question.

    Attributes:
        levels: Level → its answers; None is the reference without a level.
    """

    protocol: str
    condition: str
    manipulation: str
    question: str
    levels: Mapping[float | None, Sequence[Prediction]]

    @property
    def degradation(self) -> Degradation:
        """What is degraded."""
        return DEGRADED[self.manipulation]

    @property
    def labels(self) -> dict[str, Any]:
        """The columns that identify a row of a table; the control is the question about the intact sense."""
        role = "curve" if self.question == self.degradation.sense else "control"
        names = ("protocol", "condition", "manipulation", "question")
        return {**{name: getattr(self, name) for name in names}, "role": role, "unit": self.degradation.unit}

    def follows_degraded(self, row: Prediction) -> bool:
        """Whether an answer names the class of the degraded sense."""
        return row.answer is not None and row.answer == _classes(row)[self.degradation.sense == "audio"]

    def follows_other(self, row: Prediction) -> bool:
        """Whether an answer names the class of the intact sense."""
        return row.answer is not None and row.answer == _classes(row)[self.degradation.sense == "visual"]

    def decided(self, rows: Sequence[Prediction]) -> list[Prediction]:
        """The answers that follow either sense."""
        return [row for row in rows if self.follows_degraded(row) or self.follows_other(row)]

    def fitted(self) -> list[tuple[float, Prediction]]:
        """The answers of the fit, with their levels."""
        return [(level, row) for level, rows in self.levels.items() if level is not None for row in self.decided(rows)]


def _classes(row: Prediction) -> tuple[str, str]:
    return row.visual_class, row.audio_class


def curves(predictions: Sequence[Prediction]) -> list[Curve]:
    """The curves of a run, by protocol, condition, manipulation and question; empty without degraded clips."""
    degraded = [row for row in predictions if row.condition in _CONDITIONS and row.is_answered]
    reference = [row for row in predictions if row.condition == Condition.MISALIGNED and row.is_answered]
    order = {condition: place for place, condition in enumerate(_CONDITIONS)}

    def key(row: Prediction) -> tuple[str, int, str, bool]:
        return row.protocol, order[row.condition], row.manipulation or "", row.question != "visual"  # type: ignore[index]

    found = []
    for _, group in groupby(sorted(degraded, key=lambda row: (*key(row), row.level or 0.0, row.key)), key=key):
        own = list(group)
        first = own[0]
        levels: dict[float | None, list[Prediction]] = {
            level: list(rows) for level, rows in groupby(own, key=lambda row: row.level)
        }
        pairs = {(row.base_id, row.donor_id) for row in own}
        beside = [
            row
            for row in reference
            if (row.protocol, row.question) == (first.protocol, first.question) and (row.base_id, row.donor_id) in pairs
        ]
        intact = DEGRADED[str(first.manipulation)].intact
        if beside and intact not in levels:
            levels = {intact: beside, **levels} if intact is not None else {**levels, intact: beside}
        found.append(Curve(first.protocol, first.condition, str(first.manipulation), first.question, levels))
    return found


def shares_table(found: Sequence[Curve]) -> list[dict[str, Any]]:
    """For each curve and level, the shares with their intervals of the answers that follow the `degraded` sense, the
    `other` one, or `neither`, which add up to 1; and of the degraded sense among those that follow `either`.

    The reference without a level has the level None.
    """
    table = []
    for curve in found:
        rules: dict[str, Callable[[Prediction], bool]] = {
            "degraded": curve.follows_degraded,
            "other": curve.follows_other,
            "neither": lambda row, curve=curve: not curve.decided([row]),  # type: ignore[misc]
        }
        for level, rows in curve.levels.items():
            for name, rule in rules.items():
                table.append({**curve.labels, "level": level, "followed": name, **estimated(outcomes(rows, rule))})
            either = outcomes(curve.decided(rows), curve.follows_degraded)
            table.append({**curve.labels, "level": level, "followed": "degraded_of_either", **estimated(either)})
    return table


def switch_of(curve: Curve) -> Switch:
    """The fit, in the curve's own levels; its slope is in the direction that leaves more of the degraded sense."""
    answers = curve.fitted()
    sign = 1.0 if curve.degradation.rising else -1.0
    found = outcomes([row for _, row in answers], curve.follows_degraded)
    fit = fit_switch(
        np.array([sign * level for level, _ in answers], np.float64),
        np.array([each.value for each in found], np.float64),
        [codes_of(keys) for keys in clusters(found)],
    )
    return fit if curve.degradation.rising else _mirrored(fit)


def _mirrored(fit: Switch) -> Switch:
    """The same with the level's sign changed."""

    def negative(value: float | None) -> float | None:
        return None if value is None else 0.0 - value

    status = {"above": "below", "below": "above"}.get(fit.status, fit.status)
    return replace(
        fit,
        status=status,  # type: ignore[arg-type]
        threshold=negative(fit.threshold),
        low=negative(fit.high),
        high=negative(fit.low),
    )


def thresholds_table(found: Sequence[Curve]) -> list[dict[str, Any]]:
    """For each curve its `Switch`, and the lowest and the highest level of the fit."""
    table = []
    for curve in found:
        levels = [level for level in curve.levels if level is not None]
        fit = asdict(switch_of(curve))
        table.append({**curve.labels, **fit, "lowest": min(levels), "highest": max(levels)})
    return table


def trust_tables(predictions: Sequence[Prediction]) -> dict[str, list[dict[str, Any]]]:
    """The tables `trust` and `trust_thresholds` of the scores; empty without degraded clips."""
    found = curves(predictions)
    return {"trust": shares_table(found), "trust_thresholds": thresholds_table(found)} if found else {}
