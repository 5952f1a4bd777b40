"""Report: a run's numbers for people (`report.html`, `report.md`) and for programs (`report.json`).

In: `run.json`, `scores.json` and `predictions.jsonl` of a run, and the dataset's folder if wrong answers shall be shown
beside their clips. Every number comes from the scores; nothing is averaged again here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from markupsafe import Markup

from mma_bench.evaluation import figures
from mma_bench.evaluation.mistakes import Mistake, mistakes
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.published import SOURCE, published_accuracy, published_name, published_spread
from mma_bench.files import write_json, write_text
from mma_bench.page import render, svg
from mma_bench.schema import Condition
from mma_bench.stats import format_estimate
from mma_bench.tables import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL: Final = 100  # base clips; below, an interval is wider than about ±10 points
_EXAMPLES: Final = 5
_CUT: Final = 200  # characters of an answer or an error
PROTOCOLS: Final = {
    "forced_choice": "Forced choice",
    "loglikelihood": "Forced choice by log-likelihood",
    "abstention": "Abstention",
    "chain_of_thought": "Chain of thought",
}

Summary: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]


def summarise(run: Mapping[str, Any], scores: Mapping[str, Any], predictions: Sequence[Prediction]) -> Summary:
    """All that the report says, without the pictures: the content of report.json."""
    name = published_name(run["model"], run["adapter"])
    rows = [_with_published(row, name) for row in scores["accuracy"]]
    return {
        "run": dict(run),
        "published": {"model": name, "source": SOURCE},
        "notes": [*_notes(rows), *_circular(run, rows)],
        "accuracy": rows,
        "drop": scores["drop"],
        "capture": scores["capture"],
        "by_class": scores["by_class"],
        "by_distance": scores["by_distance"],
        "by_seen": scores.get("by_seen", []),
        "errors": _examples(predictions, "failed", lambda row: row.error or ""),
        "unparseable": _examples(predictions, "unparseable", lambda row: row.raw or ""),
    }


def _with_published(row: Mapping[str, Any], name: str | None) -> Row:
    cell = row["protocol"], row["condition"], row["question"]
    spread = published_spread(*cell)
    return {
        **row,
        "published": None if name is None else published_accuracy(name, *cell),
        "published_low": spread and spread.low,
        "published_high": spread and spread.high,
        "published_models": spread.models if spread else 0,
    }


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    clips = max(row["clusters"] for row in rows)
    if clips == 0:
        notes.append("No answer could be read: there is nothing to average. What came instead is below.")
    elif clips < SMALL:
        notes.append(f"{_counted(clips, 'clip')}: intervals are wide. Do not read much into single numbers.")
    prompts = sum(row["prompts"] for row in rows)
    for status, meaning in (("failed", "failed"), ("unparseable", "gave an answer that names no class or several")):
        count = sum(row[status] for row in rows)
        if count:
            notes.append(f"{count:,} of {_counted(prompts, 'prompt')} {meaning}.")
    return notes


def _circular(run: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """A judge that admitted the clips is not measured by them."""
    if run["settings"].get("engine") != "specialist" or not rows:
        return []
    return [
        "The same two networks are the build's judge and admitted these clips: their accuracy on aligned clips is no "
        "finding. How it changes on misaligned ones is, as neither network has access to the other's modality."
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _examples(predictions: Sequence[Prediction], status: str, text_of: Callable[[Prediction], str]) -> list[Row]:
    """The commonest errors or unreadable answers, with how often each occurred."""
    counted = Counter(text_of(row)[:_CUT] for row in predictions if row.status == status)
    common = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_EXAMPLES]
    return [{"text": text, "count": count} for text, count in common]


def page(summary: Summary, shown: Sequence[Mistake]) -> str:
    """The report as one HTML document."""
    return render(
        "report.html",
        "mma_bench.evaluation",
        title=f"{model_name(summary['run'])} on MMA-Bench",
        sections=[_section(summary, protocol) for protocol in _asked(summary)],
        mistakes=shown,
        **_words(summary),
    )


def markdown(summary: Summary) -> str:
    """The report's tables as Markdown."""
    return render(
        "report.md",
        "mma_bench.evaluation",
        title=f"{model_name(summary['run'])} on MMA-Bench",
        sections=[_tables(summary, protocol) for protocol in _asked(summary)],
        **_words(summary),
    )


