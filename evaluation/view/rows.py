"""What the browser lists: the dataset's clips under each condition, with the answers of runs.

In: a dataset and any number of runs made on it. Out: plain records, small enough to be searched in a browser; prompts,
raw answers and media are fetched for the clip that is looked at (`site.py`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from mma_bench.errors import ConfigError
from mma_bench.evaluation.cells import is_right
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.formats import model_name
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.run_folder import read_facts

Record: TypeAlias = dict[str, Any]

RIGHT: Final = "right"
OTHER_MODALITY: Final = "other modality"
CAPTION: Final = "caption"
OTHER_CLASS: Final = "other class"

_COLUMNS: Final = (
    "id",
    "base_id",
    "donor_id",
    "condition",
    "visual_class",
    "audio_class",
    "caption",
    "video_sha256",
    "audio_sha256",
)


@dataclass(frozen=True)
class Run:
    """The answers of one run.

    Attributes:
        folder: Where it is.
        name: The model's, with its adapter.
        answers: By the clip's id, in the order of their keys.
        fingerprints: Of the data, by condition.
    """

    folder: Path
    name: str
    answers: Mapping[str, Sequence[Prediction]]
    fingerprints: Mapping[str, str]


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        DataError: A file is missing or broken; names it.
    """
    run = read_facts(folder)
    answers: dict[str, list[Prediction]] = defaultdict(list)
    fingerprints = {}
    for row in read_predictions(folder / "predictions.jsonl"):
        answers[row.id].append(row)
        fingerprints[row.condition] = row.dataset_fingerprint
    return Run(folder, model_name(run), answers, fingerprints)


def kind_of(row: Prediction) -> str:
    """What the answer is: right; what the other modality shows; what the caption says; another class; or the status
    of a prompt without a class as its answer.
    """
    if row.status != "ok":
        return row.status
    if is_right(row):
        return RIGHT
    if row.answer == row.other:
        return OTHER_MODALITY
    return CAPTION if row.caption is not None and row.answer == row.caption else OTHER_CLASS


def listed_conditions(benchmark: Benchmark, runs: Sequence[Run]) -> list[str]:
    """The dataset's conditions, and the variants that a run was asked about, in the paper's order.

    Raises:
        ConfigError: A run was made on other data; names the run and the condition.
    """
    asked = {condition for run in runs for condition in run.fingerprints}
    found = [each for each in CONDITIONS if each in {*benchmark.conditions(), *asked}]
    for condition in found:
        theirs = [run for run in runs if condition in run.fingerprints]
        ours = benchmark.fingerprint(condition) if theirs else ""
        for run in theirs:
            if run.fingerprints[condition] != ours:
                raise ConfigError(
                    f"{run.folder} was not made on {benchmark.name}: condition {condition} differs",
                    hint="pass the dataset of the runs with --dataset, and their split with --split",
                )
    return found


def clips(benchmark: Benchmark, condition: str, runs: Sequence[Run]) -> Iterator[Record]:
    """One record per clip of a condition, ordered by id.

    Yields:
        The dataset's columns without those that are null, `media` (the name of its file, shared by conditions that
        leave the clip as it is) and, if there are runs, `answers`: for each run a list of
        `[protocol, question, seed, kind, answer]`.
    """
    for row in benchmark.rows(condition, columns=_COLUMNS):
        record = {name: row[name] for name in _COLUMNS if row[name] is not None and not name.endswith("sha256")}
        record["media"] = media_name(row)
        if runs:
            record["answers"] = [
                [[each.protocol, each.question, each.seed, kind_of(each), each.answer] for each in own]
                for own in (run.answers.get(row["id"], ()) for run in runs)
            ]
        yield record


def media_name(row: Mapping[str, Any]) -> str:
    """The name of the file with a row's clip: rows with the same packets have the same file."""
    packets = f"{row['video_sha256']} {row['audio_sha256']}"  # hashed again: a dataset may declare anything
    return hashlib.sha256(packets.encode()).hexdigest()[:32] + ".mp4"
