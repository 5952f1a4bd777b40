"""Score: predictions in, numbers out; pure and offline.

Answers that could not be parsed and prompts that failed have columns of their own. `accuracy` is over parsed answers;
`strict` counts unparseable answers as not right and leaves failed prompts out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from mma_bench.errors import ConfigError
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.files import write_json, write_text
from mma_bench.schema import Condition
from mma_bench.stats import Outcomes, difference, estimate, holm

Scores: TypeAlias = dict[str, Any]
Cell: TypeAlias = tuple[str, str, str]  # protocol, condition, question


def score(predictions: Sequence[Prediction], seen_classes: frozenset[str] = frozenset()) -> Scores:
    """All tables of the report, as lists of flat rows.

    Args:
        predictions: Of one run.
        seen_classes: Classes that the model was tuned on (appendix H); empty if that is not asked.
    """
    cells = _by_cell(predictions)
    scores: Scores = {
        "run": _run(predictions[0]),
        "accuracy": _accuracies(cells),
        "drop": _drops(cells),
        "capture": [
            _labelled(cell, {"captured_by": name, **_estimate(rows, counts)})
            for cell, rows in cells.items()
            for name, counts in answer_sources(rows)
        ],
        "by_class": _grouped(cells, lambda row: row.visual_class if row.question == "visual" else row.audio_class),
        "by_distance": _grouped(cells, lambda row: row.class_distance),
    }
    if seen_classes:
        scores["by_seen"] = _grouped(
            cells,
            lambda row: (
                "seen"
                if (row.visual_class if row.question == "visual" else row.audio_class) in seen_classes
                else "unseen"
            ),
        )
    return scores


def accuracy(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The table `accuracy` of `score` alone: a row for each protocol, condition and question."""
    return _accuracies(_by_cell(predictions))