def _words(summary: Summary) -> dict[str, Any]:
    return {
        "summary": summary,
        "run": summary["run"],
        "cell": format_estimate,
        "strict": lambda row: format_estimate({key: row[f"strict_{key}"] for key in ("mean", "low", "high")}),
        "paper": _paper,
        "points": points,
        "p_value": p_value,
        "captors": {captor: label for captor, (label, _) in figures.CAPTORS.items()},
    }


def model_name(run: Mapping[str, Any]) -> str:
    """The model, with its adapter if it has one."""
    return str(run["model"]) + (f" + {run['adapter']}" if run["adapter"] else "")


def p_value(p: float | None) -> str:
    """Three decimals; a dash where nothing was tested."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _paper(row: Mapping[str, Any]) -> str:
    """The published value, or the range of the paper's models as context."""
    if row["published"] is not None:
        return f"{100 * row['published']:.1f}"
    if row["published_low"] is None:
        return "–"
    return f"{100 * row['published_low']:.1f}–{100 * row['published_high']:.1f}"


def points(row: Mapping[str, Any]) -> str:
    """A change in percentage points with its interval."""
    if row["difference"] is None:
        return "–"
    text = f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    return text.replace("-", "−")


def _asked(summary: Summary) -> list[str]:
    there = {row["protocol"] for row in summary["accuracy"]}
    return [name for name in PROTOCOLS if name in there] + sorted(there - PROTOCOLS.keys())


def _tables(summary: Summary, protocol: str) -> Row:
    tables = ("accuracy", "drop", "capture", "by_class", "by_distance", "by_seen")
    own = {table: [row for row in summary[table] if row["protocol"] == protocol] for table in tables}
    return {"protocol": protocol, "heading": PROTOCOLS.get(protocol, protocol.replace("_", " ")), **own}


def _section(summary: Summary, protocol: str) -> Row:
    section = _tables(summary, protocol)
    heading = section["heading"]
    return {
        **section,
        "accuracy_chart": svg(figures.accuracy_bars(section["accuracy"]), f"Accuracy, {heading}"),
        "capture_chart": _chart(figures.capture_bars, section["capture"], f"What the answers followed, {heading}"),
        "class_chart": _chart(figures.class_map, section["by_class"], f"Accuracy by class, {heading}"),
        "distance_chart": _chart(
            lambda rows: figures.group_points(rows, "steps between the two classes in the ontology"),
            [row for row in section["by_distance"] if row["condition"] == Condition.MISALIGNED],
            f"Accuracy by distance of the conflict, {heading}",
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


def _chart(draw: Callable[[Sequence[Row]], "Figure"], rows: Sequence[Row], label: str) -> Markup | None:
    """A chart, or None where there is nothing to draw."""
    return svg(draw(rows), label) if any(row["mean"] is not None for row in rows) else None


def main(out: Path, dataset: Path | None = None) -> None:
    """Write report.md, report.json and report.html into a run's folder.

    Args:
        out: Holds run.json, predictions.jsonl and scores.json.
        dataset: The dataset's folder; without it the page has no clips.

    Raises:
        DataError: One of the three files is missing or broken.
        ConfigError: The dataset is not the one that the run was made on.
    """
    run = read_json(out / "run.json")
    predictions = read_predictions(out / "predictions.jsonl")
    summary = summarise(run, read_json(out / "scores.json"), predictions)
    shown = [] if dataset is None else mistakes(predictions, dataset, run["split"])
    write_json(out / "report.json", summary)
    write_text(out / "report.md", markdown(summary))
    write_text(out / "report.html", page(summary, shown))
