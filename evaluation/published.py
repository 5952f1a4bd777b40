"""The paper's published results, so that a measured number stands beside the one it should be compared with.

`published_results.json` is copied from the tables and figures that its `source` names; values are percent there and
fractions here. Only the paper's own question is compared: forced choice with a generated answer, abstention and chain
of thought. The paper has no log-likelihood scores.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

_TUNED: Final = " + modality-aware LoRA"
# Names under which a model is published elsewhere than in the paper, reduced as by `_reduced`.
_ALIASES: Final = {
    "qwen3omni30ba3binstruct": "Qwen3-Omni-30B-Instruct",
    "videollama217bav": "VideoLLaMA2",
    "videollama27bav": "VideoLLaMA2",
}


@dataclass(frozen=True)
class Spread:
    """The paper's lowest and highest accuracy over its untuned models, as fractions."""

    low: float
    high: float
    models: int


def _load() -> Mapping[str, Any]:
    text = resources.files("mma_bench.evaluation").joinpath("published_results.json").read_text("utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


RESULTS: Final = _load()
SOURCE: Final[str] = RESULTS["source"]


def published_name(model: str, adapter: str | None) -> str | None:
    """The paper's name of a model, None if the paper did not measure it.

    Args:
        model: As the engine calls it: `Qwen/Qwen2.5-Omni-7B`, `gemini-2.5-pro`. Case, punctuation and the owner before
            a slash do not matter.
        adapter: With one, the paper's tuned model is the one to compare with, if it tuned this model.
    """
    names = {_reduced(name): name for name in RESULTS["black_box"]} | _ALIASES
    name = names.get(_reduced(model.rstrip("/").rsplit("/", 1)[-1]))
    if name is None or adapter is None:
        return name
    return name + _TUNED if name + _TUNED in RESULTS["black_box"] else None


def published_accuracy(name: str, protocol: str, condition: str, question: str) -> float | None:
    """The paper's accuracy of one of its models, None if it reports none."""
    value: float | None = None
    if protocol == "forced_choice":
        value = RESULTS["black_box"].get(name, {}).get(question, {}).get(condition)
    elif protocol == "chain_of_thought":
        value = RESULTS["chain_of_thought"].get(name, {}).get(question, {}).get(condition)
    elif protocol == "abstention":
        value = RESULTS["abstention_none_of_the_above"].get(name, {}).get(f"{question}_{condition}")
    return None if value is None else value / 100


def published_spread(protocol: str, condition: str, question: str) -> Spread | None:
    """The range over the paper's untuned models, None where it reports none."""
    untuned = [name for name in RESULTS["black_box"] if not name.endswith(_TUNED)]
    values = [published_accuracy(name, protocol, condition, question) for name in untuned]
    known = [value for value in values if value is not None]
    return Spread(min(known), max(known), len(known)) if known else None


def _reduced(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
