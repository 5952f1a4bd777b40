"""What an absent sense is to a model: silence, no track, noise; black, grey, noise, or a still picture.

The questions about the absent sense cannot be answered from the clip, except under `frozen`, whose still picture shows
the object. A model that knows what it does not hear or see is near chance there; a high accuracy means that it answers
from the other sense, and differences between the kinds mean that it takes some of them for content.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.evaluation.cells import Cell, chance, estimated, labelled, outcomes
from mma_bench.evaluation.conditions import Variant
from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import ABSENT, Condition, Manipulation

# The paper's conditions and variants of them that leave no sense, beside which the others are shown.
_KINDS: Final = {
    str(Condition.AUDIO_REMOVED): ("audio", "silence"),
    str(Variant.AUDIO_DROPPED): ("audio", "no track"),
    str(Condition.FRAMES_ZEROED): ("visual", "black"),
}


def absent(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """The table `absent` of the scores; empty without conditions in `schema.ABSENT`.

    Returns:
        For each absent sense, `kind` and question, the accuracy with its interval and `chance`; `sense`, the absent
        one; `good`, whether high or near chance speaks for the model.
    """
    if not any(condition in ABSENT for _, condition, _ in cells):
        return []
    table = []
    for cell, rows in cells.items():
        for (sense, kind), own in _by_kind(cell[1], rows).items():
            shown = kind == Manipulation.FROZEN
            good = "near chance" if cell[2] == sense and not shown else "high"
            found = {"sense": sense, "kind": kind.replace("_", " "), "good": good}
            table.append(labelled(cell, {**found, **estimated(outcomes(own)), "chance": chance(own)}))
    return sorted(table, key=lambda row: (row["protocol"], row["sense"] != "audio", row["question"] != row["sense"]))


def _by_kind(condition: str, rows: Sequence[Prediction]) -> dict[tuple[str, str], list[Prediction]]:
    found: dict[tuple[str, str], list[Prediction]] = {}
    sense = "audio" if condition == Condition.ABSENT_AUDIO else "visual"
    for row in rows:
        if condition in ABSENT:
            found.setdefault((sense, str(row.manipulation)), []).append(row)
        elif condition in _KINDS:
            found.setdefault(_KINDS[condition], []).append(row)
    return found
