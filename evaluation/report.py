"""The report of a run, human-readable (`report.html`, `report.md`) and machine-readable (`report.json`).

In: `run.json`, `scores.json` and `predictions.jsonl` of a run, and the dataset's folder, for wrong answers with their
clips, and for the judge that selected the clips if `run.json` does not name it. Every number comes from the scores;
nothing is recomputed here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from mma_bench.evaluation import figures, synchrony, text_alone
from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.circular import circular, judges_of
from mma_bench.evaluation.completeness import limit_of, missing
from mma_bench.evaluation.formats import PROTOCOLS, SMALL, facts, model_name, p_value, percent, points, shares
from mma_bench.evaluation.headline import MEASURES
from mma_bench.evaluation.mistakes import FOLDER, Shown, mistakes, write_pages
from mma_bench.evaluation.normalisation import NORMALISATIONS
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.published import (
    SOURCE,
    published_accuracy,
    published_name,
    published_rows,
    published_seen_rows,
)
from mma_bench.evaluation.report_charts import charts
from mma_bench.evaluation.run_folder import read_facts, read_scores
from mma_bench.evaluation.trust.sections import TABLES as TRUST_TABLES
from mma_bench.evaluation.trust.sections import three_way_panel, trust_panels
from mma_bench.evaluation.verdict import good_when, verdict
from mma_bench.evaluation.wrong_answers import FOLDER as REST
from mma_bench.evaluation.wrong_answers import PER_PAGE, table, write_rest, wrong_answers
from mma_bench.files import write_json, write_text
from mma_bench.folders import exclusive
from mma_bench.page import render
from mma_bench.schema import PAPERS_CONDITIONS, PAPERS_OWN_CLIPS
from mma_bench.stats import format_estimate

# Tables that are there only if what they are about was asked.
_ON_REQUEST: Final = ("absent", "open_answers", "text_alone", "time", *TRUST_TABLES)
_EXAMPLES: Final = 5
_CUT: Final = 200  # maximum characters of an answer or an error

Summary: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]


def summarise(
    run: Mapping[str, Any],
    scores: Mapping[str, Any],
    predictions: Sequence[Prediction],
    *,
    judges: Sequence[str] = (),
) -> Summary:
    """The report's content without the charts, as written to report.json.

    Args:
        run: The content of run.json.
        scores: The content of scores.json.
        predictions: The run's predictions.
        judges: The judges that selected the clips; empty if unknown. They tell whether the clips are the paper's own,
            so that its results are comparable.
    """
    paper_clips = list(judges) == [PAPERS_OWN_CLIPS]
    name = published_name(run["model"], run["adapter"], run["settings"])
    rows = [_with_published(row, name if paper_clips else None) for row in scores["accuracy"]]
    note = circular(run, judges)
    options = _options(predictions)
    return {
        "headline": scores["headline"],
        "verdict": verdict(scores["headline"], model_name(run), options),
        "options": options,
        "complete": scores["failed"] == 0,
        "run": dict(run),
        "published": {"model": name, "beside": paper_clips and name is not None, "source": SOURCE},
        "notes": [
            *_trial(run, predictions),
            *_notes(rows),
            *_withheld(predictions, "unsupported", "are not supported by this model"),
            *_withheld(predictions, "refused", "were refused by the model or its server"),
            *_served(predictions),
            *_lengths(scores.get("context_tokens", [])),
            *([note] if note else []),
        ],
        "accuracy": rows,
        "drop": scores["drop"],
        "capture": scores["capture"],
        "by_normalisation": scores.get("by_normalisation", []),
        "position_bias": scores.get("position_bias", []),
        "by_class": scores["by_class"],
        "by_distance": scores["by_distance"],
        "by_seen": scores.get("by_seen", []),
        "chains": scores.get("chains", []),
        **{table: scores[table] for table in _ON_REQUEST if table in scores},
        "errors": _examples(predictions, "failed", lambda row: row.error or ""),
        "unparseable": _examples(predictions, "unparseable", lambda row: row.raw or ""),
    }


def _with_published(row: Mapping[str, Any], name: str | None) -> Row:
    cell = row["protocol"], row["condition"], row["question"]
    return {**row, "published": None if name is None else published_accuracy(name, *cell)}


def _options(predictions: Sequence[Prediction]) -> dict[str, str]:
    """Protocol → number of options, `2 to 40` if it differs between prompts."""
    numbers: dict[str, set[int]] = {}
    for row in predictions:
        numbers.setdefault(row.protocol, set()).add(len(row.options))
    return {
        protocol: f"{min(found)}" if len(found) == 1 else f"{min(found)} to {max(found)}"
        for protocol, found in numbers.items()
    }


def _trial(run: Mapping[str, Any], predictions: Sequence[Prediction]) -> list[str]:
    """Why the run is no whole one: over a subset, limited, or unfinished."""
    notes = []
    if (subset := Subset.read(run)) is not None:
        notes.append(f"A run over {subset}, chosen with --clips. It is ranked only among runs over the same clips.")
    if (limit := limit_of(run)) is not None:
        notes.append(f"A trial run with --limit {limit}: at most {_counted(limit, 'base clip')}. It is not ranked.")
    if (lacking := missing(run, predictions)) is not None:
        notes.append(f"Unfinished: {lacking}. The run is not ranked; the same command goes on with it.")
    return notes


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    clips = max(row["clusters"] for row in rows)
    if clips == 0:
        notes.append("There are no answers to average. The errors are listed below.")
    elif clips < SMALL:
        notes.append(f"{_counted(clips, 'clip')}: intervals are wide. Do not over-interpret single numbers.")
    prompts = sum(row["prompts"] for row in rows)
    failed, unparseable = (sum(row[status] for row in rows) for status in ("failed", "unparseable"))
    if failed:
        notes.append(
            f"Incomplete: {failed:,} of {_counted(prompts, 'prompt')} failed. The run is not ranked; the same "
            "command retries them."
        )
    if unparseable:
        notes.append(
            f"{unparseable:,} of {_counted(prompts, 'prompt')} gave an answer that names no class or several, which "
            "counts as wrong."
        )
    return notes


def _withheld(predictions: Sequence[Prediction], status: str, what: str) -> list[str]:
    asked = Counter(row.condition for row in predictions)
    reasons: dict[str, list[str]] = {}
    for row in predictions:
        if row.status == status:
            reasons.setdefault(row.condition, []).append(row.error or "")
    return [
        f"Under {condition}, {len(found):,} of {_counted(asked[condition], 'prompt')} {what} "
        f"and count as neither right nor wrong: {Counter(found).most_common(1)[0][0].rstrip('.')}."
        for condition, found in reasons.items()
    ]


def _served(predictions: Sequence[Prediction]) -> list[str]:
    served = Counter(name for row in predictions if (name := row.usage.get("served_model")))
    if len(served) < 2:
        return []
    names = ", ".join(f"{name} ({_counted(count, 'answer')})" for name, count in served.most_common())
    return [f"The server answered under several names, so that the run may mix models: {names}."]


def _lengths(rows: Sequence[Row]) -> list[str]:
    return [
        f"Under {row['condition']}, the irrelevant text takes {row['median']:,.0f} tokens of this model (median; "
        f"{row['fewest']:,} to {row['most']:,})."
        for row in rows
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _examples(predictions: Sequence[Prediction], status: str, text_of: Callable[[Prediction], str]) -> list[Row]:
    """The most frequent errors or unparseable answers, with their counts."""
    counted = Counter(text_of(row)[:_CUT] for row in predictions if row.status == status)
    common = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_EXAMPLES]
    return [{"text": text, "count": count} for text, count in common]


def page(summary: Summary, shown: Shown, wrong: Sequence[Row] = ()) -> str:
    """The report as one HTML document; `wrong` are the rows of `wrong_answers`."""
    return render(
        "report.html",
        "mma_bench.evaluation",
        title=f"{model_name(summary['run'])} on MMA-Bench",
        sections=[{**own, **charts(_of_senses(own))} for own in (_tables(summary, name) for name in _asked(summary))],
        mistakes=shown,
        wrong=table(wrong[:PER_PAGE], len(wrong)),
        facts=facts(summary["run"]),
        **_words(summary),
    )


def _of_senses(section: Row) -> Row:
    """A section without the rows about neither picture nor sound, which no chart shows."""
    return {
        name: [row for row in value if row.get("question", "both") not in ("text", "time")]
        if isinstance(value, list)
        else value
        for name, value in section.items()
    }


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
        "percent": percent,
        "measures": MEASURES,
        "good_when": good_when,
        "paper": published_rows(),
        "paper_seen": published_seen_rows(),
        "conditions": [str(condition) for condition in PAPERS_CONDITIONS],
        "points": points,
        "p_value": p_value,
        "shares": shares,
        "text_alone_sentence": text_alone.sentence,
        "time_sentence": synchrony.sentence,
        "time_measures": synchrony.MEASURES,
        "normalisations": NORMALISATIONS,
        "source_names": {source: label for source, (label, _) in figures.ANSWER_SOURCES.items()},
    }


def _asked(summary: Summary) -> list[str]:
    there = {row["protocol"] for row in summary["accuracy"]}
    return [name for name in PROTOCOLS if name in there] + sorted(there - PROTOCOLS.keys())


def _tables(summary: Summary, protocol: str) -> Row:
    tables = (
        *("headline", "accuracy", "drop", "capture", "by_normalisation", "position_bias"),
        *("by_class", "by_distance", "by_seen", "chains"),
        *_ON_REQUEST,
    )
    own: Row = {table: [row for row in summary.get(table, []) if row["protocol"] == protocol] for table in tables}
    own["trust_panels"], own["three_way_panel"] = trust_panels(own), three_way_panel(own)
    own["by_normalisation"] = _side_by_side(own["by_normalisation"])
    return {"protocol": protocol, "heading": PROTOCOLS.get(protocol, protocol.replace("_", " ")), **own}


def _side_by_side(rows: Sequence[Row]) -> list[Row]:
    """A row for each cell, with the estimates by normalisation."""
    cells: dict[tuple[str, str], Row] = {}
    for row in rows:
        cell = cells.setdefault((row["condition"], row["question"]), {**row, "by": {}})
        cell["by"][row["normalisation"]] = row
    return list(cells.values())


def main(out: Path, dataset: Path | None = None, *, all_mistakes: bool = False) -> None:
    """Write report.md, report.json and report.html into a run's folder.

    Args:
        out: Contains run.json, predictions.jsonl and scores.json.
        dataset: The dataset's folder; without it the page shows no clips.
        all_mistakes: Also write pages with all wrong answers, as many as it takes.

    Raises:
        DataError: One of the three files is missing or broken.
        ConfigError: The scores are not of the predictions as they are now; or the dataset is not the one used in the
            run.
    """
    run = read_facts(out)
    predictions = read_predictions(out / "predictions.jsonl")
    scores = read_scores(out, predictions)
    shown = Shown([], 0) if dataset is None else mistakes(predictions, dataset, run["split"])
    wrong = wrong_answers(predictions)
    summary = summarise(run, scores, predictions, judges=judges_of(run, dataset))
    with exclusive(out):  # so that all are of one run
        write_json(out / "report.json", summary)
        write_text(out / "report.md", markdown(summary))
        write_text(out / "report.html", page(summary, shown, wrong))
        write_rest(wrong, out / REST)
        if all_mistakes and dataset is not None:
            write_pages(predictions, dataset, run["split"], out / FOLDER)
