"""The Hub metadata of an adapter's card: base, licence and `model-index`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from mma_bench.training.base_licence import BaseLicence
from mma_bench.training.before_after import Results

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_TAGS: Final = ("lora", "mma-bench", "multimodal", "audio-visual", "modality-conflict", "arxiv:2511.22826")


@dataclass(frozen=True)
class AdapterFacts:
    """The inputs of a card.

    Attributes:
        run: The training run's `run.json`.
        adapter: Hash of the adapter's files, as `evaluate` records it.
        base_name: The base on the Hub; None if only a folder is known.
        base: Display name of the base: its name on the Hub, or the folder's.
        licence: Of the base.
        before: The evaluation of the base.
        after: The evaluation of the tuned model.
        seen: The classes that it was tuned on; None if the run does not record them.
    """

    run: Mapping[str, Any]
    adapter: str
    base_name: str | None
    base: str
    licence: BaseLicence
    before: Results
    after: Results
    seen: frozenset[str] | None


def title(facts: AdapterFacts) -> str:
    """The model's name in the card and in `model-index`."""
    return f"{PurePosixPath(facts.base).name} + LoRA on {' and '.join(facts.run['config']['conditions'])} clips"


def card_data(facts: AdapterFacts) -> "ModelCardData":
    """The metadata; `model-index` has the tuned model's accuracies as fractions."""
    from huggingface_hub import ModelCardData

    data = facts.run["data"]
    return ModelCardData(
        model_name=title(facts),
        base_model=facts.base_name,
        base_model_relation="adapter",
        library_name="peft",
        language="en",
        license=facts.licence.fields.get("license", "unknown"),
        license_name=facts.licence.fields.get("license_name"),
        license_link=facts.licence.fields.get("license_link"),
        datasets=None if data["revision"] is None else [data["dataset"]],
        tags=list(_TAGS),
        metrics=["accuracy"],
        eval_results=eval_results(facts.after),
    )


def eval_results(after: Results) -> list["EvalResult"]:
    """One per protocol, condition and question with a score, with its interval."""
    from huggingface_hub import EvalResult

    dataset, revision = after.run["dataset"], after.run["dataset_revision"]
    fingerprints = {row.condition: row.dataset_fingerprint for row in after.predictions}
    return [
        EvalResult(
            task_type="video-text-to-text",
            task_name="Questions about one modality",
            dataset_type="mma-bench" if revision is None else dataset,
            dataset_name=f"MMA-Bench, {row['condition']}",
            dataset_config=row["condition"],
            dataset_split=after.run["split"],
            dataset_revision=revision,
            dataset_args={"sha256": fingerprints[row["condition"]]},
            metric_type="accuracy",
            metric_name=f"Accuracy, {row['question']} question, {row['protocol']}",
            metric_value=row["mean"],
            metric_args={name: row[name] for name in ("protocol", "question", "low", "high", "n", "clusters")},
        )
        for row in after.accuracy
        if row["mean"] is not None
    ]


def is_hub_id(name: str) -> bool:
    """Whether it has the form ORG/NAME."""
    return _HUB_ID.fullmatch(name) is not None


def short_name(name: str, revision: str | None = None) -> str:
    """A name on the Hub unchanged; for a folder its last part, since readers of the card do not have the folder.

    Args:
        name: ORG/NAME or a folder.
        revision: Of a dataset on the Hub; a folder has none.
    """
    return name if revision is not None else PureWindowsPath(name).name or name
