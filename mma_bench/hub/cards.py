"""The card that is about to be sent, read by the Hub library's own loader and put before the Hub's own validator."""

from pathlib import Path
from typing import Any, Literal

import yaml

from mma_bench.errors import DataError
from mma_bench.hub.client import Hub


def refuse_bad_card(hub: Hub, card: Path, kind: Literal["dataset", "model"]) -> None:
    """Do nothing if loader and validator take the card's metadata.

    Raises:
        DataError: One of them refuses them; says why.
    """
    from huggingface_hub import DatasetCard, ModelCard

    loader = DatasetCard if kind == "dataset" else ModelCard
    try:
        loaded = loader(card.read_text(encoding="utf-8"), ignore_metadata_errors=False)
        hub.ask("validate the card", loaded.validate)
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{card}: the Hub refuses the metadata: {said}", hint="correct what it names") from None


def card_head(card: str) -> dict[str, Any]:
    """The YAML at the card's top; empty if there is none."""
    parts = card.split("---\n", 2)
    try:
        head = yaml.safe_load(parts[1])
    except (IndexError, yaml.YAMLError):
        return {}
    return head if isinstance(head, dict) else {}
