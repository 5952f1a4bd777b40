"""Charts of the evaluation pages: pure functions from score tables to matplotlib figures.

The dashed line is chance level, the mean `chance` of the rows. All charts use `page.chart_style` and follow the page's
theme; visual questions are blue, audio questions orange.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.page import LIGHT, chart_style
from mma_bench.schema import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUESTION_COLOURS: Final = {"visual": LIGHT["sight"], "audio": LIGHT["sound"]}
_RANKED: Final = {"both": LIGHT["accent"], **QUESTION_COLOURS}  # questions of the ranking, top to bottom
ANSWER_SOURCES: Final = {
    "truth": ("the truth", LIGHT["good"]),
    "other_modality": ("the other modality", LIGHT["bad"]),
    "caption": ("the caption", LIGHT["warn"]),
    "neither": ("none of them", LIGHT["line"]),
    "unparseable": ("unparseable", LIGHT["muted"]),
}
_WIDTH: Final = 4.7  # inches; see chart_style
_LONGEST: Final = 28  # maximum characters of a label

Row = Mapping[str, Any]


@chart_style()
def accuracy_bars(rows: Sequence[Row]) -> "Figure":
    """Grouped bars, one group for each condition, with 95 % intervals; a diamond is the paper's value (Figures 4, 6-8).

    Args:
        rows: Rows of `accuracy` of one protocol, with `published` (a fraction or None) and `chance`.
    """
    from matplotlib.figure import Figure

    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    figure = Figure((_WIDTH, 2.9))
    axes = figure.subplots()
    diamonds = []
    for offset, (question, colour) in zip((-0.2, 0.2), QUESTION_COLOURS.items(), strict=True):
        there = [row for row in rows if row["question"] == question and row["mean"] is not None]
        places = [conditions.index(row["condition"]) + offset for row in there]
        heights = [100 * row["mean"] for row in there]
        axes.bar(places, heights, width=0.36, color=colour, alpha=0.8, label=question)
        axes.errorbar(places, heights, _whiskers(there), fmt="none", ecolor=LIGHT["ink"], elinewidth=1)
        known = [(at, row["published"]) for at, row in zip(places, there, strict=True) if row["published"] is not None]
        diamonds += [(at, 100 * value) for at, value in known]
    if diamonds:
        axes.plot(
            *zip(*diamonds, strict=True),
            "D",
            color=LIGHT["paper"],
            markeredgecolor=LIGHT["ink"],
            markersize=5,
            clip_on=False,  # a marker at 0 or 100 is whole, and above the axis
            zorder=3,
            label="paper",
        )
    axes.set_xticks(range(len(conditions)), [plain(name).replace(" ", "\n") for name in conditions], size=8.5)
    axes.set_xlim(-0.6, max(len(conditions), 1) - 0.4)
    _chance(rows, axes.axhline)
    _percent(axes, "y", "accuracy, %")
    _legend(axes)
    return figure


@chart_style()
def capture_bars(rows: Sequence[Row]) -> "Figure":
    """Stacked bars of what the answers followed, one per condition and question with a conflict."""
    from matplotlib.figure import Figure

    cells = list(dict.fromkeys((row["condition"], row["question"]) for row in rows))
    shares = {(row["condition"], row["question"], row["captured_by"]): row["mean"] or 0.0 for row in rows}
    figure = Figure((_WIDTH, 0.34 * len(cells) + 1.05))
    axes = figure.subplots()
    start = [0.0] * len(cells)
    for source, (label, colour) in ANSWER_SOURCES.items():
        values = [100 * shares.get((*cell, source), 0.0) for cell in cells]
        if any((*cell, source) in shares for cell in cells):
            axes.barh(range(len(cells)), values, left=start, height=0.7, color=colour, label=label)
        start = [done + value for done, value in zip(start, values, strict=True)]
    axes.set_yticks(range(len(cells)), [f"{plain(condition)}, {question}" for condition, question in cells])
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    _chance(rows, axes.axvline)
    _percent(axes, "x", "answers, %")
    _legend(axes, columns=2)
    return figure


@chart_style()
def class_map(rows: Sequence[Row]) -> "Figure":
    """Accuracy of each class (rows) under each condition and question (columns); an empty cell has no answers.

    Args:
        rows: Rows of `by_class` of one protocol.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = list(dict.fromkeys((row["condition"], row["question"]) for row in rows))
    columns.sort(key=lambda cell: cell[1] != "visual")
    names = sorted({row["group"] for row in rows})
    figure = Figure((0.36 * len(columns) + 2.1, 0.24 * len(names) + 1.6))
    axes = figure.subplots()
    for row in rows:
        if row["mean"] is None:
            continue
        at = columns.index((row["condition"], row["question"])), names.index(row["group"])
        colour = _colour(row["question"])
        strength = 0.06 + 0.5 * row["mean"]  # pale enough for the number to be legible
        axes.add_patch(Rectangle((at[0] - 0.46, at[1] - 0.46), 0.92, 0.92, color=colour, alpha=strength, linewidth=0))
        axes.text(*at, f"{100 * row['mean']:.0f}", ha="center", va="center", size=8, color=LIGHT["ink"])
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), [plain(condition) for condition, _ in columns], rotation=90, size=8.5)
    for label, (_, question) in zip(axes.get_xticklabels(), columns, strict=True):
        label.set_color(_colour(question))
    axes.set_yticks(range(len(names)), [plain(name) for name in names], size=8.5)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


