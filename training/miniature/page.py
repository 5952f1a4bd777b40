"""The miniature's page, `reports/miniature.html`: experiment and results, for a newcomer.

In: the predictions of every seed, the miniature's dataset, the runs' metadata and the recipes that were tried. Out: one
HTML file. Every number comes from the predictions; whether a criterion is met is computed.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from markupsafe import Markup

from mma_bench import layout
from mma_bench.errors import DataError
from mma_bench.evaluation import figures
from mma_bench.evaluation.attention import figures as lines
from mma_bench.evaluation.cells import chance
from mma_bench.evaluation.conditions import CONDITIONS, Variant
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.published import published_seen_rows
from mma_bench.files import write_text
from mma_bench.page import data_uri, render, svg
from mma_bench.schema import Condition
from mma_bench.stats import format_estimate
from mma_bench.tables import read_json
from mma_bench.training.miniature.metrics import (
    QUESTIONS,
    STATES,
    Metrics,
    answers_of,
    bars,
    cell,
    cost_file,
    read_runs,
)
from mma_bench.training.miniature.seed import HALF

NAMES: Final = {
    "base": "Base",
    "tuned": "Tuned on both",
    "aligned_only": "Control: aligned only",
    "misaligned_only": "Control: misaligned only",
    "contrastive": "Base, contrastive decoding",
    "fork_merge": "Base, fork-merge decoding",
    "steering": "Base, attention steering",
}
MEANINGS: Final = {
    Condition.ALIGNED: "Picture and sound agree.",
    Condition.MISALIGNED: "The sound is from a clip of another class.",
    Condition.AUDIO_REMOVED: "The model hears silence.",
    Variant.AUDIO_DROPPED: "The model gets no sound at all.",
    Condition.FRAMES_ZEROED: "Every frame is black.",
    Condition.MISLEADING_CAPTION: "Picture and sound agree; a caption before the question names another class.",
    Variant.MISLEADING_CAPTION_SHORT_ANSWER: "The same, and the prompt asks for a single word or phrase.",
}
_SAME: Final = 0.0005
_REASONS: Final[Mapping[str, str]] = {
    Condition.AUDIO_REMOVED: "The condition: earlier the model got no sound at all, as now under audio dropped.",
}
EXAMPLES: Final = 3  # conflicting clips shown

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """A misaligned clip shown on the page, with the answers of the first seed.

    Attributes:
        uri: The MP4 file as a `data:` URI.
        answers: Question → state → the class answered, None if no class was.
    """

    id: str
    visual_class: str
    audio_class: str
    uri: str
    answers: Mapping[str, Mapping[str, str | None]]


@dataclass(frozen=True)
class PageFacts:
    """The content of the page.

    Attributes:
        metrics: State → condition → question → mean, low, high, seeds.
        followed: State → question → the same for answers under `misaligned` that name the other modality's class.
        seen: Rows of condition, question, group (seen, unseen), mean, low, high; empty without that run.
        examples: Clips shown.
        tried: Rows of tried.csv.
        changes: As `changes` returns them.
        runs: Facts about data and training, as (name, value).
        seeds: The seeds, in the order of `metrics`.
        clips: Number of base clips.
        chance: Accuracy of guessing among the classes, as a fraction.
        attention: Figures with their captions; empty if attention was not measured.
        costs: State → processor seconds per question, the mean over seeds; of the base and the remedies.
    """

    metrics: Metrics
    followed: Mapping[str, Mapping[str, Mapping[str, Any]]]
    seen: Sequence[Row]
    examples: Sequence[Example]
    tried: Sequence[Mapping[str, str]]
    changes: Sequence[Row]
    runs: Sequence[tuple[str, str]]
    seeds: Sequence[int]
    clips: int
    chance: float
    attention: Sequence[tuple[Markup, str]] = ()
    costs: Mapping[str, float] = field(default_factory=dict)


def page(facts: PageFacts) -> str:
    """The page as HTML."""
    tree = facts.metrics

    def rows(state: str) -> list[Row]:
        return [
            {
                "condition": condition,
                "question": question,
                "published": None,
                "name": NAMES[state],
                "chance": facts.chance,
                **values,
            }
            for condition, by_question in tree[state].items()
            for question, values in by_question.items()
        ]

    def ranking(condition: str) -> Markup:
        of_all = [row for state in tree for row in rows(state) if row["condition"] == condition]
        return svg(figures.ranking(of_all), f"Accuracy of all models, {condition}")

    shown = [condition for condition in MEANINGS if condition in tree["base"]]
    return render(
        "miniature.html",
        "mma_bench.training.miniature",
        title="Modality conflict in miniature",
        facts=facts,
        names=NAMES,
        conditions={condition: MEANINGS[condition] for condition in shown},
        questions=QUESTIONS,
        bars=bars(tree),
        percent=percent,
        estimate=format_estimate,
        paper_seen=published_seen_rows(),
        rankings={name: ranking(name) for name in (Condition.ALIGNED, Condition.MISALIGNED)},
        charts={
            state: svg(figures.accuracy_bars(rows(state)), f"{NAMES[state]}, all conditions")
            for state in ("base", "tuned")
        },
        seen_charts={
            condition: svg(
                figures.group_points(
                    [{**row, "chance": facts.chance} for row in facts.seen if row["condition"] == condition], "classes"
                ),
                f"Seen and unseen classes, {condition}",
            )
            for condition in dict.fromkeys(row["condition"] for row in facts.seen)
        },
    )


def percent(value: float) -> str:
    """A fraction in percent: 93 %, or 97.4 %."""
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def followed(runs: Mapping[str, Sequence[Sequence[Prediction]]]) -> dict[str, dict[str, Row]]:
    """State → question → share of the answers under `misaligned` that name the other modality's class."""
    shares: dict[str, dict[str, Row]] = {}
    for state, of_seeds in runs.items():
        table = answers_of(of_seeds, lambda row: row.answer is not None and row.answer == row.other)
        shares[state] = {question: asdict(cell(table[Condition.MISALIGNED, question])) for question in QUESTIONS}
    return shares


