"""AVHBench scoring: predictions in, numbers out; pure and offline.

Yes is the positive class. `mean` is over parsed answers, `strict_mean` counts unparseable answers as wrong; questions
that failed or whose video is missing are in neither and are counted in separate columns. Intervals are exact where each
source video has one answer, else based on the effective sample size (`stats.estimate`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.avhbench.annotations import YES, Task
from mma_bench.evaluation.avhbench.infer import PREDICTIONS, AvhPrediction, read_avh_predictions
from mma_bench.evaluation.avhbench.meteor import WITHOUT_WORDNET, Meteor
from mma_bench.evaluation.published import RESULTS, SOURCE
from mma_bench.files import write_json, write_text
from mma_bench.stats import estimate, format_estimate

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
    tasks = []
    for task in Task:
        rows = [row for row in predictions if row.task == task]
        if not rows:
            continue
        measured = _captioning(rows, meteor or Meteor()) if task is Task.CAPTIONING else _binary(rows)
        counts = {status: sum(row.status == status for row in rows) for status in ("missing", "failed", "unparseable")}
        tasks.append({"task": str(task), "prompts": len(rows), **counts, **measured, "published": _published(task)})
    names = ("model", "model_revision", "adapter", "adapter_revision")
    return {
        "run": {name: getattr(predictions[0], name) for name in names},
        "tasks": tasks,
        "missing_videos": sorted({row.video_id for row in predictions if row.status == "missing"}),
        "published_source": f"{SOURCE.partition(',')[0]}, Table 6",
    }


def _binary(rows: Sequence[AvhPrediction]) -> dict[str, Any]:
    parsed = [row for row in rows if row.status == "ok"]
    hits = sum(row.answer == row.label == YES for row in parsed)
    said = sum(row.answer == YES for row in parsed)
    true = sum(row.label == YES for row in parsed)
    return {
        "metric": "accuracy",
        **_estimates(rows, lambda row: float(row.answer == row.label)),
        "precision": _ratio(hits, said),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, said + true),
        "yes": _ratio(said, len(parsed)),
    }


def _captioning(rows: Sequence[AvhPrediction], meteor: Meteor) -> dict[str, Any]:
    values = _estimates(rows, lambda row: meteor.score(row.answer, row.label) if row.answer is not None else 0.0)
    return {"metric": meteor.name, **values}


def _estimates(rows: Iterable[AvhPrediction], value: Callable[[AvhPrediction], float]) -> dict[str, Any]:
    parsed: dict[str, list[float]] = defaultdict(list)
    strict: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.status == "ok":
            parsed[row.source].append(value(row))
            strict[row.source].append(parsed[row.source][-1])
        elif row.status == "unparseable":
            strict[row.source].append(0.0)
    whole = estimate(strict)
    return {
        **asdict(estimate(parsed)),
        **{f"strict_{key}": getattr(whole, key) for key in ("mean", "low", "high")},
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _published(task: Task) -> dict[str, float]:
    values = RESULTS["avhbench_zero_shot"][_PUBLISHED_KEYS[task]]
    return {model: round(value / 100, 4) for model, value in zip(PUBLISHED_MODELS, values, strict=True)}


def markdown(scores: dict[str, Any]) -> str:
    """The scores as a table, in percent."""
    header = ["Task", "Metric", "Value [95 %]", "Strict", "Precision", "Recall", "F1", "Yes"]
    header += ["Questions", "Unparseable", "Failed", "Missing", *(f"Paper: {model}" for model in PUBLISHED_MODELS)]
    lines = [header, ["---"] * len(header)]
    for row in scores["tasks"]:
        lines.append(
            [
                row["task"],
                row["metric"],
                format_estimate(row),
                *(_percent(row.get(name)) for name in ("strict_mean", "precision", "recall", "f1", "yes")),
                *(str(row[name]) for name in ("prompts", "unparseable", "failed", "missing")),
                *(_percent(row["published"][model]) for model in PUBLISHED_MODELS),
            ]
        )
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    text += f"\nPublished: {scores['published_source']}.\n"
    if any(row["metric"] == WITHOUT_WORDNET for row in scores["tasks"]):
        text += (
            f"\n`{WITHOUT_WORDNET}` matches equal words and stems but no synonyms, because NLTK's WordNet data is "
            "not installed; it is usually lower than METEOR and not comparable with the published value. "
            "`python -m nltk.downloader wordnet` installs WordNet; the same command then rescores without "
            "running the model again.\n"
        )
    if scores["missing_videos"]:
        text += f"\nMissing videos ({len(scores['missing_videos'])}): {', '.join(scores['missing_videos'])}\n"
    return text


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def main(out: Path) -> str:
    """Read `out/avhbench_predictions.jsonl`, write `avhbench_scores.json` and `avhbench.md`, return the table."""
    scores = score(read_avh_predictions(out / PREDICTIONS))
    write_json(out / "avhbench_scores.json", scores)
    table = markdown(scores)
    write_text(out / "avhbench.md", table)
    return table
