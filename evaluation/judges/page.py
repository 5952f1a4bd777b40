"""The page of the judge audit: a pure function of the results of `compare`."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

from mma_bench.page import LIGHT, chart_style, render, svg
from mma_bench.schema import CHECKS
from mma_bench.stats import format_estimate, interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS: Final = ("accent", "sound", "sight", "bad", "warn", "good")
_LABEL: Final = 48  # characters of a line of the legend, which is as wide as the chart
_SHOWN: Final = "forced_choice"  # the paper's protocol; others are collapsed
_LISTED: Final = 200  # rejected clips shown on the page; compare.json has all of them


def page(report: Mapping[str, Any]) -> str:
    """The HTML page for the content of `compare.json`."""
    lines = accuracy_lines(report["accuracies"])
    curves = [row for row in report["thresholds"] if row["thresholds"]]
    names = [judge["name"] for judge in report["judges"]]
    return render(
        "judges.html",
        "mma_bench.evaluation.judges",
        title="Judges compared",
        report=report,
        names=names,
        checks=("all_four", *CHECKS),
        by_class=[row for row in report["agreement"] if row["class_name"] is not None],
        pairs=[row for row in report["agreement"] if row["class_name"] is None],
        alone=report["rejected_alone"][:_LISTED],
        accuracies=[line for line in lines if line["protocol"] == _SHOWN],
        other_accuracies=[line for line in lines if line["protocol"] != _SHOWN],
        plots=[
            (
                labels,
                modality,
                svg(precision_recall(chosen, names), f"Precision and recall, {modality}, {labels} labels"),
            )
            for labels in dict.fromkeys(row["labels"] for row in curves)
            for modality in ("visual", "audio")
            if (chosen := [row for row in curves if (row["labels"], row["modality"]) == (labels, modality)])
        ],
        estimate=format_estimate,
        interval=interval,
    )


def accuracy_lines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per run, protocol, condition and question: the accuracy on all clips and on each judge's clips."""
    lines: dict[tuple[str, ...], dict[str | None, Mapping[str, Any]]] = {}
    for row in rows:
        key = row["run"], row["protocol"], row["condition"], row["question"]
        lines.setdefault(key, {})[row["judge"]] = row
    return [
        {**dict(zip(("run", "protocol", "condition", "question"), key, strict=True)), "cells": cells}
        for key, cells in lines.items()
    ]


@chart_style()
def precision_recall(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> "Figure":
    """Curves of one modality on one label set; a dot is a judge's current point, a diamond the chosen one."""
    from matplotlib.figure import Figure

    figure = Figure((4.7, 3.7))
    axes = figure.subplots()
    for row in rows:
        colour = LIGHT[_COLOURS[names.index(row["judge"]) % len(_COLOURS)]]
        name = fill(row["judge"], _LABEL)
        axes.step(row["recall"], row["precision"], color=colour, where="pre", linewidth=1.6, label=name)
        for marked, marker in ((row["stands"], "o"), (row["chosen"], "D")):
            if marked is not None and marked["precision"]["mean"] is not None:
                axes.plot(
                    marked["recall"]["mean"],
                    marked["precision"]["mean"],
                    marker,
                    color=LIGHT["paper"] if marker == "D" else colour,
                    markeredgecolor=colour,
                    markersize=7,
                )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.04)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.grid(visible=True)
    figure.legend(loc="outside lower left", fontsize=8.5)
    return figure