def seen_rows(runs: Sequence[Sequence[Prediction]], classes: frozenset[str]) -> list[Row]:
    """Accuracy on classes that were tuned on and on the others, by condition and question (appendix H).

    The class is the one that the question asks for, as in `mma-bench score --seen-classes`.
    """

    def is_seen(row: Prediction) -> bool:
        return (row.visual_class if row.question == "visual" else row.audio_class) in classes

    found = []
    for group, belongs in (("seen", is_seen), ("unseen", lambda row: not is_seen(row))):
        kept = [[row for row in run if belongs(row)] for run in runs]
        for (condition, question), answers in answers_of(kept).items():
            found.append({"condition": condition, "question": question, "group": group, **asdict(cell(answers))})
    return sorted(
        found, key=lambda row: (CONDITIONS.index(row["condition"]), row["question"] != "visual", row["group"])
    )


def examples(runs: Mapping[str, Sequence[Prediction]], dataset: Path) -> list[Example]:
    """The first misaligned test clips, with distinct classes, and each state's answers.

    Args:
        runs: State → predictions of one seed.
        dataset: The miniature's dataset.
    """
    given: dict[str, dict[str, dict[str, str | None]]] = {}
    for state, run in runs.items():
        for row in run:
            if row.condition == Condition.MISALIGNED:
                given.setdefault(row.id, {}).setdefault(row.question, {})[state] = row.answer
    chosen: dict[str, Example] = {}
    heard: set[str] = set()
    for clip in Benchmark(str(dataset), split="test").rows(Condition.MISALIGNED):
        seen, sound = clip["visual_class"], clip["audio_class"]
        if len(chosen) < EXAMPLES and clip["id"] in given and seen not in chosen and not {seen, sound} & heard:
            uri = data_uri(clip["video"]["bytes"], "video/mp4")
            chosen[seen] = Example(clip["id"], seen, sound, uri, given[clip["id"]])
            heard |= {seen, sound}
    return list(chosen.values())


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a committed table: the recipes that were tried, or the accuracies reported earlier.

    Raises:
        DataError: No such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist", hint="restore it: the page shows every recipe that was tried and what changed"
        ) from None
    if not rows or any(None in row or None in row.values() for row in rows):
        raise DataError(f"{path} has no rows, or a row that does not match the header", hint="fix it")
    return rows


