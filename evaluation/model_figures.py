"""The paper's figures that compare models, with all runs side by side: what each figure shows, and its rows.

A figure compares the aligned clips with one kind of interference, for both questions. The paper has each twice, for the
models of its main text and for further ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from mma_bench.evaluation.conditions import Variant
from mma_bench.schema import Condition


class PaperFigure(NamedTuple):
    """A figure: its name, the paper's numbers for it, and what it compares with the aligned clips."""

    name: str
    heading: str
    numbers: str
    conditions: tuple[str, ...]


FIGURES: Final = (
    PaperFigure(
        "one_modality",
        "One modality removed",
        "4 and 22",
        (Condition.AUDIO_REMOVED, Variant.AUDIO_DROPPED, Condition.FRAMES_ZEROED),
    ),
    PaperFigure("conflict", "Conflicting video and audio", "6 and 21", (Condition.MISALIGNED,)),
    PaperFigure(
        "caption",
        "Misleading caption",
        "7 and 23",
        (Condition.MISLEADING_CAPTION, Variant.MISLEADING_CAPTION_SHORT_ANSWER),
    ),
    PaperFigure("long_context", "Long context", "8 and 24", (Condition.LONG_CONTEXT, Variant.LONG_CONTEXT_BEFORE)),
)
_VALUES: Final = ("mean", "low", "high", "n", "chance")


def figure_rows(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all figures, one per point: figure, protocol, run, condition and question.

    A protocol has a figure if some run has answers under one of its conditions besides aligned; conditions that a run
    lacks have no row.

    Args:
        runs: As in leaderboard.json: `run`, `model`, `unranked` and rows of `accuracy`. Their order is kept.

    Returns:
        Rows with `figure` (a name of FIGURES), `paper` (the paper's numbers), `protocol`, `run`, `model`, `unranked`,
        `condition`, `question`, and from the accuracy `mean`, `low`, `high`, `n` and `chance`, as fractions.
    """
    answered = [(run, row) for run in runs for row in run["accuracy"] if row["mean"] is not None]
    rows = []
    for protocol in dict.fromkeys(row["protocol"] for _, row in answered):
        for figure in FIGURES:
            shown = {str(Condition.ALIGNED), *map(str, figure.conditions)}
            own = [(run, row) for run, row in answered if row["protocol"] == protocol and row["condition"] in shown]
            if all(row["condition"] == Condition.ALIGNED for _, row in own):
                continue
            rows += [
                {
                    "figure": figure.name,
                    "paper": f"Figures {figure.numbers}",
                    "protocol": protocol,
                    **{key: run[key] for key in ("run", "model", "unranked")},
                    **{key: row[key] for key in ("condition", "question", *_VALUES)},
                }
                for run, row in own
            ]
    return rows
