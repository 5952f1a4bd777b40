"""AVHBench scoring: predictions in, numbers out; pure and offline.

Yes is the positive class. All numbers are over all answers: an unparseable one is wrong (a caption without words scores
0), and `parsed` is the share of parseable ones. Questions that failed or whose video is missing have no answer and are
counted in separate columns. AVHBench publishes accuracy, precision, recall, F1 and the share of yes, but no scoring
script; its leaderboard has accuracies of 16 to 18 % on two-way questions, which fits unparseable answers being wrong.
Intervals are exact where each source video has one answer, else based on the effective sample size (`stats.estimate`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.avhbench.annotations import YES, Task
from mma_bench.evaluation.avhbench.infer import PREDICTIONS, AvhPrediction, read_avh_predictions
from mma_bench.evaluation.avhbench.meteor import WITHOUT_WORDNET, Meteor
from mma_bench.evaluation.formats import percent
from mma_bench.evaluation.published import RESULTS, SOURCE
from mma_bench.files import write_json, write_text
from mma_bench.stats import estimate, format_estimate

PUBLISHED_SOURCE: Final = f"{SOURCE.partition(',')[0]}, Table 6"
PUBLISHED_MODELS: Final = ("Qwen2.5-Omni-7B", "Qwen2.5-Omni-7B + modality-aware LoRA")
_PUBLISHED_KEYS: Final = {
    Task.VIDEO_DRIVEN_AUDIO: "video_driven_audio_hallucination",
    Task.AUDIO_DRIVEN_VIDEO: "audio_driven_video_hallucination",
    Task.MATCHING: "av_matching",
    Task.CAPTIONING: "av_captioning_meteor",
}


def score(predictions: Sequence[AvhPrediction], meteor: Meteor | None = None) -> dict[str, Any]:
    """One row per task, alongside the values of the paper's Table 6; all values are fractions.

    Args:
        predictions: Of one run.
        meteor: Scores the captions; created on demand if None.
    """
    names = ("model", "model_revision", "adapter", "adapter_revision")
    return {
        "run": {name: getattr(predictions[0], name) for name in names},
        "tasks": [
            {"task": str(task), "prompts": len(rows), **measured(task, rows, meteor), "published": published(task)}
            for task in Task
            if (rows := [row for row in predictions if row.task == task])
        ],
        "missing_videos": sorted({row.video_id for row in predictions if row.status == "missing"}),
        "published_source": PUBLISHED_SOURCE,
    }


def measured(task: Task, rows: Sequence[AvhPrediction], meteor: Meteor | None = None) -> dict[str, Any]:
    """The counts and scores of one task: `mean` with its interval, `parsed`, and for yes/no tasks `precision` etc.

    Args:
        rows: The task's predictions.
        meteor: As in `score`.
    """
    scorer = (meteor or Meteor()) if task is Task.CAPTIONING else None
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if (value := value_of(row, scorer)) is not None:
            values[row.source].append(value)
    answered = [row for row in rows if row.status in ("ok", "unparseable")]
    return {
        **{status: sum(row.status == status for row in rows) for status in ("missing", "failed", "unparseable")},
        **{status: count for status in _NO_ANSWER if (count := sum(row.status == status for row in rows))},
        "metric": "accuracy" if scorer is None else scorer.name,
        **asdict(estimate(values)),
        "parsed": _ratio(sum(row.status == "ok" for row in answered), len(answered)),
        **(_yes(answered) if scorer is None else {}),
    }


_NO_ANSWER: Final = ("refused", "unsupported")  # of few models: counted where there are some


def value_of(row: AvhPrediction, meteor: Meteor | None) -> float | None:
    """0 to 1: the caption's METEOR, or without `meteor` whether the answer is right; None without an answer."""
    if row.status not in ("ok", "unparseable"):
        return None
    if row.answer is None:
        return 0.0
    return float(row.answer == row.label) if meteor is None else meteor.score(row.answer, row.label)


