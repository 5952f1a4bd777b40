"""The paper's published results, measured on the paper's own clips. A report compares them with a run only if its
caller states that the run used those clips; otherwise they appear in a separate table.

`published_results.json` is copied from the tables and figures named in its `source`; values are percentages there and
fractions here. Only the paper's own question is compared: forced choice with a generated answer, abstention and chain
of thought. The paper has no log-likelihood scores. Its results on seen and unseen classes always have a table of their
own (`published_seen_rows`).
"""

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from mma_bench.schema import PAPERS_CONDITIONS

_TUNED: Final = " + modality-aware LoRA"
# Names used for the paper's models elsewhere, normalised by `_reduced`.
_ALIASES: Final = {
    "qwen3omni30ba3binstruct": "Qwen3-Omni-30B-Instruct",
    "videollama217bav": "VideoLLaMA2",
    "videollama27bav": "VideoLLaMA2",
}


def _load() -> Mapping[str, Any]:
    text = resources.files("mma_bench.evaluation").joinpath("published_results.json").read_text("utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


RESULTS: Final = _load()
SOURCE: Final[str] = RESULTS["source"]


def published_name(model: str, adapter: str | None, settings: Mapping[str, Any] | None = None) -> str | None:
    """The paper's name for a model, None if the paper did not evaluate it.

    Args:
        model: The engine's name for the model: `Qwen/Qwen2.5-Omni-7B`, `gemini-2.5-pro`. Case, punctuation and the
            owner before a slash do not matter.
        adapter: With an adapter, the paper's tuned version of this model is used, if there is one.
        settings: The engine's settings. A `checkpoint` or `model` in them takes precedence over the name: with other
            weights it is not the published model.
    """
    names = {_reduced(name): name for name in RESULTS["black_box"]} | _ALIASES
    weights = weights_of(settings or {}) or model
    name = names.get(_reduced(weights.rstrip("/").rsplit("/", 1)[-1]))
    if name is None or adapter is None:
        return name
    return name + _TUNED if name + _TUNED in RESULTS["black_box"] else None


def weights_of(settings: Mapping[str, Any]) -> str | None:
    """The weights named in an engine's settings, None if there are none."""
    named = settings.get("checkpoint") or settings.get("model")
    return None if named is None else str(named)


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


def published_rows() -> list[dict[str, Any]]:
    """The paper's forced-choice results by model: `model`, then condition → question → fraction or None."""
    return [
        {
            "model": name,
            **{
                str(condition): {
                    question: published_accuracy(name, "forced_choice", condition, question)
                    for question in ("visual", "audio")
                }
                for condition in PAPERS_CONDITIONS
            },
        }
        for name in RESULTS["black_box"]
    ]


def published_seen_rows() -> list[dict[str, Any]]:
    """Table 9 (appendix H): Qwen2.5-Omni-7B before and after tuning on 29 of 58 classes, forced choice.

    The paper does not say which 29 classes, so the groups of a run differ from its groups even on the same clips: show
    these rows as what they are, not as a comparison.

    Returns:
        Rows with `group` (seen, unseen), `condition`, `question`, `base` and `tuned`, as fractions.
    """
    table = RESULTS["cross_class_generalization_29_of_58"]
    return [
        {"group": group, "condition": condition, "question": question, "base": base / 100, "tuned": tuned / 100}
        for group in ("seen", "unseen")
        for condition, values in table[group].items()
        for question, (base, tuned) in values.items()
    ]


def _reduced(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
