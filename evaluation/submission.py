"""A run as one JSON file, to hand it to somebody else's leaderboard.

The file has the answers, not only the scores, so that the leaderboard scores them itself. All else that it states is
checked: against its own answers (`read_submission`), and what was asked about which clip against the dataset or against
runs of the leaderboard's owner (`check_rows`). That a model really gave an answer cannot be checked.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

from pydantic import TypeAdapter, ValidationError

from mma_bench.errors import DataError
from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import asked, read_anew
from mma_bench.evaluation.prediction_values import problem_of
from mma_bench.evaluation.predictions import Prediction, to_entry
from mma_bench.evaluation.protocols import OptionOrder, Protocol, Sampling, prompts_of
from mma_bench.files import write_json
from mma_bench.schema import Question
from mma_bench.tables import read_json

SUFFIX: Final = ".submission.json"
FORMAT: Final = 1
_CHECKED: Final = TypeAdapter(Prediction)
_SUBSET: Final = {"digest": str, "count": int}
_HINT: Final = "write it anew with `mma-bench results RUN --submission FILE`"
# What a prediction says about the prompt and the clip, whichever model answered.
_ASKED: Final = (
    *("id", "base_id", "donor_id", "condition", "question", "protocol", "seed", "visual_class", "audio_class"),
    *("class_distance", "caption", "options", "expected", "other", "prompt_version", "prompt_sha256"),
)

Prompts: TypeAlias = Mapping[tuple[str, str], Prediction]  # fingerprint of a condition's data and key → what was asked


@dataclass(frozen=True)
class Submission:
    """A run that was handed in.

    Attributes:
        limit: At most this many base clips were asked about; None without a limit.
        subset: The base clips that were to be asked about; None for all.
        predictions: Sorted by key.
    """

    limit: int | None
    subset: Subset | None
    predictions: list[Prediction]


def write_submission(
    predictions: Sequence[Prediction], path: Path, limit: int | None = None, *, subset: Subset | None = None
) -> None:
    """Write the run's answers with what they were made on."""
    entries = [to_entry(row) for row in predictions]
    clips = {} if subset is None else {"clips": subset.facts()}
    write_json(path, {"format": FORMAT, "limit": limit, **clips, **_stated(predictions), "predictions": entries})


def read_submission(path: Path) -> Submission:
    """Read a submission and check it against itself.

    Raises:
        DataError: It is not a submission; or the model, prompt versions, fingerprints, counts or subset of clips that
            it states are not those of its answers; or an answer is not what its raw output says. Names the
            file and what differs.
    """
    content = read_json(path, missing=_HINT, broken=_HINT)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} is not a submission of format {FORMAT}", hint=_HINT)
    limit, entries = content.get("limit"), content.get("predictions")
    if not (limit is None or type(limit) is int) or not isinstance(entries, list):
        raise DataError(f"{path}: `limit` is not a number, or `predictions` is not a list", hint=_HINT)
    predictions = [_prediction(entry, f"{path}: entry {number}") for number, entry in enumerate(entries, start=1)]
    if not predictions:
        raise DataError(f"{path} contains no predictions", hint=_HINT)
    twice = [key for key, count in Counter(row.key for row in predictions).items() if count > 1]
    if twice:
        raise DataError(f"{path} answers a prompt twice: {twice[0]}", hint=_HINT)
    for name, value in _stated(predictions).items():
        if content.get(name) != value:
            raise DataError(f"{path}: `{name}` is not that of its predictions", hint=_HINT)
    return Submission(limit, _subset(content, predictions, path), sorted(predictions, key=lambda row: row.key))


def _subset(content: Mapping[str, Any], predictions: Sequence[Prediction], path: Path) -> Subset | None:
    """The subset that a submission states; of an unfinished one, only that it has no more clips can be checked."""
    if "clips" not in content:
        return None
    clips = content["clips"]
    if not isinstance(clips, dict) or {name: type(value) for name, value in clips.items()} != _SUBSET:
        raise DataError(f"{path}: `clips` is not a digest and a count", hint=_HINT)
    subset = Subset(**clips)
    found = Subset.of(row.base_id for row in predictions)
    if found.count > subset.count or (found.count == subset.count and found != subset):
        raise DataError(f"{path}: `clips` is not that of its predictions", hint=_HINT)
    return subset


