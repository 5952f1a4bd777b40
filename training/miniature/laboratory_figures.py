"""The laboratory's charts: a pure functions from their points to matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mma_bench.page import LIGHT, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS: Final = {
    "base": LIGHT["bad"],
    "tuned": LIGHT["good"],
    "aligned_only": LIGHT["muted"],
    "misaligned_only": LIGHT["accent"],
}
_WIDTH: Final = 4.7  # inches; see chart_style


@chart_style()
def trust_lines(rows: Sequence[Mapping[str, Any]], axis: str, names: Mapping[str, str]) -> "Figure":
    """Two panels, one above the other: asked about the degraded sense, and about the intact one; each shows by level
    the share of answers that name the class of the sense asked about, with 95 % intervals over seeds and clips.

    Args:
        rows: Points of one manipulation (`laboratory.points`).
        axis: What the level is.
        names: State → its name.
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 4.6))
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    titles = {"curve": "asked about the degraded sense", "control": "asked about the intact sense"}
    for axes, (role, title) in zip(panels, titles.items(), strict=True):
        followed = "degraded" if role == "curve" else "other"
        shown = [row for row in rows if row["role"] == role and row["followed"] == followed]
        _lines(axes, shown, names, title, "follow it, %")
    _finished(figure, panels, axis)
    return figure


@chart_style()
def shift_lines(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> "Figure":
    """Two panels, one above the other: accuracy of the visual and of the audio question by shift of the sound, with
    95 % intervals over seeds and clips.

    Args:
        rows: See `laboratory.shifts`.
        names: State → its name.
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 4.6))
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    for axes, question in zip(panels, ("visual", "audio"), strict=True):
        shown = [row for row in rows if row["question"] == question]
        _lines(axes, shown, names, f"{question} question", "accuracy, %")
    _finished(figure, panels, "shift of the sound, s; above 0 it is late")
    return figure


def _lines(axes: "Axes", rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], title: str, what: str) -> None:
    """A line for each state over the levels of its rows, with intervals of base and tuned."""
    for state, name in names.items():
        own = sorted((row for row in rows if row["state"] == state), key=lambda row: row["level"])
        if not own:
            continue
        levels, means = [row["level"] for row in own], [100 * row["mean"] for row in own]
        colour = _COLOURS[state]
        compared = state in ("base", "tuned")  # the others are controls
        style = "o-" if compared else "s:"
        axes.plot(levels, means, style, color=colour, markersize=4, linewidth=1.6, label=name)
        if compared:
            low, high = ([100 * row[end] for row in own] for end in ("low", "high"))
            axes.fill_between(levels, low, high, color=colour, alpha=0.14, linewidth=0)
    axes.set_title(title, size=9.5, color=LIGHT["ink"])
    axes.set_ylim(0, 102)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.grid(visible=True)
    axes.set_ylabel(what)


def _finished(figure: "Figure", panels: Sequence["Axes"], axis: str) -> None:
    """The axis that the panels share, and the legend."""
    panels[-1].set_xlabel(axis)
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=2)
    for text in legend.get_texts():
        text.set(color=LIGHT["muted"], size=8.5)
