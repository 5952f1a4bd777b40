"""Leaderboard: compares all runs below a folder in `leaderboard.html`, `leaderboard.md` and `leaderboard.json`.

The page also has the paper's figures that compare models (`model_figures`), with all runs; unranked ones are marked.

In: the predictions of each run. Runs are ranked by how often both questions about the same misaligned clip are answered
correctly, and compared in pairs on the same clips. A run on different data, with different prompts or with missing
answers is listed and marked, but neither ranked nor compared.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mma_bench.errors import DataError
from mma_bench.evaluation import figures
from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.comparisons import compare_runs, corrected
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.formats import PROTOCOLS, p_value, percent, points
from mma_bench.evaluation.headline import MEASURES
from mma_bench.evaluation.model_figures import FIGURES, PaperFigure, figure_rows
from mma_bench.evaluation.predictions import has_predictions, read_predictions
from mma_bench.evaluation.protocols import QUESTIONS
from mma_bench.evaluation.published import SOURCE, published_rows
from mma_bench.evaluation.ranking import REASONS, Run, order, ranks, unranked
from mma_bench.evaluation.run_folder import read_object
from mma_bench.evaluation.submission import (
    SUFFIX,
    Prompts,
    check_rows,
    prompts_of_dataset,
    prompts_of_runs,
    read_submission,
)
from mma_bench.evaluation.trust.differences import shown, threshold_differences
from mma_bench.evaluation.trust.sentences import NAMES, threshold_text
from mma_bench.files import write_json, write_text
from mma_bench.page import render, svg
from mma_bench.schema import PAPERS_CONDITIONS
from mma_bench.stats import format_estimate

# Sorts a table by the column whose button was clicked, descending first; cells carry their value in data-value.
SORT = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = row => parseFloat(row.cells[head.cellIndex].dataset.value || "-Infinity");
  const sorted = [...body.rows].sort((a, b) =>
    a.dataset.unranked - b.dataset.unranked || (down ? value(b) - value(a) : value(a) - value(b)));
  body.append(...sorted);
});
"""


