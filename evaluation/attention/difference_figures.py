"""Chart of how Cohen's d changes, by layer or head: pure functions of rows of `differences`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mma_bench.evaluation.attention.figures import STATE_COLOURS, label_places
from mma_bench.evaluation.figures import plain
from mma_bench.page import LIGHT, chart_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS: Final = {"tuning": LIGHT["sight"], "conflict_by_tuning": LIGHT["warn"]}
_WIDTH: Final = 4.7  # inches; see chart_style

Row = Mapping[str, Any]


def contrast_name(row: Row) -> str:
    """`misaligned − aligned, before`, or what else is subtracted."""
    condition, state = plain(row["condition"]), row["state"]
    if row["contrast"] == "conflict":
        return f"{condition} − aligned, {state}"
    if row["contrast"] == "tuning":
        return f"after − before, {condition}"
    return f"after − before, of {condition} − aligned"


@chart_style()
def difference_lines(rows: Sequence[Row], by: str) -> "Figure":
    """Differences of Cohen's d by layer or head, with 95 % intervals; a filled point is significant (p, Holm < 0.05).

    Args:
        rows: Of `differences.difference_rows`, of one group and kind of samples, without the mean over layers.
        by: `layer` or `head`.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(map(contrast_name, rows)))
    places = sorted({row["place"] for row in rows})
    figure = Figure((_WIDTH, 1.15 * len(names) + 0.5))
    for axes, name in zip(figure.subplots(len(names), sharex=True, squeeze=False)[:, 0], names, strict=True):
        there = [row for row in rows if contrast_name(row) == name]
        first = there[0]
        colour = STATE_COLOURS[first["state"]] if first["contrast"] == "conflict" else _COLOURS[first["contrast"]]
        at = [row["place"] for row in there]
        axes.axhline(0, color=LIGHT["line"], linewidth=1)
        axes.fill_between(
            at, [row["low"] for row in there], [row["high"] for row in there], color=colour, alpha=0.12, linewidth=0
        )
        axes.plot(at, [row["difference"] for row in there], color=colour, linewidth=1.6)
        found = [row for row in there if row["p_holm"] < 0.05]
        axes.plot(
            [row["place"] for row in found], [row["difference"] for row in found], "o", color=colour, markersize=4
        )
        axes.set_title(name, size=9, color=LIGHT["muted"])
        axes.set_ylabel("Δd")
        label_places(axes, by if name == names[-1] else "", places)
    return figure