@chart_style()
def group_points(rows: Sequence[Row], label: str) -> "Figure":
    """Accuracy with its interval by group: the ontology distance of the conflict, or seen and unseen classes.

    Args:
        rows: Rows of `by_distance` or `by_seen`, of one protocol and condition.
        label: Label of the group axis.
    """
    from matplotlib.figure import Figure

    groups = sorted({row["group"] for row in rows})
    figure = Figure((_WIDTH, 2.5))
    axes = figure.subplots()
    for offset, (question, colour) in zip((-0.08, 0.08), QUESTION_COLOURS.items(), strict=True):
        there = [row for row in rows if row["question"] == question and row["mean"] is not None]
        axes.errorbar(
            [groups.index(row["group"]) + offset for row in there],
            [100 * row["mean"] for row in there],
            _whiskers(there),
            fmt="o",
            color=colour,
            markersize=5,
            clip_on=False,  # a marker at 0 or 100 is whole, and above the axis
            zorder=3,
            elinewidth=1.2,
            label=question,
        )
    axes.set_xticks(range(len(groups)), [str(group) for group in groups])
    axes.set_xlim(-0.5, max(len(groups), 1) - 0.5)
    axes.set_xlabel(label)
    _chance(rows, axes.axhline)
    _percent(axes, "y", "accuracy, %")
    _legend(axes)
    return figure