def _prediction(entry: Any, where: str) -> Prediction:
    try:
        row = _CHECKED.validate_python(vars(Prediction(**entry)))
    except (TypeError, ValidationError):
        raise DataError(f"{where} of `predictions` is not a prediction", hint=_HINT) from None
    for name, known in (("condition", CONDITIONS), ("protocol", tuple(Protocol)), ("question", get_args(Question))):
        if getattr(row, name) not in known:
            raise DataError(f"{where} has the unknown {name} {getattr(row, name)!r}", hint=_HINT)
    if row.key != f"{row.id}/{row.question}.{row.protocol}.{row.seed}":
        raise DataError(f"{where} has the key {row.key!r}, which is not that of its id and prompt", hint=_HINT)
    scored = row.protocol == Protocol.LOGLIKELIHOOD
    if row.is_answered and scored != (row.logprobs is not None):
        raise DataError(f"{where}, {row.id}: `logprobs` are there under loglikelihood only", hint=_HINT)
    if row.logprobs is not None and (
        row.logprobs.keys() != set(row.options) or not all(map(math.isfinite, row.logprobs.values()))
    ):
        raise DataError(f"{where}, {row.id}: `logprobs` are not a finite number for each option", hint=_HINT)
    if (problem := problem_of(row)) is not None:
        raise DataError(f"{where}, {row.id}: {problem.said}", hint=_HINT)
    again = read_anew(row)
    if row.is_answered and (again.status, again.answer) != (row.status, row.answer):
        raise DataError(
            f"{where}, {row.id}: `answer` is {row.answer!r}, but its raw output says {again.answer!r}", hint=_HINT
        )
    if not row.is_answered and row.answer is not None:
        raise DataError(f"{where}, {row.id}: {row.status}, so there can be no `answer`", hint=_HINT)
    return row


def prompts_of_runs(runs: Iterable[Sequence[Prediction]]) -> Prompts:
    """What runs of one's own were asked."""
    return {(row.dataset_fingerprint, row.key): row for rows in runs for row in rows}


def prompts_of_dataset(benchmark: Benchmark, predictions: Sequence[Prediction]) -> Prompts:
    """All prompts that the dataset has for the submission's conditions, protocols and settings."""
    settings = predictions[0].settings
    protocols = [name for name in Protocol if any(row.protocol == name for row in predictions)]
    try:
        order = OptionOrder(settings.get("option_order", OptionOrder.SORTED))
        sampling = Sampling(float(settings["temperature"]), tuple(settings["seeds"]), order)
    except (KeyError, TypeError, ValueError):
        raise DataError("the settings have no temperature, seeds and order of the options", hint=_HINT) from None
    found = {}
    for condition in dict.fromkeys(row.condition for row in predictions):
        fingerprint = benchmark.fingerprint(condition)
        for row in benchmark.texts(condition):
            for prompt in prompts_of(row, protocols, sampling):
                each = asked(row, prompt, fingerprint)
                found[fingerprint, each.key] = each
    return found


def check_rows(path: Path, predictions: Sequence[Prediction], prompts: Prompts) -> bool:
    """Whether all rows are prompts that are known; False if some are not, so that they cannot be checked.

    Raises:
        DataError: A row says something else about its prompt or clip than is known; names the row and what differs.
    """
    known = True
    for row in predictions:
        wanted = prompts.get((row.dataset_fingerprint, row.key))
        if wanted is None:
            known = False
            continue
        for name in _ASKED:
            said, right = getattr(row, name), getattr(wanted, name)
            if said != right:
                raise DataError(
                    f"{path}: {row.id}, {row.key}: `{name}` is {_short(said)}, but it was {_short(right)}",
                    hint="the file was changed, or written by another release: remove it, or have it written anew",
                )
    return known


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _stated(predictions: Sequence[Prediction]) -> Mapping[str, Any]:
    """What the file states about its answers; they must be of one run."""
    return {
        "model": _one(
            json.dumps([row.model, row.model_revision, row.adapter, row.adapter_revision, row.settings], sort_keys=True)
            for row in predictions
        ),
        # the dataset words some protocols' prompts, the release the others
        "prompt_version": {
            protocol: _one(row.prompt_version for row in predictions if row.protocol == protocol)
            for protocol in sorted({row.protocol for row in predictions})
        },
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
