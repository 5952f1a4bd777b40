"""Compares two AVHBench runs, of a base model and of the same model with an adapter (the paper's Table 6).

In: two folders that `mma-bench avhbench` wrote. Out: per task both scores, and the paired difference over the questions
answered in both runs. Questions about one source video are not independent, so the difference of a yes/no task is
clustered by source video (`stats.paired`); captions, whose METEOR is a real number, are averaged per source video
first (`stats.mean_change`). p values are Holm-corrected over the tasks. Two runs that differ in anything but the
adapter are rejected.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from mma_bench.errors import ConfigError
from mma_bench.evaluation.avhbench.annotations import Task
from mma_bench.evaluation.avhbench.infer import PREDICTIONS, AvhPrediction, read_avh_predictions
from mma_bench.evaluation.avhbench.meteor import Meteor
from mma_bench.evaluation.avhbench.score import (
    PUBLISHED_SOURCE,
    measured,
    notes,
    published,
    published_table,
    table,
    value_of,
)
from mma_bench.evaluation.comparisons import MODEL_SETTINGS, corrected
from mma_bench.evaluation.formats import p_value, percent, points
from mma_bench.files import write_json, write_text
from mma_bench.stats import Difference, format_estimate, mean_change, paired
from mma_bench.tables import read_json

_SCORES = ("mean", "low", "high", "n", "clusters", "method", "parsed", "unparseable", "failed", "missing")


@dataclass(frozen=True)
class AvhRun:
    """A run's folder, the content of `avhbench_run.json`, and the predictions by key."""

    folder: Path
    run: Mapping[str, Any]
    predictions: Mapping[str, AvhPrediction]


def read_run(folder: Path) -> AvhRun:
    """Read what `mma-bench avhbench` wrote.

    Raises:
        DataError: A file is missing or broken.
    """
    predictions = read_avh_predictions(folder / PREDICTIONS)
    again = "run the same `mma-bench avhbench` again, which keeps the answers"
    run = read_json(folder / "avhbench_run.json", missing=again, broken=f"delete it and {again}")
    return AvhRun(folder, run, {row.key: row for row in predictions})


def refuse_unlike(base: AvhRun, tuned: AvhRun) -> None:
    """Require that the runs answer the same questions about the same videos and differ only in the adapter.

    Raises:
        ConfigError: Something else differs; names it.
    """
    if (adapter := base.run["adapter"]) is not None:
        raise ConfigError(
            f"{base.folder} was made with the adapter {adapter}", hint="name the base model's run first, then the tuned"
        )
    if tuned.run["adapter"] is None:
        raise ConfigError(
            f"{tuned.folder} was made without an adapter", hint="run `mma-bench avhbench` with --adapter, and name it"
        )
    settings = [{f"setting {name}": value for name, value in run.run["settings"].items()} for run in (base, tuned)]
    same = {"model_revision": "base model", "annotations_sha256": "annotations"}
    facts = [{what: run.run[name] for name, what in same.items()} for run in (base, tuned)]
    first, second = ({**fact, **own} for fact, own in zip(facts, settings, strict=True))
    for what in [name for name in {**first, **second} if name.removeprefix("setting ") not in MODEL_SETTINGS]:
        if first.get(what) != second.get(what):
            raise ConfigError(
                f"{base.folder} and {tuned.folder} differ in {what}: {first.get(what)} and {second.get(what)}",
                hint="run both on the same annotations with the same settings",
            )
    if alone := base.predictions.keys() ^ tuned.predictions.keys():
        raise ConfigError(
            f"{base.folder} and {tuned.folder} have different questions, e.g. {min(alone)}",
            hint="finish both runs, with the same --limit",
        )
    for key, row in base.predictions.items():
        other = tuned.predictions[key]
        if None not in (row.video_sha256, other.video_sha256) and row.video_sha256 != other.video_sha256:
            raise ConfigError(
                f"{base.folder} and {tuned.folder} saw different files of the video {row.video_id}",
                hint="run both on the same videos",
            )


