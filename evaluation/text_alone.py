"""What the text alone gives: accuracy without the row's clip, beside what it takes no model for.

Under `no_clip` a model gets the question alone, under `other_clip` the clip of a class that is not the right one
(`evaluation.conditions`). Right answers then come from the text: its options, their order, or the benchmark's own
answers, if the model has seen them. They are compared with guessing and with always naming the most frequent class,
which needs the answers of all clips, but no question.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mma_bench.evaluation.cells import Cell, chance, estimated, labelled, outcomes
from mma_bench.evaluation.conditions import WITHOUT_THE_CLIP
from mma_bench.evaluation.predictions import Prediction
from mma_bench.stats import format_estimate


def text_alone(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """The table `text_alone` of the scores; empty without such conditions.

    Returns:
        For each cell the accuracy with its interval; `chance`; `most_frequent`, the accuracy of always naming the class
        `most_frequent_class`; `above`, whether the interval is above both (None without answers).
    """
    return [labelled(cell, _compared(rows)) for cell, rows in cells.items() if cell[1] in WITHOUT_THE_CLIP]


def _compared(rows: Sequence[Prediction]) -> dict[str, Any]:
    found = estimated(outcomes(rows))
    right = Counter(row.expected for row in rows)
    name = min(right, key=lambda each: (-right[each], each))
    known = {"chance": chance(rows), "most_frequent": right[name] / len(rows)}
    above = None if found["low"] is None else found["low"] > max(known.values())
    return {**found, **known, "most_frequent_class": name, "above": above}


def sentence(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The table of one protocol in a sentence; None without answers."""
    answered = [row for row in rows if row["above"] is not None]
    if not answered:
        return None
    above = [row for row in answered if row["above"]]
    if not above:
        return (
            "Without the clip, no question is answered right more often than by guessing or by always naming the most "
            "frequent class: the text gives no answer away."
        )
    told = "; ".join(f"{row['condition']}, {row['question']}: {format_estimate(row)} %" for row in above)
    return (
        f"Without the clip, questions are answered right more often than by guessing and by always naming the most "
        f"frequent class ({told}): that much comes from the text, or from answers that the model has seen."
    )
