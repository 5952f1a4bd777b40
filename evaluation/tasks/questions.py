"""The prompts and marks shared by all harnesses: forced choice (Figure 5), greedy.

The prompts are the dataset's own columns `visual_question` and `audio_question`; answers are parsed by
`mma_bench.evaluation.parse`, as in `mma-bench evaluate`.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import ConfigError
from mma_bench.evaluation.parse import parse
from mma_bench.evaluation.silence import Silence
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.models.random_text import random_text
from mma_bench.schema import Modality

DATASET_VARIABLE: Final = "MMA_BENCH_DATASET"
SILENCE_VARIABLE: Final = "MMA_BENCH_SILENCE"
MAX_NEW_TOKENS: Final = 32  # as in `mma-bench evaluate`

# A harness does not expose the model's tokenizer to its tasks, so the 10,000 random tokens of section 4.1.4 can only be
# approximated, by this many seeded random words. They are 10,000 tokens (within 1 %) in OpenAI's cl100k_base, from
# which Qwen's vocabulary descends, and 9,200 in o200k_base. `mma-bench evaluate` counts exactly.
CONTEXT_WORDS: Final = 4_300


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


def silence_named() -> Silence:
    """What becomes of the silent track of `audio_removed`, from the environment; `keep` if unset.

    Raises:
        ConfigError: The variable is neither keep nor drop.
    """
    named = os.environ.get(SILENCE_VARIABLE, Silence.KEEP)
    try:
        return Silence(named)
    except ValueError:
        raise ConfigError(f"{SILENCE_VARIABLE} is {named!r}", hint="set it to keep or drop") from None


def text_of(row: Mapping[str, Any], question: Modality) -> str:
    """The prompt text, which follows the video; under `long_context`, with random words appended."""
    text = str(row[f"{question}_question"])
    return text if row["context_seed"] is None else text + _context(row["context_seed"])


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


@lru_cache(maxsize=4)  # both questions about a clip share the text; it is 25 kB
def _context(seed: int) -> str:
    text, _ = random_text(CONTEXT_WORDS, seed, lambda words: len(words.split()))
    return text
