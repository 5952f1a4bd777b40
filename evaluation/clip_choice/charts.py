"""The charts of the clips' page: pure functions from the facts of items to matplotlib figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from mma_bench.evaluation.clip_choice.items import ItemFacts
from mma_bench.evaluation.figures import QUESTION_COLOURS
from mma_bench.page import LIGHT, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE: Final = (4.7, 3.1)  # inches; see chart_style
_HALVES: Final[Mapping[str, Literal["left", "right"]]] = {"visual": "left", "audio": "right"}


@chart_style()
def runs_right(facts: Sequence[ItemFacts], runs: int) -> "Figure":
    """How many clips so many runs get right, with a bar for each question."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(_SIZE)
    axes = figure.subplots()
    questions = _questions(facts)
    width = 0.84 / len(questions)
    for number, question in enumerate(questions):
        counts = Counter(round(fact.right * runs) for fact in facts if fact.question == question)
        places = np.arange(runs + 1) + (number - (len(questions) - 1) / 2) * width
        axes.bar(places, [counts[each] for each in range(runs + 1)], width, color=_colour(question), label=question)
    axes.set_xlabel(f"runs that are right, of {runs}")
    axes.set_ylabel("clips")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y")
    _legend(axes, figure)
    return figure


@chart_style()
def difficulty_and_discrimination(facts: Sequence[ItemFacts]) -> "Figure":
    """A dot for each difficulty and correlation with the rest, whose area grows with the number of items.

    Its left half is the visual question, its right half the audio question.
    """
    from matplotlib.figure import Figure
    from matplotlib.markers import MarkerStyle
    from matplotlib.ticker import MaxNLocator

    counts = Counter(
        (fact.question, round(fact.difficulty, 2), round(fact.item_rest, 2))
        for fact in facts
        if fact.difficulty is not None and fact.item_rest is not None
    )
    figure = Figure(_SIZE)
    axes = figure.subplots()
    for question in _questions(facts):
        own = [(x, y, count) for (asked, x, y), count in counts.items() if asked == question]
        dots = [(x, y, 12 + 200 * count / max(counts.values())) for x, y, count in own]
        if dots:
            marker = MarkerStyle("o", fillstyle=_HALVES.get(question, "full"))
            axes.scatter(*zip(*dots, strict=True), color=_colour(question), marker=marker, lw=0, label=question)
    axes.axhline(0, color=LIGHT["muted"], linestyle="--", linewidth=1)
    axes.set_xlabel("difficulty, logits (harder to the right)")
    axes.set_ylabel("correlation with the rest")
    axes.set_ylim(-1.1, 1.1)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(visible=True)
    _legend(axes, figure)
    return figure


def _questions(facts: Sequence[ItemFacts]) -> list[str]:
    """The questions asked, about picture and sound first."""
    asked = {fact.question for fact in facts}
    return [name for name in QUESTION_COLOURS if name in asked] + sorted(asked - QUESTION_COLOURS.keys())


def _colour(question: str) -> str:
    return QUESTION_COLOURS.get(question, LIGHT["warn"])


def _legend(axes: "Axes", figure: "Figure") -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8.5)
        for handle in legend.legend_handles:
            if handle is not None and hasattr(handle, "set_sizes"):
                handle.set_sizes([40])
