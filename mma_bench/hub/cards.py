"""Checks a card before upload with the Hub library's loader and the Hub's validator."""

from pathlib import Path
from typing import Any, Literal

import yaml

from mma_bench.errors import DataError
from mma_bench.hub.client import Hub


def refuse_bad_card(hub: Hub, card: Path, kind: Literal["dataset", "model"]) -> None:
    """Check that loader and validator accept the card's metadata.

    Raises:
        DataError: One of them rejects it; gives the reason.
    """
    from huggingface_hub import DatasetCard, ModelCard

    loader = DatasetCard if kind == "dataset" else ModelCard
    try:
        loaded = loader(card.read_text(encoding="utf-8"), ignore_metadata_errors=False)
        hub.ask("validate the card", loaded.validate)
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{card}: the Hub rejects the metadata: {said}", hint="correct the fields it names") from None


def card_head(card: str) -> dict[str, Any]:
    """The YAML at the card's top; empty if there is none."""
    parts = card.split("---\n", 2)
    try:
        head = yaml.safe_load(parts[1])
    except (IndexError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return head if isinstance(head, dict) else {}
