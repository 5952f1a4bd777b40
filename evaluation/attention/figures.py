"""Charts of the attention page: pure functions from rows of `summary` (and of `tokens.parquet`) to figures.

Colour encodes the model state (before, after) or the token group; line style encodes the condition.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from mma_bench.evaluation.figures import plain
from mma_bench.models.omni.token_groups import GROUPS
from mma_bench.page import LIGHT, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUP_COLOURS: Final = {"video": LIGHT["sight"], "audio": LIGHT["sound"], "text": LIGHT["muted"]}
STATE_COLOURS: Final = {"before": LIGHT["accent"], "after": LIGHT["bad"]}
_STYLES: Final = ("-", "--", ":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))
_MARKERS: Final = ("o", "s", "^", "D", "v", "P")
_WIDTH: Final = 4.7  # inches; see chart_style
_CELLS: Final = 12  # heat map size: tokens per group, and steps

Row = Mapping[str, Any]


@chart_style()
def share_lines(rows: Sequence[Row]) -> "Figure":
    """Share of attention on each group by layer, averaged over both questions, one line style per condition.

    Args:
        rows: Of `summary.layer_shares`, of one state.
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 2.9))
    axes = figure.subplots()
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    layers = sorted({row["layer"] for row in rows})
    for group in GROUPS:
        for condition, style, marker in zip(conditions, _STYLES, _MARKERS, strict=False):
            means = [
                sum(found) / len(found)
                for layer in layers
                for found in [
                    [r["mass"] for r in rows if (r["group"], r["condition"], r["layer"]) == (group, condition, layer)]
                ]
            ]
            axes.plot(
                layers,
                [100 * mean for mean in means],
                color=GROUP_COLOURS[group],
                linestyle=style,
                marker=marker if len(layers) < 12 else None,
                markersize=4,
                linewidth=1.6,
                label=group if condition == conditions[0] else None,
            )
    if len(conditions) > 1:
        for condition, style in zip(conditions, _STYLES, strict=False):
            axes.plot([], [], color=LIGHT["ink"], linestyle=style, linewidth=1.6, label=plain(condition))
    axes.set_ylim(0, 102)
    axes.set_ylabel("attention, %")
    label_places(axes, "layer", layers)
    _legend(axes, 3)
    return figure


@chart_style()
def separation_lines(rows: Sequence[Row], by: str) -> "Figure":
    """Cohen's d of one group of tokens by layer or head, with 95 % intervals as bands (Figures 9, 10, 16 and 18).

    Args:
        rows: Of `summary.separation_rows` or `token_rows`, of one group.
        by: `layer` or `head`.
    """
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, 2.9))
    axes = figure.subplots()
    places = sorted({row[by] for row in rows})
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    several = len({row["state"] for row in rows}) > 1
    axes.axhline(0, color=LIGHT["line"], linewidth=1)
    for state, colour in STATE_COLOURS.items():
        for condition, style, marker in zip(conditions, _STYLES, _MARKERS, strict=False):
            there = [
                row for row in rows if row["state"] == state and row["condition"] == condition and row["d"] is not None
            ]
            if not there:
                continue
            at = [row[by] for row in there]
            axes.fill_between(
                at, [row["low"] for row in there], [row["high"] for row in there], color=colour, alpha=0.1, linewidth=0
            )
            axes.plot(
                at,
                [row["d"] for row in there],
                color=colour,
                linestyle=style,
                marker=marker if len(places) < 12 else None,
                markersize=4,
                linewidth=1.6,
                label=f"{plain(condition)}, {state}" if several else plain(condition),
            )
    axes.set_ylabel("Cohen's d")
    label_places(axes, by, places)
    _legend(axes, 2)
    return figure


@chart_style()
def loss_bars(rows: Sequence[Row]) -> "Figure":
    """Loss of the model's own answers with a modality knocked out, in nats, by question and condition.

    Args:
        rows: Of `summary.loss_rows`, of one state, target and range of layers.
    """
    from matplotlib.figure import Figure

    cells = list(dict.fromkeys((row["condition"], row["question"]) for row in rows))
    figure = Figure((_WIDTH, 0.5 * len(cells) + 1.0))
    axes = figure.subplots()
    axes.axvline(0, color=LIGHT["line"], linewidth=1)
    for offset, modality in ((-0.18, "video"), (0.18, "audio")):
        there = [row for row in rows if row["modality"] == modality]
        if not there:
            continue
        places = [cells.index((row["condition"], row["question"])) + offset for row in there]
        axes.barh(
            places,
            [row["difference"] for row in there],
            height=0.32,
            color=GROUP_COLOURS[modality],
            alpha=0.8,
            label=f"without {modality}",
        )
        for place, row in zip(places, there, strict=True):
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [place, place], color=LIGHT["ink"], linewidth=1)
    axes.set_yticks(range(len(cells)), [f"{plain(condition)}, {question}" for condition, question in cells])
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("loss of log-probability, nats")
    axes.grid(True, axis="x")
    axes.tick_params(axis="x", labelcolor=LIGHT["muted"])
    _legend(axes, 2)
    return figure


