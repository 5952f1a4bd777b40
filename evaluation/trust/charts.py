"""Charts of trust curves and of the ranking of senses."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mma_bench.evaluation.trust.curves import DEGRADED
from mma_bench.evaluation.trust.psychometric import Switch
from mma_bench.evaluation.trust.senses import SENSES
from mma_bench.evaluation.trust.sentences import AXES
from mma_bench.page import LIGHT, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SENSE_COLOURS: Final = {"picture": LIGHT["sight"], "sound": LIGHT["sound"], "caption": LIGHT["warn"]}
_QUESTIONS: Final = {"visual": LIGHT["sight"], "audio": LIGHT["sound"]}
_WIDTH: Final = 4.7  # inches; see chart_style
_SWITCH: Final = tuple(Switch.__dataclass_fields__)

Row = Mapping[str, Any]


@chart_style()
def trust_curve(rows: Sequence[Row], thresholds: Sequence[Row]) -> "Figure":
    """The share that follows the degraded sense among the answers that follow either, by level: the question about it
    with its fitted curve and its threshold, and the control; and the share of answers that follow neither.

    Args:
        rows: Of `trust`, of one protocol, condition and manipulation.
        thresholds: Of `trust_thresholds`, of the same.
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 3.3))
    axes = figure.subplots()
    manipulation = rows[0]["manipulation"]
    levels = sorted({row["level"] for row in rows if row["level"] is not None})
    beside = levels[-1] + 0.18 * (levels[-1] - levels[0])  # where the reference without a level is drawn
    for row in thresholds:
        if row["role"] == "curve":
            _threshold(axes, row, levels)
    for question, colour in _QUESTIONS.items():
        own = [row for row in rows if row["question"] == question and row["followed"] == "degraded_of_either"]
        there = [row for row in own if row["mean"] is not None]
        if not there:
            continue
        control = there[0]["role"] == "control"
        axes.errorbar(
            [beside if row["level"] is None else row["level"] for row in there],
            [100 * row["mean"] for row in there],
            [[100 * (row["mean"] - row["low"]) for row in there], [100 * (row["high"] - row["mean"]) for row in there]],
            fmt="o",
            color=colour,
            markerfacecolor=LIGHT["paper"] if control else colour,
            markersize=5,
            elinewidth=1.2,
            label=f"{question}, control" if control else f"{question} question",
        )
    neither = [
        row for row in rows if row["role"] == "curve" and row["followed"] == "neither" and row["mean"] is not None
    ]
    axes.plot(
        [beside if row["level"] is None else row["level"] for row in neither],
        [100 * row["mean"] for row in neither],
        linestyle=":",
        color=LIGHT["muted"],
        label="neither",
    )
    axes.axhline(50, color=LIGHT["muted"], linestyle="--", linewidth=1)
    ticks, labels = levels, [f"{level:g}".replace("-", "−") for level in levels]
    if any(row["level"] is None for row in rows):
        ticks, labels = [*ticks, beside], [*labels, "clean"]
    axes.set_xticks(ticks, labels, size=8.5)
    axes.set_xlabel(AXES[manipulation])
    axes.set_ylim(-2, 102)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_ylabel("follow the degraded sense, %")
    axes.tick_params(axis="y", labelcolor=LIGHT["muted"])
    axes.yaxis.grid(True)
    _legend(axes, 3)
    return figure


def _threshold(axes: "Axes", row: Row, levels: Sequence[float]) -> None:
    """The threshold with its interval, and the fitted curve."""
    colour = _QUESTIONS[row["question"]]
    if row["status"] in ("not_estimable", "no_single_switch"):
        return
    low = levels[0] if row["low"] is None and row["status"] != "above" else row["low"]
    high = levels[-1] if row["high"] is None and row["status"] != "below" else row["high"]
    if row["status"] != "estimated":
        return
    axes.axvspan(low, high, color=colour, alpha=0.13, linewidth=0)
    axes.axvline(row["threshold"], color=colour, linewidth=1)
    sign = 1.0 if DEGRADED[row["manipulation"]].rising else -1.0
    fit = Switch(**{name: row[name] for name in _SWITCH} | {"threshold": sign * row["threshold"]})
    at = np.linspace(levels[0], levels[-1], 200)
    axes.plot(at, 100 * fit.curve(sign * at), color=colour, linewidth=1.4)


@chart_style()
def sense_strengths(rows: Sequence[Row]) -> "Figure":
    """The strength of each sense with its interval, strongest above; an arrow is an open interval.

    Args:
        rows: Of `three_way_strengths`, of one protocol.
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 1.9))
    axes = figure.subplots()
    known = [value for row in rows for name in ("log_odds", "log_odds_low", "log_odds_high") if (value := row[name])]
    edge = max([1.0, *map(abs, known)]) * 1.15
    ordered = sorted(rows, key=lambda row: -(row["log_odds"] or 0.0))
    for place, row in enumerate(ordered):
        colour = SENSE_COLOURS[row["sense"]]
        low = -edge if row["log_odds_low"] is None else row["log_odds_low"]
        high = edge if row["log_odds_high"] is None else row["log_odds_high"]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.4)
        for end, value, marker in ((row["log_odds_low"], low, "<"), (row["log_odds_high"], high, ">")):
            if end is None:
                axes.plot([value], [place], marker, color=colour, markersize=5)
        if row["log_odds"] is not None:
            axes.plot([row["log_odds"]], [place], "o", color=colour, markersize=6)
    axes.axvline(0, color=LIGHT["muted"], linestyle="--", linewidth=1)
    axes.set_yticks(range(len(SENSES)), [row["sense"] for row in ordered])
    axes.set_ylim(len(SENSES) - 0.4, -0.6)
    axes.set_xlim(-edge * 1.03, edge * 1.03)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("log-odds against the two others")
    axes.xaxis.grid(True)
    return figure


@chart_style()
def followed_senses(rows: Sequence[Row]) -> "Figure":
    """Stacked bars of what answers follow, one for each question.

    Args:
        rows: Of `three_way`, of one protocol.
    """
    from matplotlib.figure import Figure

    questions = list(dict.fromkeys(row["question"] for row in rows))
    figure = Figure((_WIDTH, 0.34 * len(questions) + 1.2))
    axes = figure.subplots()
    start = np.zeros(len(questions))
    for source, colour in {**SENSE_COLOURS, "neither": LIGHT["line"]}.items():
        means = {row["question"]: row["mean"] or 0.0 for row in rows if row["followed"] == source}
        values = np.array([100 * means[question] for question in questions])
        axes.barh(range(len(questions)), values, left=start, height=0.7, color=colour, label=source)
        start += values
    asked = {"visual": "asked what is seen", "audio": "asked what is heard", "text": "asked what is written"}
    axes.set_yticks(range(len(questions)), [asked[question] for question in questions])
    axes.set_ylim(len(questions) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 102)
    axes.set_xlabel("answers, %")
    axes.xaxis.grid(True)
    _legend(axes, 4)
    return figure


def _legend(axes: "Axes", columns: int) -> None:
    legend = axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=columns, borderaxespad=0)
    for text in legend.get_texts():
        text.set(color=LIGHT["muted"], size=8.5)
