"""The files of a run's folder besides its predictions: run.json and scores.json, checked when they are read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.cells import TIME, asked_class, is_right
from mma_bench.evaluation.predictions import Prediction
from mma_bench.tables import read_json

RUN: Final = "run.json"
SCORES: Final = "scores.json"

_MISSING: Final = "name the folder of a run, or make one: `mma-bench evaluate --model MODEL --out RUN`"
_BROKEN: Final = "delete it and run the same `mma-bench evaluate` again, which keeps the answers"
_FACTS: Final[Mapping[str, tuple[type, ...]]] = {
    "model": (str,),
    "adapter": (str, type(None)),
    "settings": (dict,),
    "split": (str,),
}
_OPTIONAL: Final[Mapping[str, tuple[type, ...]]] = {
    "data": (dict,),
    "judge": (list,),
    "limit": (int,),
    "clips": (dict,),
}
_SUBSET: Final = {"digest": str, "count": int}
_TABLES: Final = ("headline", "failed", "run", "accuracy", "drop", "capture", "by_class", "by_distance")

_Counts: TypeAlias = dict[tuple[Any, ...], tuple[int, ...]]  # cell, or cell and class → numbers of prompts


def read_facts(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json.

    Raises:
        DataError: The file is missing, is not JSON, or is not that of a run; names the key.
    """
    return read_object(folder / RUN, _FACTS)


def read_object(path: Path, required: Mapping[str, tuple[type, ...]] | None = None) -> dict[str, Any]:
    """As `read_facts`, of any file like run.json; with the types of the keys that it must have."""
    content = read_json(path, missing=_MISSING, broken=_BROKEN)
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a JSON object", hint=_BROKEN)
    for key, types in {**(required or {}), **_OPTIONAL}.items():
        if key not in content:
            if required is not None and key in required:
                raise DataError(f"{path} has no `{key}`: it is not of a run", hint=_BROKEN)
            continue
        value = content[key]
        fits = type(value) in types
        if key == "clips" and fits:
            fits = {name: type(each) for name, each in value.items()} == _SUBSET
        if not fits:
            raise DataError(f"{path}: `{key}` is {value!r}", hint=_BROKEN)
    return content


def read_scores(folder: Path, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """The content of a run's scores.json.

    Args:
        folder: The run's.
        predictions: The run's, as they are now.

    Raises:
        DataError: The file is missing, is not JSON, or was written by an older version.
        ConfigError: The scores are not of these predictions: the model, or a number of prompts or of right answers
            about a class, is another.
    """
    path = folder / SCORES
    hint = f"run `mma-bench score {folder}`"
    scores = read_json(path, missing=hint, broken=hint)
    if not isinstance(scores, dict) or any(table not in scores for table in _TABLES):
        raise DataError(f"{path} was written by an older version", hint=hint)
    try:
        stated = _of_rows(scores["accuracy"], ()), _of_rows(scores["by_class"], ("group",))
        model = all(value == getattr(predictions[0], name) for name, value in scores["run"].items())
    except (AttributeError, KeyError, TypeError):
        raise DataError(f"{path} is not what `mma-bench score` writes", hint=hint) from None
    if not model or stated != (_of_predictions(predictions), _of_predictions(predictions, by_class=True)):
        raise ConfigError(
            f"{path} is not of {folder / 'predictions.jsonl'} as it is now, but of an earlier state or another run",
            hint=hint,
        )
    return scores


def _of_rows(rows: Iterable[Mapping[str, Any]], more: tuple[str, ...]) -> _Counts:
    return {
        tuple(row[name] for name in ("protocol", "condition", "question", *more)): (
            *(row[name] for name in ("prompts", "failed", "unparseable", "n")),
            round((row["mean"] or 0) * row["n"]),
        )
        for row in rows
    }


def _of_predictions(predictions: Iterable[Prediction], *, by_class: bool = False) -> _Counts:
    counts: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 5)
    for row in predictions:
        if by_class and row.question == TIME:
            continue
        cell = (row.protocol, row.condition, row.question, *((asked_class(row),) if by_class else ()))
        seen = (True, row.status == "failed", row.status == "unparseable", row.is_answered)
        for place, holds in enumerate((*seen, row.is_answered and is_right(row))):
            counts[cell][place] += holds
    return {cell: tuple(numbers) for cell, numbers in counts.items()}