@chart_style()
def agreement_points(rows: Sequence[Row]) -> "Figure":
    """Cohen's d of attention (filled) and of the knockout's loss (hollow) by range of layers, with 95 % intervals.

    Args:
        rows: Of `summary.agreement_rows`, of one state and condition.
    """
    from matplotlib.figure import Figure

    ranges = list(dict.fromkeys((row["first_layer"], row["last_layer"]) for row in rows))
    figure = Figure((_WIDTH, 2.9))
    axes = figure.subplots()
    axes.axhline(0, color=LIGHT["line"], linewidth=1)
    shifts = (("video", "attention", -0.24), ("video", "cause", -0.1), ("audio", "attention", 0.1))
    for modality, measure, offset in (*shifts, ("audio", "cause", 0.24)):
        there = [row for row in rows if row["modality"] == modality and row[measure]["d"] is not None]
        if not there:
            continue
        colour = GROUP_COLOURS[modality]
        places = [ranges.index((row["first_layer"], row["last_layer"])) + offset for row in there]
        found = [row[measure] for row in there]
        for place, one in zip(places, found, strict=True):
            axes.plot([place, place], [one["low"], one["high"]], color=colour, linewidth=1.2)
        axes.plot(
            places,
            [one["d"] for one in found],
            "o",
            color=colour,
            markerfacecolor=colour if measure == "attention" else LIGHT["paper"],
            markersize=5,
            label=f"{modality}, {'attention' if measure == 'attention' else 'loss without it'}",
        )
    axes.set_xticks(range(len(ranges)), [str(first) if first == last else f"{first}–{last}" for first, last in ranges])
    axes.set_xlim(-0.5, max(len(ranges), 1) - 0.5)
    axes.set_xlabel("layers")
    axes.set_ylabel("Cohen's d")
    axes.grid(True, axis="y")
    _legend(axes, 2)
    return figure


@chart_style()
def heat_map(tokens: pl.DataFrame) -> "Figure":
    """The last layer's attention by token (rows, sampled evenly from each group) and output step (columns; Figure 19).

    Args:
        tokens: Rows of `tokens.parquet` of one state, clip and question.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    steps = tokens["step"].unique().sort().to_list()[:_CELLS]
    shown = tokens.filter(pl.col("step").is_in(steps))
    first = shown.filter(pl.col("step") == steps[0])
    chosen = [
        (group, token)
        for group in GROUPS
        for token in _evenly(first.filter(pl.col("group") == group)["token"].to_list())
    ]
    weights = {(token, step): weight for token, step, weight in shown.select("token", "step", "weight").iter_rows()}
    texts = dict(first.select("token", "text").iter_rows())
    written = dict(shown.select("step", "written").iter_rows())
    most = max((weights[token, step] for _, token in chosen for step in steps), default=0.0) or 1.0
    figure = Figure((_WIDTH, 0.17 * len(chosen) + 1.2))
    axes = figure.subplots()
    for row, (group, token) in enumerate(chosen):
        for column, step in enumerate(steps):
            # The square root keeps small weights visible next to an attention sink.
            strength = (weights[token, step] / most) ** 0.5
            at = column - 0.47, row - 0.47
            axes.add_patch(Rectangle(at, 0.94, 0.94, color=GROUP_COLOURS[group], alpha=strength, linewidth=0))
    labels = [
        f"{_printable(texts[token])} {token}" if group == "text" else f"{group} {token}" for group, token in chosen
    ]
    axes.set_yticks(range(len(chosen)), labels, size=7)
    for label, (group, _) in zip(axes.get_yticklabels(), chosen, strict=True):
        label.set_color(GROUP_COLOURS[group])
    axes.set_xticks(range(len(steps)), [_printable(written[step]) for step in steps], rotation=90, size=7.5)
    axes.set_xlim(-0.5, len(steps) - 0.5)
    axes.set_ylim(len(chosen) - 0.5, -0.5)
    axes.set_xlabel("token that the step writes")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _evenly(tokens: Sequence[int]) -> list[int]:
    """At most `count` evenly spaced items, including the first and the last."""
    if len(tokens) <= _CELLS:
        return list(tokens)
    return [tokens[round(place * (len(tokens) - 1) / (_CELLS - 1))] for place in range(_CELLS)]


def _printable(text: str) -> str:
    """A token as a label, without control characters, which neither charts nor HTML can contain."""
    shown = "".join(
        letter if letter.isprintable() and letter != "\ufffd" else "·" for letter in text.replace("\n", "⏎")
    )
    return plain(shown.strip()[:14]) or "␣"


def label_places(axes: "Axes", label: str, places: Sequence[int]) -> None:
    """Layers or heads as whole numbers along x."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.set_xlim(min(places) - 0.4, max(places) + 0.4)
    axes.grid(True, axis="y")


def _legend(axes: "Axes", columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(
            handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=columns, borderaxespad=0, handlelength=2.6
        )
        for text in legend.get_texts():
            text.set(color=LIGHT["muted"], size=8.5)