def compare(base: AvhRun, tuned: AvhRun, meteor: Meteor | None = None) -> dict[str, Any]:
    """The content of avhbench_comparison.json; all values are fractions.

    Args:
        base: Of the base model.
        tuned: Of the model with an adapter.
        meteor: Scores the captions; created on demand if None.

    Returns:
        `base` and `tuned`: the runs; `tasks`: rows of `stats.Difference` (tuned minus base) with `p_holm`, both scores
        under `base` and `tuned`, and `unpaired`, the questions that lack an answer in one of the runs.
    """
    tasks = []
    for task in Task:
        pairs = [(row, tuned.predictions[key]) for key, row in sorted(base.predictions.items()) if row.task == task]
        if not pairs:
            continue
        scorer = (meteor or Meteor()) if task is Task.CAPTIONING else None
        sides = [measured(task, rows, scorer) for rows in zip(*pairs, strict=True)]
        changes = [
            (before.source, new - old)
            for before, after in pairs
            if (old := value_of(before, scorer)) is not None and (new := value_of(after, scorer)) is not None
        ]
        tasks.append(
            {
                "task": str(task),
                "metric": sides[0]["metric"],
                **{
                    name: {key: side[key] for key in _SCORES}
                    for name, side in zip(("base", "tuned"), sides, strict=True)
                },
                **asdict(_difference(task, changes)),
                "pairs": len(changes),
                "unpaired": len(pairs) - len(changes),
                "published": published(task),
            }
        )
    return {
        **{name: {"folder": str(run.folder), **run.run} for name, run in (("base", base), ("tuned", tuned))},
        "tasks": corrected(tasks),
        "published_source": PUBLISHED_SOURCE,
    }


def _difference(task: Task, changes: Sequence[tuple[str, float]]) -> Difference:
    if task is not Task.CAPTIONING:
        return paired([change for _, change in changes], [[source for source, _ in changes]])
    by_source: dict[str, list[float]] = defaultdict(list)
    for source, change in changes:
        by_source[source].append(change)
    return mean_change([fmean(own) for own in by_source.values()])


def markdown(compared: Mapping[str, Any]) -> str:
    """The comparison as a table, in percent, and the paper's values in one of their own."""
    header = ["Task", "Metric", "Base [95 %]", "Read", "Tuned [95 %]", "Read", "Change, points [95 %]", "p", "p, Holm"]
    rows = [
        [
            row["task"],
            row["metric"],
            *(
                text
                for side in ("base", "tuned")
                for text in (format_estimate(row[side]), percent(row[side]["parsed"]))
            ),
            points(row),
            p_value(row["p"]),
            p_value(row.get("p_holm")),
            *(str(row[name]) for name in ("pairs", "unpaired")),
        ]
        for row in compared["tasks"]
    ]
    return (
        f"Base: {compared['base']['model']}. Tuned: the same with {compared['tuned']['adapter']}.\n\n"
        + table([*header, "Questions in both", "In one"], rows)
        + "\nScores are over all answers: an unparseable one is wrong, “read” is the share of parseable ones. The "
        "change is over the questions answered in both runs. p is from the t test that "
        "the interval inverts, clustered by source video; for captions from a t test over source videos.\n"
        + notes(compared["tasks"])
        + published_table(compared["tasks"])
    )


SUMMARY_HEADS: Final = ("task", "base [95 %]", "tuned [95 %]", "change, points [95 %]", "p, Holm")


def summary_rows(compared: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The comparison as rows for the terminal, in percent."""
    return [
        (
            row["task"],
            *(format_estimate(row[side]) for side in ("base", "tuned")),
            points(row),
            p_value(row.get("p_holm")),
        )
        for row in compared["tasks"]
    ]


def main(base: Path, tuned: Path, out: Path) -> dict[str, Any]:
    """Write `avhbench_comparison.json` and `avhbench_comparison.md` into `out`; return the former's content.

    Raises:
        ConfigError: The runs differ in more than the adapter.
        DataError: A file of a run is missing or broken.
    """
    runs = read_run(base), read_run(tuned)
    refuse_unlike(*runs)
    compared = compare(*runs)
    write_json(out / "avhbench_comparison.json", compared)
    write_text(out / "avhbench_comparison.md", markdown(compared))
    return compared
