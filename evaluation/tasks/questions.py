"""The prompts and marks shared by all harnesses: forced choice (Figure 5), greedy.

The prompts are the dataset's own columns (`evaluation.conditions.question_of`); answers are parsed by
`mma_bench.evaluation.parse`, as in `mma-bench evaluate`.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import ConfigError
from mma_bench.evaluation.conditions import question_of
from mma_bench.evaluation.parse import parse
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.files import file_sha256, fingerprint
from mma_bench.schema import Modality

DATASET_VARIABLE: Final = "MMA_BENCH_DATASET"
MAX_NEW_TOKENS: Final = 32  # as in `mma-bench evaluate`


def dataset_name() -> str:
    """The dataset named by the environment variable; a folder as an absolute path.

    Raises:
        ConfigError: The folder does not exist, and the name is not a Hub ID.
    """
    name = os.environ.get(DATASET_VARIABLE, "mma-bench")
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ConfigError(
            f"{name!r} is not a directory in {Path.cwd()}",
            hint=f"set {DATASET_VARIABLE} to the absolute path of the dataset's folder, or to ORG/NAME on the Hub",
        )
    return name


@cache
def dataset_content(name: str) -> str:
    """What identifies the dataset's content: a hash of a folder's shards (`sha256:…`), or the commit on the Hub.

    Args:
        name: As `dataset_name` gives it.

    Raises:
        ConfigError: The dataset is neither on the Hub nor in its cache.
    """
    folder = Path(name)
    if folder.is_dir():
        shards = sorted(folder.glob("data/*/*.parquet"))
        return "sha256:" + fingerprint([[shard.relative_to(folder).as_posix(), file_sha256(shard)] for shard in shards])
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=["README.md"])).name
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ConfigError(
            f"{name} is not available on the Hub: {error}", hint="check the name and the network"
        ) from None


def text_of(row: Mapping[str, Any], question: Modality) -> str:
    """The prompt text, which follows the video."""
    return question_of(row, question)


def target_of(row: Mapping[str, Any], question: Modality) -> str:
    """The right class."""
    return str(row[f"{question}_answer"])


def answer_of(text: str, row: Mapping[str, Any]) -> str | None:
    """The class that an answer names, or None if it names none or several."""
    return parse(text, row["options"], SYNONYMS)


def marks(text: str, row: Mapping[str, Any], question: Modality) -> dict[str, float]:
    """Marks of one answer, 0.0 or 1.0, to be averaged by name over all answers with that mark.

    `<question>_accuracy` counts an unparseable answer as wrong; `<question>_unparseable` is the share of these.
    """
    answer = answer_of(text, row)
    right = float(answer == target_of(row, question))
    return {f"{question}_accuracy": right, f"{question}_unparseable": float(answer is None)}
