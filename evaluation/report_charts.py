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


def charts(section: Mapping[str, Any]) -> dict[str, Any]:
    """The charts of one protocol as inline SVG; None where there is nothing to draw.

    Args:
        section: The protocol's tables, and its `heading`.
    """
    heading = section["heading"]
    return {
        "accuracy_chart": svg(_wide(figures.accuracy_bars(section["accuracy"])), f"Accuracy, {heading}"),
        "capture_chart": _chart(
            figures.capture_bars, section["capture"], f"What the answers followed, {heading}", wide=True
        ),
        "class_chart": _chart(figures.class_map, section["by_class"], f"Accuracy by class, {heading}"),
        "distance_chart": _chart(
            lambda rows: figures.group_points(rows, "steps between the two classes in the ontology"),
            [row for row in section["by_distance"] if row["condition"] == Condition.MISALIGNED],
            f"Accuracy by distance of the conflict, {heading}",
            wide=True,
        ),
        "seen_charts": {
            condition: _chart(
                lambda rows: figures.group_points(rows, "classes"),
                [row for row in section["by_seen"] if row["condition"] == condition],
                f"Accuracy on seen and unseen classes, {condition}, {heading}",
            )
            for condition in dict.fromkeys(row["condition"] for row in section["by_seen"])
        },
    }


def _chart(
    draw: Callable[[Sequence[Row]], "Figure"], rows: Sequence[Row], label: str, *, wide: bool = False
) -> Markup | None:
    """A chart, or None if there is nothing to plot."""
    if all(row["mean"] is None for row in rows):
        return None
    figure = draw(rows)
    return svg(_wide(figure) if wide else figure, label)


def _wide(figure: "Figure") -> "Figure":
    """As wide as the page on a desktop; a narrow window scrolls it."""
    figure.set_size_inches(_WIDE, figure.get_figheight())
    return figure
