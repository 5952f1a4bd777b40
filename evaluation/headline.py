"""The headline of a run: its results where video and audio conflict, most important first.

| measure | condition | question | what counts |
|---|---|---|---|
| both_right | misaligned | both | both questions about the same clip answered correctly |
| accuracy | misaligned | visual, audio | the right answer |
| balanced_accuracy | misaligned | visual, audio | the same, averaged over the expected classes |
| led_by_other | misaligned | visual, audio | what the other modality shows |
| led_by_caption | misleading_caption | visual, audio | what the false caption says |

Every row has `chance`, the score of guessing among the options. Unparseable answers count as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.evaluation.cells import (
    Cell,
    asked_class,
    both_right,
    chance,
    estimated,
    is_right,
    labelled,
    outcomes,
)
from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import Condition

MEASURES: Final = {
    "both_right": "Both questions correct",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Class-balanced accuracy",
    "led_by_other": "Follows the other modality",
    "led_by_caption": "Follows the caption",
}


def headline(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """The rows of all protocols that cover conflicts, in the order of MEASURES."""
    protocols = list(dict.fromkeys(protocol for protocol, _, _ in cells))
    return [row for protocol in protocols for row in _of_protocol(cells, protocol)]


def _of_protocol(cells: Mapping[Cell, Sequence[Prediction]], protocol: str) -> list[dict[str, Any]]:
    asked = {
        (condition, question): cells[protocol, condition, question]
        for condition in (str(Condition.MISALIGNED), str(Condition.MISLEADING_CAPTION))
        for question in ("visual", "audio")
        if (protocol, condition, question) in cells
    }
    found: list[dict[str, Any]] = []

    def add(measure: str, condition: str, question: str, values: Mapping[str, Any]) -> None:
        found.append(labelled((protocol, condition, question), {"measure": measure, **values}))

    conflict = {question: rows for (condition, question), rows in asked.items() if condition == Condition.MISALIGNED}
    if len(conflict) == 2:
        luck = chance(conflict["visual"]) * chance(conflict["audio"])
        pairs = both_right([*conflict["visual"], *conflict["audio"]])
        add("both_right", Condition.MISALIGNED, "both", {**estimated(pairs), "chance": luck})
    for measure in ("accuracy", "balanced_accuracy", "led_by_other"):
        for question, rows in conflict.items():
            add(measure, Condition.MISALIGNED, question, _measured(measure, rows))
    for (condition, question), rows in asked.items():
        if condition == Condition.MISLEADING_CAPTION:
            add("led_by_caption", condition, question, _measured("led_by_caption", rows))
    return found


def _measured(measure: str, rows: Sequence[Prediction]) -> dict[str, Any]:
    rule = {"led_by_other": led_by_other, "led_by_caption": led_by_caption}.get(measure, is_right)
    answered = [row for row in rows if row.is_answered]
    classes = [asked_class(row) for row in answered] if measure == "balanced_accuracy" else None
    return {**estimated(outcomes(answered, rule), classes), "chance": chance(rows)}


def led_by_other(row: Prediction) -> bool:
    """Whether a wrong answer names what the other modality shows."""
    return row.answer is not None and not is_right(row) and row.answer == row.other


def led_by_caption(row: Prediction) -> bool:
    """Whether a wrong answer names what the caption says, and not what the other modality shows."""
    return row.answer is not None and row.answer not in (row.expected, row.other) and row.answer == row.caption
