"""Compares the base and the tuned model on the same prompts, for the model card.

In: two folders that `mma-bench evaluate` wrote. Out: cells (protocol, condition, question) with both accuracies and
their paired difference. Two evaluations that differ in anything but the adapter are rejected.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.cells import asked_class, by_cell
from mma_bench.evaluation.comparisons import MODEL_SETTINGS, clips_of, compare_runs
from mma_bench.evaluation.conditions import CONDITIONS, CONFIGS
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.run_folder import read_facts
from mma_bench.evaluation.score import accuracy
from mma_bench.schema import Condition
from mma_bench.tables import read_json

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str, str]  # protocol, condition, question

_SURE: Final = 0.05  # significance level of a p value corrected over all cells


@dataclass(frozen=True)
class Results:
    """An evaluation: `run.json`, the predictions, and the rows of `accuracy` in `scores.json`."""

    folder: Path
    run: Mapping[str, Any]
    predictions: Sequence[Prediction]
    accuracy: Sequence[Row]


@dataclass(frozen=True)
class Cell:
    """One condition and question, before and after.

    Attributes:
        before: A row of `score.accuracy`, None if the cell was not evaluated.
        after: The same for the tuned model.
        change: A row of `compare_runs` (fractions, `p_holm` over all cells), None if one side was not evaluated.
    """

    protocol: str
    condition: str
    question: str
    before: Row | None
    after: Row | None
    change: Row | None

    @property
    def is_worse(self) -> bool:
        """Whether accuracy fell after tuning in the paired comparison, significant or not."""
        return self.change is not None and self.change["difference"] is not None and self.change["difference"] < 0

    @property
    def is_sure(self) -> bool:
        """Whether the interval of the change excludes zero and the corrected test is significant."""
        if self.change is None or self.change["difference"] is None:
            return False
        return bool((self.change["low"] > 0 or self.change["high"] < 0) and self.change["p_holm"] < _SURE)

    @property
    def asks_for_nothing(self) -> bool:
        """Whether the modality asked about is absent while its class still counts as correct."""
        gone = {Condition.AUDIO_REMOVED: "audio", Condition.FRAMES_ZEROED: "visual"}
        return self.protocol != "abstention" and gone.get(CONFIGS[self.condition]) == self.question


def read_results(folder: Path) -> Results:
    """Read an evaluation.

    Raises:
        DataError: A file is missing or broken, or the scores do not match the predictions.
    """
    predictions = read_predictions(folder / "predictions.jsonl")
    for name in ("run.json", "scores.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder} has no {name}", hint=f"finish `mma-bench evaluate … --out {folder}`")
    hint = f"run `mma-bench score {folder}`"
    run, scores = read_facts(folder), read_json(folder / "scores.json", missing=hint, broken=hint)
    table = accuracy(predictions)
    if not isinstance(scores, dict) or scores.get("accuracy") != table:
        raise DataError(f"{folder}/scores.json does not match its predictions.jsonl", hint=hint)
    return Results(folder, run, predictions, table)


def refuse_unlike(before: Results, after: Results) -> None:
    """Require that the two evaluations differ only in the adapter.

    Raises:
        ConfigError: Something else differs; names it.
    """
    if (adapter := before.run.get("adapter")) is not None:
        raise ConfigError(
            f"{before.folder} was made with the adapter {adapter}",
            hint="pass the evaluation of the base model as --before, and that of the tuned model as --after",
        )
    for name, what in (
        ("model_revision", "base model"),
        ("prompt_version", "version of the prompts"),
        ("split", "split"),
        ("dataset_revision", "version of the dataset"),
    ):
        _refuse_other(before, after, what, before.run.get(name), after.run.get(name))
    settings = [{**each.run.get("settings", {})} for each in (before, after)]
    for name in sorted({*settings[0], *settings[1]} - MODEL_SETTINGS):
        _refuse_other(before, after, f"setting {name}", settings[0].get(name), settings[1].get(name))
    data = [{row.condition: row.dataset_fingerprint for row in each.predictions} for each in (before, after)]
    for condition in sorted(data[0].keys() & data[1].keys()):
        _refuse_other(before, after, f"version of the dataset ({condition})", data[0][condition], data[1][condition])
    asked = [_asked(each.predictions) for each in (before, after)]
    for key in asked[0].keys() & asked[1].keys():
        if asked[0][key] != asked[1][key]:
            raise ConfigError(
                f"{before.folder} and {after.folder} have different prompts under {' · '.join(key)} "
                f"({len(asked[0][key])} and {len(asked[1][key])})",
                hint="finish both evaluations, with the same --limit and release",
            )


def _refuse_other(before: Results, after: Results, what: str, first: Any, second: Any) -> None:
    if first != second:
        raise ConfigError(
            f"{before.folder} and {after.folder} differ in {what}: {first} and {second}",
            hint="evaluate both on the same dataset with the same settings and release",
        )


def _asked(predictions: Iterable[Prediction]) -> dict[Key, set[tuple[str, str]]]:
    """Cell → (key, hash) of its prompts."""
    asked: dict[Key, set[tuple[str, str]]] = {}
    for row in predictions:
        asked.setdefault((row.protocol, row.condition, row.question), set()).add((row.key, row.prompt_sha256))
    return asked


def cells(before: Results, after: Results) -> list[Cell]:
    """All cells of either evaluation, in the paper's order."""
    return _cells(before.accuracy, after.accuracy, _changes(before.predictions, after.predictions))


def cells_by_seen(before: Results, after: Results, seen: frozenset[str]) -> dict[str, list[Cell]]:
    """`seen` and `unseen` → cells over the clips whose class in the modality asked about was tuned on or not."""
    groups: dict[str, list[Cell]] = {}
    for group in ("seen", "unseen"):
        sides = [
            [row for row in each.predictions if (asked_class(row) in seen) == (group == "seen")]
            for each in (before, after)
        ]
        groups[group] = _cells(accuracy(sides[0]), accuracy(sides[1]), _changes(sides[0], sides[1]))
    return groups


def _changes(before: Sequence[Prediction], after: Sequence[Prediction]) -> list[Row]:
    """Without cells for both questions together: the card has none, and p values are corrected over its rows."""
    sides = [clips_of(by_cell(side)) for side in (before, after)]
    return compare_runs(*({cell: clips for cell, clips in side.items() if cell[2] != "both"} for side in sides))


def _cells(before: Sequence[Row], after: Sequence[Row], changes: Sequence[Row]) -> list[Cell]:
    tables = [{_key(row): row for row in table} for table in (before, after, changes)]
    keys = sorted({*tables[0], *tables[1]}, key=lambda key: (key[0], CONDITIONS.index(key[1]), key[2] != "visual"))
    return [Cell(*key, *(table.get(key) for table in tables)) for key in keys]


def _key(row: Mapping[str, Any]) -> Key:
    return row["protocol"], row["condition"], row["question"]