def changes(earlier: Sequence[Mapping[str, str]], tree: Metrics) -> list[Row]:
    """The accuracies that are not those of the earlier report, each with the reason.

    Args:
        earlier: Rows of earlier.csv: `state`, `condition`, `question` and `mean`, a fraction with four decimals.
        tree: The accuracies now.

    Returns:
        Rows of state, condition, question, before, now and why; empty if all are the same to a twentieth of a point.
    """
    found = []
    for row in earlier:
        now = tree[row["state"]][row["condition"]][row["question"]]["mean"]
        before = float(row["mean"])
        if abs(now - before) > _SAME:
            why = _REASONS.get(row["condition"], "The model: its weights depend on the processor's arithmetic.")
            found.append({**row, "before": before, "now": now, "why": why})
    return found


def attention(summary: Mapping[str, Any]) -> list[tuple[Markup, str]]:
    """Charts with their captions, from what `mma-bench attend` measured before and after tuning.

    The sound's share is the complement, so one chart suffices.

    Args:
        summary: Its summary.json.
    """
    rows = [row for row in summary["by_layer"] if row["group"] == "video" and row["d"] is not None]
    if not rows:
        return []
    caption = (
        "Share of the attention on the clip that goes to the picture: visual minus audio question, as Cohen's d by "
        "layer, with 95 % intervals over clips. At 0 the question makes no difference; above 0, attention shifts to "
        "the modality asked about."
    )
    return [(svg(lines.separation_lines(rows, "layer"), "Attention to the picture by layer"), caption)]


def main(root: Path, seeds: Sequence[int], tree: Metrics, tried: Path, earlier: Path, out: Path) -> None:
    """Read the results of the seeds below `root` and write the page.

    Args:
        root: The miniature's project.
        seeds: Those of `tree`, in its order.
        tree: What `metrics.main` returned.
        tried: The table of recipes.
        earlier: The accuracies of the report before this one.
        out: The HTML file.

    Raises:
        DataError: A run or a table is missing or broken.
    """
    runs: dict[str, list[list[Prediction]]] = {str(state): read_runs(root, seeds, state) for state in STATES}
    measured = root / "attention" / "summary.json"
    facts = PageFacts(
        metrics=tree,
        followed=followed(runs),
        seen=seen_rows(read_runs(root, seeds, HALF), _half(root)),
        examples=examples({state: of_seeds[0] for state, of_seeds in runs.items()}, root / layout.PACKAGE),
        tried=read_rows(tried),
        changes=changes(read_rows(earlier), tree),
        runs=how(root, seeds),
        seeds=seeds,
        clips=len({row.base_id for row in runs["base"][0]}),
        chance=chance(runs["base"][0]),
        attention=attention(read_json(measured)) if measured.is_file() else [],
        costs=costs(root, seeds),
    )
    write_text(out, page(facts))


def costs(root: Path, seeds: Sequence[int]) -> dict[str, float]:
    """State → processor seconds per question, the mean over seeds.

    Raises:
        DataError: A seed's costs are missing or broken.
    """
    measured = [read_json(cost_file(root, seed)) for seed in seeds]
    return {state: sum(of_seed[state] for of_seed in measured) / len(measured) for state in measured[0]}


def _half(root: Path) -> frozenset[str]:
    path = root / layout.DATA / "sft-half" / layout.SFT_CLASSES
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="run `make miniature`")
    return frozenset(path.read_text(encoding="utf-8").split("\n")) - {""}


def how(root: Path, seeds: Sequence[int]) -> list[tuple[str, str]]:
    """(name, value) about the data and the runs, from the runs' own records."""
    tuned = read_json(root / f"seed-{seeds[0]}" / "tuned" / "run.json")
    lora, config, examples_of = tuned["lora"], tuned["config"], tuned["data"]["examples"]
    facts = [
        ("Model", f"{lora['parameters'] - lora['trainable_parameters']:,} parameters"),
        (
            "LoRA",
            f"rank {lora['rank']}, alpha {lora['alpha']:g}, {lora['trainable_parameters']:,} parameters in "
            f"{lora['modules']} projections of the text model",
        ),
        ("Examples", f"{examples_of['train']:,} for training, {examples_of['validation']:,} for validation"),
        (
            "Tuning",
            f"{tuned['steps']:,} steps of {tuned['examples_per_step']} examples, learning rate "
            f"{config['learning_rate']:g}, {config['schedule']}",
        ),
    ]
    for seed in seeds:
        record = read_json(root / f"seed-{seed}" / "jobs.json")
        facts.append((f"Seed {seed}", f"{record['elapsed'] / 60:.1f} minutes, {record['cores']} jobs at a time"))
    versions = ", ".join(f"{package} {version}" for package, version in tuned["versions"].items())
    return [*facts, ("Versions", versions)]
