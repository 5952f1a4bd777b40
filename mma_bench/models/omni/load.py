"""Loads a Qwen-Omni thinker, its processor and a LoRA adapter, and refuses what would load with silent gaps.

A checkpoint is a folder or a hub id; either way it has a revision that names its bytes: the commit, or a hash over the
files. Thinkers saved alone and whole published checkpoints load alike; of the latter only the thinker is kept.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError

from mma_bench.errors import MmaBenchError
from mma_bench.files import file_sha256, fingerprint

_CLASSES: Final = {
    "qwen2_5_omni": ("Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniProcessor"),
    "qwen3_omni_moe": ("Qwen3OmniMoeThinkerForConditionalGeneration", "Qwen3OmniMoeProcessor"),
}
_FILES: Final = ("*.json", "*.safetensors", "*.jinja", "*.txt")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")

# Where the text model's layers are in a thinker of transformers 5, and what adapters may call that place.
_TEXT: Final = "model.language_model."
_OUTSIDE: Final = re.compile(r"^base_model\.model\.(?:thinker\.)?model\.(?:language_model\.)?(?=layers\.)")
_INSIDE: Final = f"base_model.model.{_TEXT}"
_WEIGHT: Final = re.compile(r"\.lora_\w+(\.weight|\.bias)?$")


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
        must_have: A file that every such folder holds, e.g. `config.json`.

    Raises:
        MmaBenchError: No such folder or repository, no access, or the file is missing.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _download(name, revision)
    if not (folder / must_have).is_file():
        raise MmaBenchError(f"{name} has no {must_have}", hint="name the folder or hub id that holds it")
    # A folder of the hub's cache is called after its commit.
    if _COMMIT.fullmatch(folder.name) and folder.parent.name == "snapshots":
        return Located(folder, folder.name)
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    return Located(folder, "sha256:" + fingerprint([[path.name, file_sha256(path)] for path in files]))


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(_FILES)))
    except HFValidationError:
        raise MmaBenchError(f"{name!r} is neither a folder here nor a hub id", hint="correct the name") from None
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        first = str(error).strip().splitlines()[0]
        raise MmaBenchError(
            f"{name} is not available from the hub: {first}",
            hint="check the name, the network and `hf auth login`, or name a folder that holds the files",
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
            hint="use the openai or the process engine for other models",
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
            hint="get the checkpoint again, or a matching config.json",
        )
    processor = processor_class.from_pretrained(located.folder)
    # A clip's frames share a budget of pixels, as in the model's own reference code; unset, a warning is printed.
    processor.video_processor.cap_pixels_per_frame = True
    return thinker.eval(), processor


class AdapterError(MmaBenchError):
    """An adapter is not sound.

    Args:
        check: Which of `keys`, `targets`, `effect`, `merge` it fails.
        adapter: Its folder or hub id.
        why: What was found.
        hint: As in every `MmaBenchError`.
    """

    def __init__(self, check: str, adapter: object, why: str, *, hint: str) -> None:
        super().__init__(f"the adapter {adapter} fails the check {check!r}: {why}", hint=hint)
        self.check = check


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter on a thinker.

    Attributes:
        model: The `PeftModel`; its `disable_adapter` switches the adapter off.
        weights: How many tensors were loaded.
        modules: The modules that it changes, by their names in the thinker.
        dtype: The thinker's, e.g. `float32`.
    """

    model: Any
    weights: int
    modules: tuple[str, ...]
    dtype: str


def load_adapter(thinker: Any, located: Located) -> LoadedAdapter:
    """Put a LoRA adapter on the thinker, which keeps its class.

    Adapters trained on the whole model (`thinker.model.…`) or with the names of transformers 4 (`model.layers.…`) have
    their weights renamed; peft would leave them out with a warning.

    Raises:
        AdapterError: A weight of the adapter has no place in the model or the reverse (`keys`), or it changes other
            parts than the text model (`targets`).
        MmaBenchError: peft is not installed, or the adapter's files cannot be read.
    """
    try:
        from peft import PeftConfig, PeftModel, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
    except ModuleNotFoundError:
        raise MmaBenchError("an adapter needs peft", hint="pip install 'mma-bench[evaluation]'") from None

    if not (located.folder / "adapter_model.safetensors").is_file():
        raise MmaBenchError(
            f"{located.folder} has no adapter_model.safetensors",
            hint="save it anew by peft's save_pretrained",
        )
    try:
        config = PeftConfig.from_pretrained(str(located.folder))
        given = load_peft_weights(str(located.folder), device="cpu")
    except (ValueError, TypeError, KeyError, OSError, SafetensorError) as error:
        raise MmaBenchError(
            f"{located.folder} holds no adapter that can be read: {_first_line(error)}", hint="get its files again"
        ) from None
    config.inference_mode = True
    given = {_OUTSIDE.sub(_INSIDE, name): tensor for name, tensor in given.items()}
    try:
        model = PeftModel(thinker, config)
        wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
        _require_same_keys(located, missing=wanted.keys() - given.keys(), unexpected=given.keys() - wanted.keys())
        set_peft_model_state_dict(model, given)
    except (ValueError, RuntimeError) as error:
        raise _mismatch(located, _first_line(error)) from None
    modules = sorted({_WEIGHT.sub("", name).removeprefix("base_model.model.") for name in wanted})
    if outside := [name for name in modules if not name.startswith(_TEXT)]:
        raise AdapterError(
            "targets",
            located.folder,
            f"it changes {len(outside)} modules outside the text model, {outside[0]} first",
            hint="train one with `mma-bench train`, or restrict target_modules to the language model's layers",
        )
    return LoadedAdapter(model.eval(), len(wanted), tuple(modules), str(thinker.dtype).removeprefix("torch."))


def _require_same_keys(located: Located, *, missing: Set[str], unexpected: Set[str]) -> None:
    if names := [*sorted(missing), *sorted(unexpected)]:
        raise _mismatch(
            located,
            f"{len(missing)} weights are missing and {len(unexpected)} have no place in the model, {names[0]} first",
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _mismatch(located: Located, why: str) -> AdapterError:
    return AdapterError(
        "keys",
        located.folder,
        f"it does not fit the model: {why}",
        hint="use the base model that it was trained on; `target_modules` must name modules of the language model",
    )
