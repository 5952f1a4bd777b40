"""The card that is about to be sent, read by the Hub library's own loader and put before the Hub's own validator."""

from pathlib import Path
from typing import Literal

from mma_bench.builders.publish.hub import Hub
from mma_bench.errors import DataError


def refuse_bad_card(hub: Hub, card: Path, kind: Literal["dataset", "model"]) -> None:
    """Do nothing if loader and validator take the card's metadata.

    Raises:
        DataError: One of them refuses them; says why.
    """
    import yaml
    from huggingface_hub import DatasetCard, ModelCard

    loader = DatasetCard if kind == "dataset" else ModelCard
    try:
        loaded = loader(card.read_text(encoding="utf-8"), ignore_metadata_errors=False)
        hub.ask("validate the card", loaded.validate)
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{card}: the Hub refuses the metadata: {said}", mend="correct what it names") from None
