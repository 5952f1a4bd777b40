"""Scoring: predictions in, numbers out; pure and offline.

Accuracy is over all answers: an unparseable answer is wrong, and `parsed` is the share of parseable ones. A failed
prompt has no answer and is excluded; a run with failed prompts is incomplete. A prompt that the model cannot take
(unsupported) or refuses to answer (refused) has no answer either, but is not missing; these are counted only where
there are some.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mma_bench.evaluation.absent import absent
from mma_bench.evaluation.cells import (
    TIME,
    Cell,
    asked_class,
    by_cell,
    chance,
    estimated,
    is_right,
    labelled,
    outcomes,
)
from mma_bench.evaluation.chains import chains
from mma_bench.evaluation.comparisons import drops
from mma_bench.evaluation.context_tokens import context_tokens
from mma_bench.evaluation.headline import headline, led_by_caption, led_by_other
from mma_bench.evaluation.normalisation import by_normalisation
from mma_bench.evaluation.open_answers import open_answers
from mma_bench.evaluation.positions import position_bias
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.seen_classes import classes_of, read_seen_classes
from mma_bench.evaluation.synchrony import synchrony
from mma_bench.evaluation.text_alone import text_alone
from mma_bench.evaluation.trust.curves import trust_tables
from mma_bench.evaluation.trust.senses import three_way_tables
from mma_bench.files import write_json, write_text

Scores: TypeAlias = dict[str, Any]


def score(predictions: Sequence[Prediction], seen_classes: frozenset[str] = frozenset()) -> Scores:
    """All tables of the report, as lists of flat rows.

    Args:
        predictions: Predictions of one run.
        seen_classes: Classes the model was tuned on (appendix H); empty to skip that split.
    """
    every = by_cell(predictions)
    # All tables but the accuracies and the one about time are about classes.
    cells = {cell: rows for cell, rows in every.items() if cell[2] != TIME}
    scores: Scores = {
        "headline": headline(cells),
        "failed": sum(row.status == "failed" for row in predictions),
        **_withheld(predictions),
        "run": _run(predictions[0]),
        "accuracy": accuracies(every),
        "drop": drops(cells),
        "capture": [
            labelled(cell, {"captured_by": name, **estimated(outcomes(rows, counts)), "chance": chance(rows)})
            for cell, rows in cells.items()
            for name, counts in answer_sources(rows)
        ],
        "by_normalisation": by_normalisation(cells),
        "position_bias": position_bias([row for row in predictions if row.question != TIME]),
        "by_class": _grouped(cells, asked_class),
        "by_distance": _grouped(cells, lambda row: row.class_distance),
    }
    if lengths := context_tokens(predictions):
        scores["context_tokens"] = lengths
    if of_absent := absent(cells):
        scores["absent"] = of_absent
    if without_the_clip := text_alone(cells):
        scores["text_alone"] = without_the_clip
    if shifted := synchrony(every):
        scores["time"] = shifted
    if of_open := open_answers(cells):
        scores["open_answers"] = of_open
    if of_chains := chains(cells):
        scores["chains"] = of_chains
    scores |= trust_tables(predictions) | three_way_tables(predictions)
    if seen_classes:
        scores["by_seen"] = _grouped(cells, lambda row: "seen" if asked_class(row) in seen_classes else "unseen")
    return scores


def accuracy(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The table `accuracy` of `score` alone: a row for each protocol, condition and question."""
    return accuracies(by_cell(predictions))