@chart_style()
def ranking(rows: Sequence[Row]) -> "Figure":
    """One row per run, in input order: both questions correct, and the accuracy of each question, with intervals.

    Args:
        rows: Rows of the question `both`, `visual` or `audio` under one condition, with the run's `name` and `chance`.
            The chance line is for one question; for both at once, chance is close to 0.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["name"] for row in rows))
    figure = Figure((_WIDTH, 0.42 * len(names) + 1.0))
    axes = figure.subplots()
    for offset, (question, colour) in zip((-0.24, 0.0, 0.24), _RANKED.items(), strict=True):
        there = [row for row in rows if row["question"] == question and row["mean"] is not None]
        if not there:
            continue
        axes.errorbar(
            [100 * row["mean"] for row in there],
            [names.index(row["name"]) + offset for row in there],
            xerr=_whiskers(there),
            fmt="D" if question == "both" else "o",
            color=colour,
            markersize=5,
            clip_on=False,  # a marker at 0 or 100 is whole, and above the axis
            zorder=3,
            elinewidth=1.2,
            label=question,
        )
    _chance([row for row in rows if row["question"] != "both"], axes.axvline)
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=7)  # beside a marker at 0
    _percent(axes, "x", "accuracy, %")
    _legend(axes)
    return figure


@chart_style()
def conditions_by_run(rows: Sequence[Row]) -> "Figure":
    """One line per run, in input order, with its accuracy under each condition and 95 % intervals; the aligned clips
    are the open circle. The dashed line is each run's own chance level.

    Args:
        rows: Rows of `model_figures.figure_rows`, of one figure, protocol and question.
    """
    from matplotlib.figure import Figure

    runs = list(dict.fromkeys(row["run"] for row in rows))
    conditions = [name for name in CONDITIONS if any(row["condition"] == name for row in rows)]
    figure = Figure((_WIDTH, 0.55 * len(runs) + 1.05))
    axes = figure.subplots()
    step = 0.5 / max(len(conditions) - 1, 1)
    for number, (condition, marker) in enumerate(zip(conditions, "os^D", strict=False)):
        there = [row for row in rows if row["condition"] == condition]
        colour = QUESTION_COLOURS[rows[0]["question"]]
        axes.errorbar(
            [100 * row["mean"] for row in there],
            [runs.index(row["run"]) - 0.25 + step * number for row in there],
            xerr=_whiskers(there),
            fmt=marker,
            color=colour,
            markerfacecolor=LIGHT["paper"] if condition == Condition.ALIGNED else colour,
            markersize=5,
            clip_on=False,  # a marker at 0 or 100 is whole, and above the axis
            zorder=3,
            elinewidth=1.2,
            label=plain(condition),
        )
    chance = [fmean(100 * row["chance"] for row in rows if row["run"] == run) for run in runs]
    edges = [place + half for place in range(len(runs)) for half in (-0.5, 0.5)]
    line = [value for value in chance for _ in range(2)]
    axes.plot(line, edges, color=LIGHT["muted"], linestyle="--", linewidth=1, label="chance")
    axes.hlines([place + 0.5 for place in range(len(runs) - 1)], 0, 102, color=LIGHT["line"], linewidth=0.7)
    unranked = {row["run"]: row["unranked"] for row in rows}
    axes.set_yticks(range(len(runs)), [_label(run, unranked[run]) for run in runs])
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, pad=7)  # beside a marker at 0
    _percent(axes, "x", "accuracy, %")
    _legend(axes, columns=2)
    return figure


def _colour(question: str) -> str:
    """Of a question about the picture, the sound, or (in three-way conflict) the caption."""
    return QUESTION_COLOURS.get(question, LIGHT["warn"])


def _label(run: str, unranked: str | None) -> str:
    """A run's name on up to three lines, or on two and why it is not comparable."""
    lines = wrap(run.replace("_", " "), 18, max_lines=2 if unranked else 3, placeholder="…")
    return "\n".join([*lines, *([f"({unranked})"] if unranked else [])])


def _chance(rows: Sequence[Row], draw: Callable[..., Any]) -> None:
    """Draw the chance line, if chance is known."""
    known = [row["chance"] for row in rows if row.get("chance") is not None]
    if known:
        draw(100 * fmean(known), color=LIGHT["muted"], linestyle="--", linewidth=1, label="chance")


def plain(name: str) -> str:
    """A human-readable name, truncated to fit the chart."""
    written = name.replace("_", " ")
    return written if len(written) <= _LONGEST else f"{written[: _LONGEST - 1]}…"


def _whiskers(rows: Sequence[Row]) -> list[list[float]]:
    """Error-bar lengths below and above the mean, in percent."""
    return [
        [max(0.0, 100 * (row["mean"] - row["low"])) for row in rows],
        [max(0.0, 100 * (row["high"] - row["mean"])) for row in rows],
    ]


def _percent(axes: "Axes", axis: str, label: str) -> None:
    scale = axes.xaxis if axis == "x" else axes.yaxis
    (axes.set_xlim if axis == "x" else axes.set_ylim)(0, 102)
    scale.set_ticks([0, 25, 50, 75, 100])
    scale.set_label_text(label)
    scale.grid(True)
    axes.tick_params(axis="y", labelcolor=LIGHT["ink"] if axis == "x" else LIGHT["muted"])


def _legend(axes: "Axes", columns: int | None = None) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(
            handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=columns or len(labels), borderaxespad=0
        )
        for text in legend.get_texts():
            text.set(color=LIGHT["muted"], size=8.5)
