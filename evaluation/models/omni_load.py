"""Loads a Qwen-Omni thinker, its processor and a LoRA adapter, and refuses what would load with silent gaps.

A checkpoint is a folder or a hub id; either way it has a revision that names its bytes: the commit, or a hash over the
files. Thinkers saved alone and whole published checkpoints load alike; of the latter only the thinker is kept.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from mma_bench.errors import MmaBenchError
from mma_bench.files import file_sha256, fingerprint

_CLASSES: Final = {
    "qwen2_5_omni": ("Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniProcessor"),
    "qwen3_omni_moe": ("Qwen3OmniMoeThinkerForConditionalGeneration", "Qwen3OmniMoeProcessor"),
}
_FILES: Final = ("*.json", "*.safetensors", "*.jinja", "*.txt")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Located:
    """A checkpoint or adapter on disk, and the commit or the hash (`sha256:…`) that names its bytes."""

    folder: Path
    revision: str


def locate(name: str, revision: str | None, must_have: str) -> Located:
    """Find a folder, or fetch a hub repository's weights and settings into the hub's cache.

    Args:
        name: A folder or a hub id.
        revision: Branch, tag or commit on the hub; None takes the default branch.
        must_have: A file without which this is nothing of the kind, e.g. `config.json`.

    Raises:
        MmaBenchError: No such folder or repository, no access, or the file is missing.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _fetched(name, revision)
    if not (folder / must_have).is_file():
        raise MmaBenchError(f"{name} has no {must_have}", mend="name the folder or hub id that holds it")
    # A folder of the hub's cache is called after its commit.
    if _COMMIT.fullmatch(folder.name) and folder.parent.name == "snapshots":
        return Located(folder, folder.name)
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    return Located(folder, "sha256:" + fingerprint([[path.name, file_sha256(path)] for path in files]))


def _fetched(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(_FILES)))
    except HFValidationError:
        raise MmaBenchError(f"{name!r} is neither a folder here nor a hub id", mend="correct the name") from None
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        first = str(error).strip().splitlines()[0]
        raise MmaBenchError(
            f"{name} cannot be had from the hub: {first}",
            mend="check the name, the network and `hf auth login`, or name a folder that holds the files",
        ) from None


def load_thinker(located: Located, *, dtype: str, device_map: str | None, attention: str) -> tuple[Any, Any]:
    """The thinker in eval mode, and its processor.

    Args:
        located: The checkpoint.
        dtype: `auto` takes the checkpoint's.
        device_map: As in `from_pretrained`; None takes the GPU if there is one, else the CPU.
        attention: `sdpa` or `eager`.

    Raises:
        MmaBenchError: Another architecture, or weights that are missing or of another shape.
    """
    import transformers
    from transformers import PreTrainedConfig

    model_type = PreTrainedConfig.get_config_dict(located.folder)[0].get("model_type", "")
    family = model_type.removesuffix("_thinker")
    if family not in _CLASSES:
        raise MmaBenchError(
            f"{located.folder} is a {model_type or 'model without model_type'}, not Qwen2.5-Omni or Qwen3-Omni",
            mend="use the openai or the process engine for other models",
        )
    model_class, processor_class = (getattr(transformers, name) for name in _CLASSES[family])
    thinker, info = model_class.from_pretrained(
        located.folder,
        dtype=dtype,
        device_map=device_map or ("cuda" if torch.cuda.is_available() else "cpu"),
        attn_implementation=attention,
        use_safetensors=True,
        output_loading_info=True,
    )
    # from_pretrained fills such gaps with random numbers and a warning.
    if gaps := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        raise MmaBenchError(
            f"{located.folder}: {len(gaps)} weights are missing or of another shape, {gaps[0]} first",
            mend="get the checkpoint again, or a matching config.json",
        )
    processor = processor_class.from_pretrained(located.folder)
    # A clip's frames share a budget of pixels, as in the model's own reference code; unset, a warning is printed.
    processor.video_processor.cap_pixels_per_frame = True
    return thinker.eval(), processor


def load_adapter(thinker: Any, located: Located) -> Any:
    """Put a LoRA adapter on the thinker, which keeps its class; `disable_adapter` of what is returned switches it off.

    Raises:
        MmaBenchError: peft is not installed, or a weight of the adapter has no place in the model or the reverse.
    """
    try:
        from peft import PeftConfig, PeftModel
    except ModuleNotFoundError:
        raise MmaBenchError("an adapter needs peft", mend="pip install 'mma-bench[evaluation]'") from None

    config = PeftConfig.from_pretrained(str(located.folder))
    config.inference_mode = True
    try:
        model = PeftModel(thinker, config)
        result = model.load_adapter(str(located.folder), "default", torch_device="cpu")
    except (ValueError, RuntimeError) as error:
        raise _misfit(located, str(error).strip().splitlines()[0]) from None
    if strays := [*result.missing_keys, *result.unexpected_keys]:
        raise _misfit(
            located,
            f"{len(result.missing_keys)} weights are missing and {len(result.unexpected_keys)} have no place in the "
            f"model, {strays[0]} first",
        )
    return model.eval()


def _misfit(located: Located, why: str) -> MmaBenchError:
    return MmaBenchError(
        f"the adapter {located.folder} does not fit the model: {why}",
        mend="use the base model that it was trained on; `target_modules` must name modules of the language model",
    )
