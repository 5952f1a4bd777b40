"""The charts of the dataset's page: pure functions of tables and counts to matplotlib figures.

All are drawn under `page.chart_style` and follow the page's theme; what is seen is blue, what is heard is orange.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from mma_bench.page import LIGHT, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPLIT_COLOURS: Final = {"test": LIGHT["accent"], "train": LIGHT["muted"]}
_WIDTH: Final = 4.7  # inches; see chart_style
_LONGEST: Final = 34  # characters of a label
_ROW: Final = 0.27  # inches that one bar takes


@chart_style()
def funnel(remaining: Sequence[tuple[str, int]]) -> "Figure":
    """Rows left after each step: (step, rows left), the first being the input.

    The pale part of a bar is the rows that the step dropped.
    """
    figure, axes = _rows([name for name, _ in remaining])
    left = [count for _, count in remaining]
    before = [left[0], *left[:-1]]
    axes.barh(range(len(left)), before, color=LIGHT["line"], height=0.72)
    axes.barh(range(len(left)), left, color=LIGHT["accent"], height=0.72)
    widest = max(left[0], 1)
    for row, count in enumerate(left):
        dropped = before[row] - count
        note = f"{count:,}" + (f"  (−{dropped:,})" if dropped else "")
        axes.text(before[row] + widest * 0.015, row, note, va="center", color=LIGHT["muted"], size=9)
    axes.set_xlim(0, widest * 1.42)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return figure


@chart_style()
def bars(counts: Mapping[str, Mapping[str, int]], unit: str) -> "Figure":
    """Stacked bars: name → split → count, in the order given."""
    figure, axes = _rows(list(counts), extra=0.75)
    start = [0] * len(counts)
    for split in [split for split in SPLIT_COLOURS if any(split in row for row in counts.values())]:
        values = [row.get(split, 0) for row in counts.values()]
        axes.barh(range(len(values)), values, left=start, color=SPLIT_COLOURS[split], height=0.72, label=split)
        start = [done + value for done, value in zip(start, values, strict=True)]
    _count_axis(axes, "x", unit)
    _legend(axes)
    return figure


@chart_style()
def histogram(values: Mapping[str, Iterable[float]], label: str, unit: str, *, bound: float | None = None) -> "Figure":
    """Split → values; a dashed line marks a parameter's bound."""
    from matplotlib.figure import Figure

    kept = {split: list(values[split]) for split in SPLIT_COLOURS if split in values}
    figure = Figure((_WIDTH, 2.4))
    axes = figure.subplots()
    span = [value for series in kept.values() for value in series] + ([] if bound is None else [bound])
    low, high = min(span, default=0.0), max(span, default=1.0)
    # An empty range (all clips of one length) gets a bar of normal width, not one as wide as the chart.
    margin = max((high - low) * 0.02, abs(high) * 0.05, 0.05)
    colours = [SPLIT_COLOURS[split] for split in kept]
    axes.hist(
        list(kept.values()), bins=24, range=(low - margin, high + margin), stacked=True, color=colours, label=list(kept)
    )
    if bound is not None:
        axes.axvline(
            bound, color=LIGHT["bad"], linestyle="--", linewidth=1.2, label=f"bound {bound:g}".replace("-", "−")
        )
    axes.set_xlabel(label)
    _count_axis(axes, "y", unit)
    _legend(axes)
    return figure


@chart_style()
def scores(verdicts: pl.DataFrame, check: str, threshold: float | None) -> "Figure":
    """The scores of one check of appendix B.1, by whether it passed, with the threshold.

    Args:
        verdicts: Schema VERDICTS; rows without a score are left out.
        check: One of CHECKS.
        threshold: 0 to 1; None: a threshold for each class, which is not drawn.
    """
    from matplotlib.figure import Figure

    scored = verdicts.filter(pl.col(f"{check}_score").is_not_null())
    passed, failed = (scored.filter(pl.col(f"{check}_pass") == verdict)[f"{check}_score"] for verdict in (True, False))
    figure = Figure((_WIDTH, 2.2))
    axes = figure.subplots()
    axes.hist(
        [passed.to_list(), failed.to_list()],
        bins=20,
        range=(0, 1),
        stacked=True,
        color=[LIGHT["good"], LIGHT["bad"]],
        label=[f"pass ({passed.len():,})", f"fail ({failed.len():,})"],
    )
    if threshold is not None:
        axes.axvline(threshold, color=LIGHT["ink"], linestyle="--", linewidth=1.2, label=f"threshold {threshold:g}")
    axes.set_xlim(0, 1)
    axes.set_xlabel("score")
    _count_axis(axes, "y", "clips")
    _legend(axes)
    return figure


@chart_style()
def pair_matrix(pairs: pl.DataFrame) -> "Figure":
    """Pairs by class: rows are what is seen, columns what is heard, a square the number of pairs (schema PAIRS)."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    names = sorted({*pairs["visual_class"], *pairs["audio_class"]})
    counted = pairs.group_by("visual_class", "audio_class").len().sort("visual_class", "audio_class").rows()
    most = max((count for *_, count in counted), default=1)
    last = max(len(names), 1) - 0.5
    side = 0.26 * len(names)
    figure = Figure((side + 1.9, side + 1.7))
    axes = figure.subplots()
    for seen, heard, count in counted:
        column, row = names.index(heard), names.index(seen)
        strength = 0.15 + 0.4 * count / most  # pale enough for a legible number on it
        axes.add_patch(Rectangle((column - 0.45, row - 0.45), 0.9, 0.9, color=LIGHT["sound"], alpha=strength))
        axes.text(column, row, str(count), ha="center", va="center", size=8, color=LIGHT["ink"])
    axes.plot([-0.5, last], [-0.5, last], color=LIGHT["line"], linewidth=1)
    axes.set_xlim(-0.5, last)
    axes.set_ylim(last, -0.5)
    axes.set_xticks(range(len(names)), _short(names), rotation=90, size=8.5)
    axes.set_yticks(range(len(names)), _short(names), size=8.5)
    axes.set_aspect("equal")
    axes.set_xlabel("what is heard", color=LIGHT["sound"])
    axes.set_ylabel("what is seen", color=LIGHT["sight"])
    axes.tick_params(length=0)
    return figure


@chart_style()
def _rows(names: Sequence[str], extra: float = 0.1) -> "tuple[Figure, Axes]":
    """A figure for horizontal bars, the first at the top."""
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH, _ROW * len(names) + extra))
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), _short(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _short(names: Sequence[str]) -> list[str]:
    """Names as people write them, truncated so that the chart keeps its space."""
    plain = [name.replace("_", " ") for name in names]
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in plain]


def _count_axis(axes: "Axes", axis: str, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    scale = axes.xaxis if axis == "x" else axes.yaxis
    scale.set_major_locator(MaxNLocator(5, integer=True))
    scale.set_label_text(unit)
    scale.grid(True)
    axes.tick_params(axis="y", labelcolor=LIGHT["ink"] if axis == "x" else LIGHT["muted"])


def _legend(axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(
            handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(labels), borderaxespad=0
        )
        for text in legend.get_texts():
            text.set(color=LIGHT["muted"], size=8.5)
