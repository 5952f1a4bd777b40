"""A run as one JSON file, to hand it to somebody else's leaderboard.

The file has the answers, not only the scores, so that the leaderboard scores them itself; it also states what they
were made on, which is checked against them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from mma_bench.errors import DataError
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.predictions import Prediction, to_entry
from mma_bench.files import write_json
from mma_bench.tables import read_json

SUFFIX: Final = ".submission.json"
FORMAT: Final = 1
_CHECKED: Final = TypeAdapter(Prediction)
_HINT: Final = "write it anew with `mma-bench results RUN --submission FILE`"


def write_submission(predictions: Sequence[Prediction], path: Path) -> None:
    """Write the run's answers with what they were made on."""
    write_json(path, {"format": FORMAT, **_stated(predictions), "predictions": [to_entry(row) for row in predictions]})


def read_submission(path: Path) -> list[Prediction]:
    """The answers of a submission, by key.

    Raises:
        DataError: It is not a submission, or the model, prompt version, fingerprints or counts that it states are not
            those of its answers; names the file and what differs.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} is not a submission of format {FORMAT}", hint=_HINT)
    predictions = []
    for number, entry in enumerate(content.get("predictions", []), start=1):
        try:
            row = _CHECKED.validate_python(vars(Prediction(**entry)))
        except (TypeError, ValidationError):
            raise DataError(f"{path}: entry {number} of `predictions` is not a prediction", hint=_HINT) from None
        if row.condition not in CONDITIONS:
            raise DataError(f"{path}: entry {number} has the unknown condition {row.condition!r}", hint=_HINT)
        predictions.append(row)
    if not predictions:
        raise DataError(f"{path} contains no predictions", hint=_HINT)
    if len({row.key for row in predictions}) < len(predictions):
        raise DataError(f"{path} answers a prompt twice", hint=_HINT)
    for name, value in _stated(predictions).items():
        if content.get(name) != value:
            raise DataError(f"{path}: `{name}` is not that of its predictions", hint=_HINT)
    return sorted(predictions, key=lambda row: row.key)


def _stated(predictions: Sequence[Prediction]) -> Mapping[str, Any]:
    """What the file states about its answers; they must be of one run."""
    return {
        "model": _one(f"{row.model} {row.model_revision} {row.adapter} {row.adapter_revision}" for row in predictions),
        "prompt_version": _one(row.prompt_version for row in predictions),
        "data": {
            condition: _one(row.dataset_fingerprint for row in predictions if row.condition == condition)
            for condition in CONDITIONS
            if any(row.condition == condition for row in predictions)
        },
        "counts": dict(
            sorted(Counter(f"{row.protocol} {row.condition} {row.question}" for row in predictions).items())
        ),
    }


def _one(values: Iterable[str]) -> str:
    found = sorted(set(values))
    if len(found) > 1:
        raise DataError(
            f"the answers are of several runs: {', '.join(found)}", hint="use a separate folder for each run"
        )
    return found[0]
