"""Predictions: JSON lines, one per prompt, append-only and fsynced; self-contained for scoring."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from mma_bench.errors import DataError
from mma_bench.evaluation.prediction_values import problem_of
from mma_bench.settings import problems

Status: TypeAlias = Literal["ok", "unparseable", "failed", "unsupported", "refused"]


@dataclass(frozen=True)
class Prediction:
    """One answer with everything needed to identify and score it.

    Attributes:
        key: `<row id>/<question>.<protocol>.<seed>`: unique in a run.
        options: The options in the order in which the prompt listed them.
        expected: The correct answer under the protocol (with abstention, "None of the above" for a removed modality).
        other: The class of the OTHER modality, None if it is the same or the modality is removed.
        answer: The parsed class, None unless `status` is ok.
        raw: The model's raw output; None for scored options and failures.
        logprobs: Log-likelihood by option, summed over its tokens; None for generated answers.
        status: With an answer, ok or unparseable; without one, failed, unsupported (the model cannot take the prompt)
            or refused (the model or its server refuses to answer).
        error: Why there is no answer; None if there is one.
        prompt_version: Version of the prompt text: the dataset's if it provides the text, else this release's.
        settings: Generation and engine settings.
        option_tokens: Number of tokens by option; None for generated answers, or if the engine does not report them.
        prior_logprobs: As `logprobs`, after the same prompt without the clip; None as above.
        manipulation: What was done to the clip in a condition with steps; None elsewhere.
        level: How much of it, in its unit (`schema.Manipulation`); None if it has none.
    """

    key: str
    id: str
    base_id: str
    donor_id: str | None
    condition: str
    question: str
    protocol: str
    seed: int
    visual_class: str
    audio_class: str
    class_distance: int | None
    caption: str | None
    options: list[str]
    expected: str
    other: str | None
    status: Status
    answer: str | None
    raw: str | None
    logprobs: dict[str, float] | None
    error: str | None
    usage: dict[str, Any]
    prompt_version: str
    prompt_sha256: str
    model: str
    model_revision: str
    adapter: str | None
    adapter_revision: str | None
    settings: dict[str, Any]
    dataset: str
    dataset_fingerprint: str
    option_tokens: dict[str, int] | None = None
    prior_logprobs: dict[str, float] | None = None
    manipulation: str | None = None
    level: float | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, right, wrong or unparseable."""
        return self.status in ("ok", "unparseable")


def option_order(prediction: Prediction) -> str:
    """The order in which the run's prompts listed the options; older runs had only one."""
    return str(prediction.settings.get("option_order", "sorted"))


_CHECKED: Final = TypeAdapter(Prediction)
_OF_STEPS: Final = ("manipulation", "level")


def to_entry(prediction: Prediction) -> dict[str, Any]:
    """The prediction as a ledger entry; the keys of steps are there only where there is a step."""
    return {key: value for key, value in asdict(prediction).items() if key not in _OF_STEPS or value is not None}


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions.jsonl; the last attempt at a prompt counts.

    Raises:
        DataError: The file is missing, has an invalid line (named) or a value that cannot be scored (named with its
            line), or mixes predictions of two runs.
    """
    latest: dict[str, Prediction] = {}
    for number, entry in _entries(path):
        try:
            prediction = _CHECKED.validate_python(vars(Prediction(**entry)))
        except (TypeError, ValidationError) as error:
            said = problems(error)[0] if isinstance(error, ValidationError) else _ill_formed(entry)
            raise DataError(f"{path}, line {number}: not a prediction ({said})", hint="run `mma-bench infer`") from None
        if (problem := problem_of(prediction)) is not None:
            raise DataError(f"{path}, line {number}: {problem.said}", hint=problem.hint)
        latest[prediction.key] = prediction
    if not latest and path.stat().st_size:
        raise DataError(
            f"{path} contains no complete line: its only one ends without a newline, as after a kill",
            hint="start the run again: the same `mma-bench infer` or `mma-bench evaluate`; in a file of your own, "
            "end each line with a newline",
        )
    if not latest:
        raise DataError(
            f"{path} contains no predictions: its run has not answered anything yet",
            hint="start it again: `mma-bench evaluate` or `mma-bench infer` with the same options and --out",
        )
    _one_run(path, latest.values())
    return [latest[key] for key in sorted(latest)]


def _ill_formed(entry: Any) -> str:
    """Why a line's value has not the keys of a prediction."""
    if not isinstance(entry, dict):
        return "it is no JSON object"
    known = {field.name: field.default for field in fields(Prediction)}
    if unknown := [key for key in entry if key not in known]:
        return f"the key {unknown[0]!r} is unknown"
    return f"the key {next(key for key in known if known[key] is MISSING and key not in entry)!r} is missing"


def has_predictions(path: Path) -> bool:
    """Whether there is a line; a run that was stopped before its first answer, or has just begun, leaves none."""
    return next(_entries(path), None) is not None


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="run `mma-bench infer` first")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return  # truncated by a kill; the next run of `infer` redoes it
            try:
                yield number, json.loads(line)
            except ValueError:
                raise DataError(
                    f"{path}, line {number}: not JSON", hint="delete the line and run `infer` again"
                ) from None


def _one_run(path: Path, predictions: Iterable[Prediction]) -> None:
    runs = {(p.model, p.model_revision, p.adapter, p.adapter_revision) for p in predictions}
    if len(runs) > 1:
        raise DataError(
            f"{path} mixes {len(runs)} models: {sorted(map(str, runs))}", hint="use a separate folder for each run"
        )
