"""The checkpoints that the local engine loads, by the `model_type` in their own config.json.

Imports nothing of the extra `local`, so that a model can be named before its packages are installed.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

from mma_bench.errors import ConfigError, MmaBenchError


class Family(NamedTuple):
    """An architecture: its name for people, and the names of its classes in transformers."""

    title: str
    thinker: str
    processor: str


FAMILIES: Final = {
    "qwen2_5_omni": Family("Qwen2.5-Omni", "Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniProcessor"),
    "qwen3_omni_moe": Family("Qwen3-Omni", "Qwen3OmniMoeThinkerForConditionalGeneration", "Qwen3OmniMoeProcessor"),
}
CONFIG: Final = "config.json"
_THINKER: Final = "_thinker"  # ends the type of a thinker that was saved alone


def family_of(config: Path, name: object) -> Family:
    """The family of a checkpoint.

    Args:
        config: Its config.json.
        name: The checkpoint's name in messages.

    Raises:
        ConfigError: The file is not a model's config, or the engine does not know the architecture.
    """
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: {CONFIG} is not JSON: {error}", hint="download it again") from None
    model_type = content.get("model_type") if isinstance(content, dict) else None
    family = FAMILIES.get(model_type.removesuffix(_THINKER)) if isinstance(model_type, str) else None
    if family is None:
        known = ", ".join(f"{kind} ({family.title})" for kind, family in FAMILIES.items())
        raise ConfigError(
            f"{name}: {CONFIG} has the model_type {model_type!r}, which the local engine does not know",
            hint=f"it knows {known}; use the openai or process engine for other models",
        )
    return family


def find_config(name: str, revision: str | None) -> Path:
    """The config.json of a checkpoint; of one on the Hub, only this file is downloaded.

    Args:
        name: A folder or a Hub ID.
        revision: Branch, tag or commit on the Hub; None uses the default branch.

    Raises:
        ConfigError: There is no such folder or repository, or it holds no model.
    """
    folder = Path(name)
    if folder.is_dir():
        if (folder / CONFIG).is_file():
            return folder / CONFIG
        if (folder / "adapter_config.json").is_file():
            raise ConfigError(
                f"{name} is a LoRA adapter, not a model", hint="name its base model, and this folder with --adapter"
            )
        raise ConfigError(f"{name} has no {CONFIG}", hint="name the folder that a model was saved to")
    if folder.is_file():
        raise ConfigError(f"{name} is a file, not a checkpoint", hint="name its folder, or a model's YAML file")
    return _fetched(name, revision)


def _fetched(name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(hf_hub_download(name, CONFIG, revision=revision))
    except HFValidationError:
        raise ConfigError(f"{name!r} is neither a directory nor a Hub ID", hint="correct the name") from None
    except LocalEntryNotFoundError as error:
        raise _unavailable(name, error) from None
    except EntryNotFoundError:
        raise ConfigError(f"{name} has no {CONFIG} on the Hub", hint="name a repository that holds a model") from None
    except HfHubHTTPError as error:
        raise _unavailable(name, error) from None


def _unavailable(name: str, error: Exception) -> MmaBenchError:
    return MmaBenchError(
        f"{name} is not a directory here, and not available on the Hub: {str(error).strip().splitlines()[0]}",
        hint="check the path or the name, the network and `hf auth login`",
    )