def comparisons(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every run against every other, per cell and for both questions together.

    p values are Holm-corrected over all pairs, protocols, conditions and questions.
    """
    return corrected(
        [
            {"first": first.folder, "second": second.folder, **row}
            for first, second in combinations(runs, 2)
            for row in compare_runs(first.clips, second.clips)
        ]
    )


def main(results: Path, benchmark: Benchmark | None = None) -> dict[str, Any]:
    """Write leaderboard.html, leaderboard.md and leaderboard.json; return leaderboard.json's content.

    Runs are folders with predictions.jsonl, or submissions (`submission`), which are checked against the dataset if
    there is one, else against the prompts of the other runs. A run without an answer so far is named, and has no row.

    Raises:
        DataError: There is no run below the folder, a run cannot be read, or a submission is not what it states.
    """
    if not results.is_dir():
        raise DataError(f"{results} is not a folder", hint="give the folder that holds the runs' folders")
    paths = sorted(results.rglob("predictions.jsonl"))
    submitted = sorted(results.rglob(f"*{SUFFIX}"))
    if not paths and not submitted:
        raise DataError(
            f"no predictions.jsonl below {results}, and no *{SUFFIX}",
            hint="set each run's --out to a folder below it",
        )
    begun = [path for path in paths if has_predictions(path)]
    without = [_name(path.parent, results) for path in paths if path not in begun]
    if not begun and not submitted:
        raise DataError(
            f"no run below {results} has answered anything yet: {', '.join(without)}",
            hint="start one again: `mma-bench evaluate` with the same options and --out",
        )
    own = {path.parent: read_predictions(path) for path in begun}
    runs = [Run.of(_name(folder, results), rows, _facts(folder)) for folder, rows in own.items()]
    known = prompts_of_runs(own.values())
    runs += [_submitted(path, results, known, benchmark) for path in submitted]
    board = {**summarise(runs), **({"without_answers": without} if without else {})}
    write_json(results / "leaderboard.json", board)
    html, text = pages(runs, board)
    write_text(results / "leaderboard.html", html)
    write_text(results / "leaderboard.md", text)
    return board


def _name(folder: Path, results: Path) -> str:
    return folder.relative_to(results).as_posix()


def _facts(folder: Path) -> dict[str, Any]:
    """The content of run.json; empty if there is none."""
    path = folder / "run.json"
    return read_object(path) if path.is_file() else {}


def _submitted(path: Path, results: Path, known: Prompts, benchmark: Benchmark | None) -> Run:
    """A submission as a run, checked."""
    found = read_submission(path)
    if benchmark is not None:
        known = prompts_of_dataset(benchmark, found.predictions)
    checked = check_rows(path, found.predictions, known)
    name = path.relative_to(results).as_posix().removesuffix(SUFFIX) + " (submitted)"
    clips = None if found.subset is None else {row.base_id for row in found.predictions}
    due = [row for row in known.values() if clips is None or row.base_id in clips]
    finished = benchmark is None or len(due) == len(found.predictions)
    facts = {"limit": found.limit, **({} if found.subset is None else {"clips": found.subset.facts()})}
    return Run.of(name, found.predictions, facts, finished=finished, checked=checked)


SUMMARY_HEADS = ("run", "rank", "both right", "visual", "audio", "protocol")


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The runs for the terminal, best first, unranked ones last with the reason: lead columns in percent."""
    rows = []
    for run in summary["runs"]:
        protocols = list(dict.fromkeys(row["protocol"] for row in run["headline"]))
        protocol = "forced_choice" if "forced_choice" in protocols or not protocols else protocols[0]
        own = [row for row in run["headline"] if row["protocol"] == protocol]
        means = {(row["measure"], row["question"]): row["mean"] for row in own}
        lead = [means.get(cell) for cell in (("both_right", "both"), ("accuracy", "visual"), ("accuracy", "audio"))]
        rank = run["rank"].get(protocol)
        name = protocol.replace("_", " ") if protocols else "–"
        shown = (str(rank or run["unranked"] or "–"), *(percent(value) for value in lead), name)
        rows.append(((rank is None, rank or 0, run["run"]), (run["run"], *shown)))
    rows += [((True, 1, name), (name, "no answers", *["–"] * 4)) for name in summary.get("without_answers", [])]
    return [row for _, row in sorted(rows)]


def summarise(runs: Sequence[Run]) -> dict[str, Any]:
    """The content of leaderboard.json.

    Returns:
        `runs`: for each run its folder, model, `unranked` (reason or None), `rank` by protocol, headline and accuracy;
        `pairs`: the rows of `comparisons`, ranked runs only; `figures`: the rows of `model_figures.figure_rows`;
        `subset`, only if the ranked runs are over one: its digest and count.
    """
    left_out = unranked(runs)
    compared = [run for run in runs if run.folder not in left_out]
    protocols = list(dict.fromkeys(row["protocol"] for run in runs for row in run.accuracy))
    by_protocol = {protocol: ranks(compared, protocol) for protocol in protocols}
    listed = [
        {
            "run": run.folder,
            "model": run.model,
            "unranked": left_out.get(run.folder),
            "rank": {protocol: rank[run.folder] for protocol, rank in by_protocol.items() if run.folder in rank},
            "headline": run.headline,
            "accuracy": run.accuracy,
        }
        for run in runs
    ]
    subset = next((run.subset for run in compared), None)
    return {
        "runs": listed,
        **({} if subset is None else {"subset": subset.facts()}),
        "pairs": comparisons(compared),
        "figures": figure_rows(listed),
        **_trust(runs, compared),
    }


def _trust(runs: Sequence[Run], compared: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    """`trust_thresholds` of all runs, and `trust_pairs`, the differences between comparable ones; only if there are."""
    rows = [{"run": run.folder, **row} for run in runs for row in run.thresholds if row["role"] == "curve"]
    differences = [
        {"first_run": first.folder, "second_run": second.folder, **row}
        for first, second in combinations(compared, 2)
        for row in threshold_differences(first.thresholds, second.thresholds)
    ]
    return {"trust_thresholds": rows, "trust_pairs": differences} if rows else {}


def pages(runs: Sequence[Run], summary: dict[str, Any]) -> tuple[str, str]:
    """The leaderboard as HTML and as Markdown."""
    left_out = {run["run"]: run["unranked"] for run in summary["runs"] if run["unranked"] is not None}
    asked = {row["protocol"] for run in runs for row in run.accuracy}
    boards = [_board(runs, protocol, left_out, summary["figures"]) for protocol in PROTOCOLS if protocol in asked]
    html, text = (
        render(
            template,
            "mma_bench.evaluation",
            title="MMA-Bench leaderboard",
            runs=runs,
            boards=boards,
            unranked=left_out,
            reasons=REASONS,
            without_answers=summary.get("without_answers", []),
            subset=Subset(**summary["subset"]) if "subset" in summary else None,
            comparisons=summary["pairs"],
            thresholds=[
                {**row, "heading": NAMES[row["manipulation"]], "text": threshold_text(row)}
                for row in summary.get("trust_thresholds", [])
            ],
            threshold_pairs=shown(summary.get("trust_pairs", [])),
            cell=format_estimate,
            points=points,
            percent=percent,
            measure_names=MEASURES,
            p_value=p_value,
            paper=published_rows(),
            source=SOURCE,
            script=SORT if template.endswith(".html") else "",
        )
        for template in ("leaderboard.html", "leaderboard.md")
    )
    return html, text


def _board(
    runs: Sequence[Run], protocol: str, left_out: dict[str, str], drawable: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """One protocol's tables: headline and cells in the paper's order, one row per run, unranked runs last."""
    listed = sorted(order(runs, protocol), key=lambda run: run.folder in left_out)
    compared = [run for run in listed if run.folder not in left_out]
    asked = {
        (row["condition"], row["question"]) for run in listed for row in run.accuracy if row["protocol"] == protocol
    }
    cells = [(name, question) for name in CONDITIONS for question in QUESTIONS if (name, question) in asked]
    rows = [row for run in listed for row in run.headline if row["protocol"] == protocol]
    measures = list(dict.fromkeys((row["measure"], row["question"]) for row in rows))
    drawn = [
        {**row, "name": run.folder}
        for run in compared
        for row in run.headline
        if row["protocol"] == protocol and row["measure"] in ("both_right", "accuracy") and row["mean"] is not None
    ]
    return {
        "protocol": protocol,
        "heading": PROTOCOLS[protocol],
        "measures": measures,
        "leads": [(run, _lead(run, protocol)) for run in listed],
        "headlines": [(run, [run.headline_row(protocol, *measure) for measure in measures]) for run in listed],
        "tables": _tables(listed, protocol, cells),
        "cells": cells,
        "lines": [(run, [run.row(protocol, *cell) for cell in cells]) for run in listed],
        "parsed": {run.folder: run.parsed(protocol) for run in listed},
        "rank": ranks(compared, protocol),
        "chart": svg(figures.ranking(drawn), f"Misaligned clips, {protocol}") if drawn else None,
        "figures": _side_by_side([row for row in drawable if row["protocol"] == protocol], listed, protocol),
    }


def _tables(
    listed: Sequence[Run], protocol: str, cells: Sequence[tuple[str, str]]
) -> list[tuple[str, list[str], list[tuple[Run, list[tuple[str, list[dict[str, Any] | None]]]]]]]:
    """The cells as tables that fit a page: heading, conditions, and of each run a line per question."""
    found = []
    for heading, papers in (("The paper’s conditions", True), ("Beyond the paper", False)):
        own = [cell for cell in cells if (cell[0] in PAPERS_CONDITIONS) == papers]
        conditions, questions = (list(dict.fromkeys(cell[place] for cell in own)) for place in (0, 1))
        lines = [
            (run, [(each, [run.row(protocol, name, each) for name in conditions]) for each in questions])
            for run in listed
        ]
        if conditions:
            found.append((heading, conditions, lines))
    return found


def _lead(run: Run, protocol: str) -> dict[str, Any]:
    """Both questions correct, the accuracy of each under conflict, and their gap in points (visual minus audio)."""
    cells = {"both": "both_right", "visual": "accuracy", "audio": "accuracy"}
    rows = {question: run.headline_row(protocol, measure, question) for question, measure in cells.items()}
    visual, audio = ((rows[question] or {}).get("mean") for question in QUESTIONS)
    return {**rows, "gap": None if visual is None or audio is None else 100 * (visual - audio)}


def _side_by_side(
    rows: Sequence[dict[str, Any]], listed: Sequence[Run], protocol: str
) -> list[tuple[PaperFigure, list[tuple[str, Markup]]]]:
    """Each figure with a chart per question, the runs in the order of the board."""
    place = {run.folder: number for number, run in enumerate(listed)}
    ordered = sorted(rows, key=lambda row: place[row["run"]])
    found = []
    for figure in FIGURES:
        charts: list[tuple[str, Markup]] = [
            (question, svg(figures.conditions_by_run(own), f"{figure.heading}, {question} question, {protocol}"))
            for question in QUESTIONS
            if (own := [row for row in ordered if (row["figure"], row["question"]) == (figure.name, question)])
        ]
        if charts:
            found.append((figure, charts))
    return found