def _yes(answered: Sequence[AvhPrediction]) -> dict[str, float | None]:
    hits = sum(row.answer == row.label == YES for row in answered)
    said = sum(row.answer == YES for row in answered)
    true = sum(row.label == YES for row in answered)
    return {
        "precision": _ratio(hits, said),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, said + true),
        "yes": _ratio(said, len(answered)),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def published(task: Task) -> dict[str, float]:
    """The paper's value of a task by model, as fractions."""
    values = RESULTS["avhbench_zero_shot"][_PUBLISHED_KEYS[task]]
    return {model: round(value / 100, 4) for model, value in zip(PUBLISHED_MODELS, values, strict=True)}


def markdown(scores: dict[str, Any]) -> str:
    """The scores as a table in percent, and the paper's values in one of their own."""
    header = ["Task", "Metric", "Value [95 %]", "Read", "Precision", "Recall", "F1", "Yes"]
    rows = [
        [
            row["task"],
            row["metric"],
            format_estimate(row),
            *(percent(row.get(name)) for name in ("parsed", "precision", "recall", "f1", "yes")),
            *(str(row[name]) for name in ("prompts", "unparseable", "failed", "missing")),
        ]
        for row in scores["tasks"]
    ]
    text = table([*header, "Questions", "Unparseable", "Failed", "Missing"], rows)
    text += "\nThe value is over all answers: an unparseable one is wrong, “read” is the share of parseable ones.\n"
    for row in scores["tasks"]:
        if counts := [f"{row[status]} {status}" for status in _NO_ANSWER if status in row]:
            text += f"\n{row['task']}: {', '.join(counts)}; no answers, neither right nor wrong, and not asked again.\n"
    text += notes(scores["tasks"]) + published_table(scores["tasks"])
    if scores["missing_videos"]:
        text += f"\nMissing videos ({len(scores['missing_videos'])}): {', '.join(scores['missing_videos'])}\n"
    return text


def notes(tasks: Sequence[dict[str, Any]]) -> str:
    """Why captions may lack METEOR, if they do."""
    if all(row["metric"] != WITHOUT_WORDNET for row in tasks):
        return ""
    return (
        f"\n`{WITHOUT_WORDNET}` matches equal words and stems but no synonyms, because NLTK's WordNet data is "
        "not installed; it is usually lower than METEOR and not comparable with the published value. "
        "`python -m nltk.downloader wordnet` installs WordNet; the same command then rescores without "
        "running the model again.\n"
    )


def published_table(tasks: Sequence[dict[str, Any]]) -> str:
    """The paper's values of these tasks, with what they are."""
    rows = [[row["task"], *(percent(row["published"][model]) for model in PUBLISHED_MODELS)] for row in tasks]
    return (
        f"\nThe paper's own results ({PUBLISHED_SOURCE}), in percent, with its prompts, frames and parsing; the two "
        f"need not agree with the values above:\n\n{table(['Task', *PUBLISHED_MODELS], rows)}"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


SUMMARY_HEADS: Final = ("task", "metric", "value [95 %]", "read", "questions")


def summary_rows(scores: dict[str, Any]) -> list[tuple[str, ...]]:
    """The scores as rows for the terminal, in percent, with the questions that have no answer where there are any."""
    rows: list[tuple[str, ...]] = []
    for row in scores["tasks"]:
        value = (format_estimate(row), percent(row["parsed"]))
        rows.append((row["task"], row["metric"], *value, f"{row['prompts']:,}"))
        counts = [(status, row.get(status, 0)) for status in ("unparseable", "failed", "missing", *_NO_ANSWER)]
        rows += [(f"  {status}", "", "", "", f"{count:,}") for status, count in counts if count]
    return rows


def main(out: Path) -> dict[str, Any]:
    """Read `out/avhbench_predictions.jsonl`, write `avhbench_scores.json` and `avhbench.md`, return the scores."""
    scores = score(read_avh_predictions(out / PREDICTIONS))
    write_json(out / "avhbench_scores.json", scores)
    write_text(out / "avhbench.md", markdown(scores))
    return scores
