"""The charts of a run's report, for one protocol."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from markupsafe import Markup

from mma_bench.evaluation import figures
from mma_bench.page import svg
from mma_bench.schema import Condition

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDE: Final = 9.0  # inches of a chart that fills the page

Row: TypeAlias = dict[str, Any]
Draw: TypeAlias = Callable[[Sequence[Row]], "Figure"]


def charts(section: Mapping[str, Any]) -> dict[str, Any]:
    """The charts of one protocol as inline SVG; None where there is nothing to draw.

    Args:
        section: The protocol's tables, and its `heading`.
    """
    heading = section["heading"]
    return {
        "accuracy_chart": _both_widths(figures.accuracy_bars, section["accuracy"], f"Accuracy, {heading}"),
        "capture_chart": _if_any(
            _both_widths, figures.capture_bars, section["capture"], f"What the answers followed, {heading}"
        ),
        "class_chart": _if_any(_as_drawn, figures.class_map, section["by_class"], f"Accuracy by class, {heading}"),
        "distance_chart": _if_any(
            _both_widths,
            lambda rows: figures.group_points(rows, "steps between the two classes in the ontology"),
            [row for row in section["by_distance"] if row["condition"] == Condition.MISALIGNED],
            f"Accuracy by distance of the conflict, {heading}",
        ),
        "seen_charts": {
            condition: _if_any(
                _as_drawn,
                lambda rows: figures.group_points(rows, "classes"),
                [row for row in section["by_seen"] if row["condition"] == condition],
                f"Accuracy on seen and unseen classes, {condition}, {heading}",
            )
            for condition in dict.fromkeys(row["condition"] for row in section["by_seen"])
        },
    }


def _if_any(
    chart: Callable[[Draw, Sequence[Row], str], Markup], draw: Draw, rows: Sequence[Row], label: str
) -> Markup | None:
    """A chart, or None if there is nothing to plot."""
    return None if all(row["mean"] is None for row in rows) else chart(draw, rows, label)


def _as_drawn(draw: Draw, rows: Sequence[Row], label: str) -> Markup:
    return svg(draw(rows), label)


def _both_widths(draw: Draw, rows: Sequence[Row], label: str) -> Markup:
    """As wide as the page on a desktop, and once more as drawn, for a phone; the page shows one of the two."""
    wide = draw(rows)
    wide.set_size_inches(_WIDE, wide.get_figheight())
    parts = svg(wide, label), svg(draw(rows), f"{label}, narrow")
    return Markup('<div class="wide">{}</div><div class="narrow">{}</div>').format(*parts)