def accuracies(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """A row for each cell."""
    return [labelled(cell, _accuracy(rows)) for cell, rows in cells.items()]


def _run(prediction: Prediction) -> dict[str, Any]:
    names = ("model", "model_revision", "adapter", "adapter_revision", "dataset", "prompt_version", "settings")
    return {name: getattr(prediction, name) for name in names}


def _accuracy(rows: Sequence[Prediction]) -> dict[str, Any]:
    answered = [row for row in rows if row.is_answered]
    unparseable = sum(row.status == "unparseable" for row in rows)
    return {
        "prompts": len(rows),
        "unparseable": unparseable,
        "failed": sum(row.status == "failed" for row in rows),
        **_withheld(rows),
        "parsed": (len(answered) - unparseable) / len(answered) if answered else None,
        **estimated(outcomes(answered)),
        "chance": chance(rows),
    }


def _withheld(rows: Sequence[Prediction]) -> dict[str, int]:
    """The numbers of unsupported and of refused prompts, where there are any."""
    counts = {status: sum(row.status == status for row in rows) for status in ("unsupported", "refused")}
    return {status: count for status, count in counts.items() if count}


def answer_sources(rows: Sequence[Prediction]) -> list[tuple[str, Callable[[Prediction], bool]]]:
    """What answers follow under conflict: the truth, the other modality, the caption, or none of them.

    Each answer counts once, for the first match in this order, so that the shares add up to 1; one that names no class
    or several is `unparseable`.
    """
    sources: list[tuple[str, Callable[[Prediction], bool]]] = []
    if any(row.question in ("text", "time") for row in rows):
        return []  # the caption is the truth, or there is no class
    if any(row.other is not None for row in rows):
        sources.append(("other_modality", led_by_other))
    if any(row.caption is not None for row in rows):
        sources.append(("caption", led_by_caption))
    if not sources:
        return []
    return [
        ("truth", is_right),
        *sources,
        ("neither", lambda row: row.answer is not None and row.answer not in (row.expected, row.other, row.caption)),
        ("unparseable", lambda row: row.answer is None),
    ]


def _grouped(
    cells: Mapping[Cell, Sequence[Prediction]], group_of: Callable[[Prediction], str | int | None]
) -> list[dict[str, Any]]:
    table = []
    for cell, rows in cells.items():
        groups: dict[Any, list[Prediction]] = defaultdict(list)
        for row in rows:
            group = group_of(row)
            if group is not None:
                groups[group].append(row)
        table += [labelled(cell, {"group": group, **_accuracy(groups[group])}) for group in sorted(groups)]
    return table


def main(out: Path, seen_classes: Path | None = None) -> Scores:
    """Read `out/predictions.jsonl`; write `scores.json`, `metrics.json`, `lead.json` and `accuracy.csv`.

    Raises:
        ConfigError: The file of seen classes cannot be used (`read_seen_classes`).
        DataError: The predictions are missing or broken.
    """
    predictions = read_predictions(out / "predictions.jsonl")
    scores = score(predictions, read_seen_classes(seen_classes, lambda: classes_of(predictions)))
    write_json(out / "scores.json", scores)
    write_json(out / "metrics.json", as_metrics(scores))
    write_text(out / "accuracy.csv", as_csv(scores))
    write_json(out / "lead.json", as_headline(scores))
    return scores


def as_csv(scores: Scores) -> str:
    """Both questions correct and the accuracies as a DVC plot, in percent; cells without answers have no row."""
    both = [row for row in scores["headline"] if row["measure"] == "both_right"]
    rows = [
        f"{row['protocol']} · {row['condition']} · {row['question']},{100 * row['mean']:.1f}"
        for row in (*both, *scores["accuracy"])
        if row["mean"] is not None
    ]
    return "\n".join(["cell,accuracy", *rows]) + "\n"


def as_headline(scores: Scores) -> dict[str, float | None]:
    """Few fractions for `dvc metrics show`, where video and audio conflict: of forced choice, or of the first protocol.

    Returns:
        `both`, both questions right; `sees` and `hears`, the accuracies; `astray`, led by the picture if asked about
        the sound. None without answers. (Names are short: the width of DVC's table is their sum.)
    """
    named = {
        ("both_right", "both"): "both",
        ("accuracy", "visual"): "sees",
        ("accuracy", "audio"): "hears",
        ("led_by_other", "audio"): "astray",
    }
    protocols = [row["protocol"] for row in scores["headline"]]
    protocol = "forced_choice" if "forced_choice" in protocols else next(iter(protocols), None)
    means = {
        (row["measure"], row["question"]): row["mean"] for row in scores["headline"] if row["protocol"] == protocol
    }
    return {name: means[cell] for cell, name in named.items() if cell in means}


def as_metrics(scores: Scores) -> dict[str, Any]:
    """DVC metrics as fractions, None without answers: the headline first, then the accuracies.

    Returns:
        Protocol → `headline` → measure → question; protocol → condition → question; the number of `failed` prompts.
    """
    tree: dict[str, Any] = {}
    for row in scores["headline"]:
        measures = tree.setdefault(row["protocol"], {}).setdefault("headline", {})
        measures.setdefault(row["measure"], {})[row["question"]] = row["mean"]
    for row in scores["accuracy"]:
        tree.setdefault(row["protocol"], {}).setdefault(row["condition"], {})[row["question"]] = row["mean"]
    return {**tree, "failed": scores["failed"]}
