"""What accuracy the text alone gives: the conditions `no_clip` and `other_clip` against chance and the frequent class.

Without a clip, a model knows the question and its options, so its accuracy above the share of the most frequent class
says that it has seen the answers, or that they follow from the text. With the clip of another class, a model that
trusts the clip is below chance.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.evaluation.cells import Cell, chance, estimated, labelled, outcomes
from mma_bench.evaluation.conditions import Variant
from mma_bench.evaluation.predictions import Prediction
from mma_bench.stats import format_estimate

_CONDITIONS: Final = {Variant.NO_CLIP: "without any clip", Variant.OTHER_CLIP: "with the clip of another class"}


def text_alone(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """A row for each cell of the two conditions.

    Returns:
        Rows with the accuracy and its interval, `chance`, and `most_frequent`, the accuracy of always naming the most
        frequent right answer.
    """
    return [
        labelled(
            cell,
            {
                **estimated(outcomes(rows)),
                "chance": chance(rows),
                "most_frequent": max(Counter(row.expected for row in rows).values()) / len(rows),
            },
        )
        for cell, rows in cells.items()
        if cell[1] in _CONDITIONS
    ]


def in_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each row with answers; percentages."""
    return [
        f"Asked {_CONDITIONS[Variant(row['condition'])]} ({row['protocol'].replace('_', ' ')}), the {row['question']} "
        f"question is answered correctly in {format_estimate(row)} %; chance is {100 * row['chance']:.1f} %, always "
        f"naming the most frequent class gives {100 * row['most_frequent']:.1f} %."
        for row in rows
        if row["mean"] is not None
    ]
