"""The base model's licence, as stated in its model card; never guessed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import ConfigError, MmaBenchError

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class BaseLicence:
    """The licence fields of a card's metadata.

    Attributes:
        fields: `license`, `license_name`, `license_link`: those that are stated; empty if none is.
        source: Where they were read, e.g. "the base model's card".
    """

    fields: dict[str, str]
    source: str

    @property
    def name(self) -> str | None:
        """The licence's name; a licence of type `other` has its own."""
        return self.fields.get("license_name") or self.fields.get("license")


def base_licence(checkpoint: str, revision: str, card: Path | None) -> BaseLicence:
    """Read the licence from the base model's `README.md`.

    Args:
        checkpoint: A folder or a hub id.
        revision: The commit on the hub; anything else for a folder.
        card: The base's card, if it is neither in the folder nor on the hub.

    Raises:
        ConfigError: `card` or the folder does not exist.
        MmaBenchError: The hub cannot be reached, or the card's metadata cannot be read.
    """
    if card is not None:
        if not card.is_file():
            raise ConfigError(f"{card} does not exist", hint="give the base model's README.md with --base-card")
        return _stated(card)
    folder = Path(checkpoint)
    if folder.is_dir():
        path = folder / "README.md"
        return _stated(path) if path.is_file() else BaseLicence({}, "the base model's folder, which has no card")
    if not _COMMIT.fullmatch(revision):
        raise ConfigError(
            f"cannot read the licence of the base model: the folder {checkpoint} does not exist",
            hint="give its README.md with --base-card",
        )
    return _of_hub(checkpoint, revision)


def _of_hub(checkpoint: str, revision: str) -> BaseLicence:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        return _stated(Path(hf_hub_download(checkpoint, "README.md", revision=revision)))
    except LocalEntryNotFoundError as error:  # an EntryNotFoundError too, but the hub was not reached
        raise _unreachable(checkpoint, error) from None
    except EntryNotFoundError:
        return BaseLicence({}, "the base model's repository, which has no card")
    except (HfHubHTTPError, OSError) as error:
        raise _unreachable(checkpoint, error) from None


def _unreachable(checkpoint: str, error: Exception) -> MmaBenchError:
    return MmaBenchError(
        f"cannot fetch the card of {checkpoint}, which states its licence: {str(error).strip().splitlines()[0]}",
        hint="check the network and `hf auth login`, or give the base's README.md with --base-card",
    )


def _stated(card: Path) -> BaseLicence:
    import yaml
    from huggingface_hub import ModelCard

    try:
        data: Any = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise MmaBenchError(f"{card}: the metadata cannot be read: {said}", hint="download the card again") from None
    found = {name: data.get(name) for name in ("license", "license_name", "license_link")}
    return BaseLicence({name: str(value) for name, value in found.items() if value}, "the base model's card")