def _accuracies(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    return [_labelled(cell, _accuracy(rows)) for cell, rows in cells.items()]


def _by_cell(predictions: Iterable[Prediction]) -> dict[Cell, list[Prediction]]:
    cells: dict[Cell, list[Prediction]] = defaultdict(list)
    order = {str(condition): rank for rank, condition in enumerate(Condition)}
    for row in predictions:
        cells[row.protocol, row.condition, row.question].append(row)
    return dict(sorted(cells.items(), key=lambda item: (item[0][0], order[item[0][1]], item[0][2] != "visual")))


def _run(prediction: Prediction) -> dict[str, Any]:
    names = ("model", "model_revision", "adapter", "adapter_revision", "dataset", "prompt_version", "settings")
    return {name: getattr(prediction, name) for name in names}


def _labelled(cell: Cell, values: Mapping[str, Any]) -> dict[str, Any]:
    protocol, condition, question = cell
    return {"protocol": protocol, "condition": condition, "question": question, **values}


def outcomes(rows: Iterable[Prediction], counts: Callable[[Prediction], bool], *, strict: bool = False) -> Outcomes:
    """Base clip → 1.0 for each answer that counts, else 0.0; parsed answers only, or with the unparseable ones."""
    statuses = ("ok", "unparseable") if strict else ("ok",)
    by_base: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.status in statuses:
            by_base[row.base_id].append(1.0 if counts(row) else 0.0)
    return by_base


def is_right(row: Prediction) -> bool:
    """Whether the parsed answer is the right one."""
    return row.answer == row.expected


def _accuracy(rows: Sequence[Prediction]) -> dict[str, Any]:
    strict = estimate(outcomes(rows, is_right, strict=True))
    return {
        "prompts": len(rows),
        "unparseable": sum(row.status == "unparseable" for row in rows),
        "failed": sum(row.status == "failed" for row in rows),
        **asdict(estimate(outcomes(rows, is_right))),
        **{f"strict_{key}": getattr(strict, key) for key in ("mean", "low", "high")},
    }


def _estimate(rows: Sequence[Prediction], counts: Callable[[Prediction], bool]) -> dict[str, Any]:
    return asdict(estimate(outcomes(rows, counts)))


def answer_sources(rows: Sequence[Prediction]) -> list[tuple[str, Callable[[Prediction], bool]]]:
    """What an answer can follow where there is a conflict: the truth, the other modality, the caption, none of them.

    Each answer counts once, for the first of them that it names, so that the shares add up to 1.
    """
    captors: list[tuple[str, Callable[[Prediction], bool]]] = []
    if any(row.other is not None for row in rows):
        captors.append(("other_modality", lambda row: not is_right(row) and row.answer == row.other))
    if any(row.caption is not None for row in rows):
        captors.append(
            ("caption", lambda row: row.answer not in (row.expected, row.other) and row.answer == row.caption)
        )
    if captors:
        captors = [("truth", is_right), *captors, ("neither", lambda row: row.answer not in _named(row))]
    return captors


def _named(row: Prediction) -> set[str | None]:
    return {row.expected, row.other, row.caption}


def _drops(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """Each condition against aligned, paired by base clip, p values corrected over all of them (Holm)."""
    drops = []
    for (protocol, condition, question), rows in cells.items():
        aligned = cells.get((protocol, str(Condition.ALIGNED), question))
        if aligned is None or condition == Condition.ALIGNED:
            continue
        change = difference(outcomes(aligned, is_right), outcomes(rows, is_right))
        drops.append(_labelled((protocol, condition, question), asdict(change)))
    tested = [row for row in drops if row["p"] is not None]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return drops


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
        table += [_labelled(cell, {"group": group, **_accuracy(groups[group])}) for group in sorted(groups)]
    return table


def compare_runs(first: Sequence[Prediction], second: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The second run against the first, cell by cell, paired by base clip, corrected over all cells (Holm).

    Raises:
        ConfigError: The runs saw different data in a condition that both have.
    """
    cells = _by_cell(first), _by_cell(second)
    rows = []
    for cell in cells[0]:
        if cell not in cells[1]:
            continue
        data = {row.dataset_fingerprint for side in cells for row in side[cell]}
        if len(data) > 1:
            raise ConfigError(
                f"the runs saw different data under {cell[1]}", hint="compare runs on the same version of the dataset"
            )
        rows.append(_labelled(cell, asdict(difference(*(outcomes(side[cell], is_right) for side in cells)))))
    tested = [row for row in rows if row["p"] is not None]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return rows


def read_seen_classes(path: Path | None) -> frozenset[str]:
    """Classes from a text file, one a line; none without a file."""
    if path is None:
        return frozenset()
    if not path.is_file():
        raise ConfigError(f"{path} does not exist", hint="name a text file with one class a line")
    return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def main(out: Path, seen_classes: Path | None = None) -> Scores:
    """Read `out/predictions.jsonl`, write `out/scores.json`, return the scores."""
    scores = score(read_predictions(out / "predictions.jsonl"), read_seen_classes(seen_classes))
    write_json(out / "scores.json", scores)
    write_json(out / "metrics.json", as_metrics(scores))
    write_text(out / "accuracy.csv", as_csv(scores))
    return scores


def as_csv(scores: Scores) -> str:
    """Accuracies as a DVC plot: a row per cell, in percent; cells where nothing could be parsed are left out."""
    rows = [
        f"{row['protocol']} · {row['condition']} · {row['question']},{100 * row['mean']:.1f}"
        for row in scores["accuracy"]
        if row["mean"] is not None
    ]
    return "\n".join(["cell,accuracy", *rows]) + "\n"


def as_metrics(scores: Scores) -> dict[str, Any]:
    """Accuracies as a DVC metric: protocol → condition → question → fraction, None where nothing could be parsed."""
    tree: dict[str, Any] = {}
    for row in scores["accuracy"]:
        tree.setdefault(row["protocol"], {}).setdefault(row["condition"], {})[row["question"]] = row["mean"]
    return tree
