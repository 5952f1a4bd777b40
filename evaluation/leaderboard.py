"""Leaderboard: all runs below a folder side by side, `leaderboard.html` and `leaderboard.md`.

In: the predictions of each run. Runs are ordered by how well they hear when sight disagrees (audio question,
misaligned), and compared in pairs on the same clips. A run on other data or with other prompts is listed, marked, and
compared with none.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from mma_bench.errors import DataError
from mma_bench.evaluation import figures
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.protocols import QUESTIONS
from mma_bench.evaluation.report import PROTOCOLS, model_name, p_value, points
from mma_bench.evaluation.score import accuracy, compare_runs
from mma_bench.files import write_text
from mma_bench.page import render, svg
from mma_bench.schema import Condition
from mma_bench.stats import format_estimate, holm


@dataclass(frozen=True)
class Run:
    """A run with its accuracies.

    Attributes:
        folder: Relative to the folder of all runs; names the run.
        data: Condition → fingerprint of its data and version of the prompts.
    """

    folder: str
    model: str
    predictions: Sequence[Prediction]
    accuracy: list[dict[str, Any]]
    data: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, folder: str, predictions: Sequence[Prediction]) -> "Run":
        """Score a run."""
        first = predictions[0]
        return cls(
            folder=folder,
            model=model_name({"model": first.model, "adapter": first.adapter}),
            predictions=predictions,
            accuracy=accuracy(predictions),
            data={row.condition: (row.dataset_fingerprint, row.prompt_version) for row in predictions},
        )

    def row(self, protocol: str, condition: str, question: str) -> dict[str, Any] | None:
        """The accuracy of one cell, None if it was not asked."""
        wanted = protocol, condition, question
        found = (row for row in self.accuracy if (row["protocol"], row["condition"], row["question"]) == wanted)
        return next(found, None)


def order(runs: Sequence[Run], protocol: str) -> list[Run]:
    """The runs that used the protocol, best audio accuracy under misaligned first, those without one last."""

    def key(run: Run) -> tuple[float, str]:
        row = run.row(protocol, Condition.MISALIGNED, "audio")
        return (1.0 if row is None or row["mean"] is None else -row["mean"], run.folder)

    return sorted((run for run in runs if any(row["protocol"] == protocol for row in run.accuracy)), key=key)


def comparable(runs: Sequence[Run]) -> list[Run]:
    """The runs whose data and prompts are, under every condition, those that most runs had."""
    counted: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for run in sorted(runs, key=lambda run: run.folder):
        for condition, data in run.data.items():
            counted[condition][data] += 1
    common = {condition: counts.most_common(1)[0][0] for condition, counts in counted.items()}
    return [run for run in runs if all(common[condition] == data for condition, data in run.data.items())]


def comparisons(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every run against every other, cell by cell: `compare_runs` with p values corrected over all of it (Holm)."""
    rows = [
        {"first": first.folder, "second": second.folder, **row}
        for first, second in combinations(runs, 2)
        for row in compare_runs(first.predictions, second.predictions)
    ]
    tested = [row for row in rows if row["p"] is not None]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return rows


def main(results: Path) -> None:
    """Write leaderboard.html and leaderboard.md into the folder of all runs.

    Raises:
        DataError: No run below the folder, or a run that cannot be read.
    """
    paths = sorted(results.rglob("predictions.jsonl"))
    if not paths:
        raise DataError(f"no predictions.jsonl below {results}", hint="give each run its --out below that folder")
    runs = [Run.of(path.parent.relative_to(results).as_posix(), read_predictions(path)) for path in paths]
    html, text = pages(runs)
    write_text(results / "leaderboard.html", html)
    write_text(results / "leaderboard.md", text)


def pages(runs: Sequence[Run]) -> tuple[str, str]:
    """The leaderboard as HTML and as Markdown."""
    same = {run.folder for run in comparable(runs)}
    asked = {row["protocol"] for run in runs for row in run.accuracy}
    boards = [_board(runs, protocol, same) for protocol in PROTOCOLS if protocol in asked]
    compared = comparisons([run for run in runs if run.folder in same])
    html, text = (
        render(
            template,
            "mma_bench.evaluation",
            title="MMA-Bench leaderboard",
            runs=runs,
            boards=boards,
            comparable=same,
            comparisons=compared,
            cell=format_estimate,
            points=points,
            p_value=p_value,
        )
        for template in ("leaderboard.html", "leaderboard.md")
    )
    return html, text


def _board(runs: Sequence[Run], protocol: str, same: set[str]) -> dict[str, Any]:
    """One protocol's table: cells in the paper's order, a line for each run, those that cannot be compared last."""
    ranked = sorted(order(runs, protocol), key=lambda run: run.folder not in same)
    asked = {
        (row["condition"], row["question"]) for run in ranked for row in run.accuracy if row["protocol"] == protocol
    }
    cells = [(str(c), question) for c in Condition for question in QUESTIONS if (str(c), question) in asked]
    misaligned = [
        {**row, "name": run.folder}
        for run in ranked
        if run.folder in same
        for question in QUESTIONS
        if (row := run.row(protocol, Condition.MISALIGNED, question)) is not None and row["mean"] is not None
    ]
    return {
        "protocol": protocol,
        "heading": PROTOCOLS[protocol],
        "cells": cells,
        "lines": [(run, [run.row(protocol, *cell) for cell in cells]) for run in ranked],
        "chart": svg(figures.ranking(misaligned), f"Accuracy on misaligned clips, {protocol}") if misaligned else None,
    }
