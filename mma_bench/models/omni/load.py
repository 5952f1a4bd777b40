"""Loads a Qwen-Omni thinker, its processor and a LoRA adapter, and rejects checkpoints with missing weights.

A checkpoint is a folder or a Hub ID; its revision identifies its bytes: the commit, or a hash over the files. Both
standalone thinkers and full published checkpoints can be loaded; only the thinker is kept.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError

from mma_bench.errors import MmaBenchError
from mma_bench.files import file_sha256, fingerprint
from mma_bench.models.omni.adapter_names import TEXT, require_scales, translate
from mma_bench.models.omni.families import CONFIG, family_of

_TOKENIZERS: Final = ("tokenizer.json", "vocab.json")
_WHOLE: Final = "the folder must hold the weights as safetensors, the tokenizer and the processor of the model"
FILES: Final = ("*.json", "*.safetensors", "*.jinja", "*.txt")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_WEIGHT: Final = re.compile(r"\.lora_\w+(\.weight|\.bias)?$")


@dataclass(frozen=True)
class Located:
    """A checkpoint or adapter on disk, and the commit or hash (`sha256:…`) that identifies its bytes."""

    folder: Path
    revision: str


def locate(name: str, revision: str | None, must_have: str, patterns: Sequence[str] = FILES) -> Located:
    """Locate a folder, or download a Hub repository's weights and configs into the Hub cache.

    Args:
        name: A folder or a Hub ID.
        revision: Branch, tag or commit on the Hub; None uses the default branch.
        must_have: A required file, e.g. `config.json`.
        patterns: The files that are downloaded, and that identify a folder.

    Raises:
        MmaBenchError: The folder or repository does not exist or is not accessible, or the file is missing.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _download(name, revision, patterns)
    if not (folder / must_have).is_file():
        raise MmaBenchError(f"{name} has no {must_have}", hint="pass the folder or Hub ID that contains it")
    # A snapshot folder in the Hub cache is named after its commit.
    if _COMMIT.fullmatch(folder.name) and folder.parent.name == "snapshots":
        return Located(folder, folder.name)
    files = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    return Located(folder, "sha256:" + fingerprint([[path.name, file_sha256(path)] for path in files]))


def _download(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except HFValidationError:
        raise MmaBenchError(f"{name!r} is neither a directory nor a Hub ID", hint="correct the name") from None
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        first = str(error).strip().splitlines()[0]
        raise MmaBenchError(
            f"{name} is not available on the Hub: {first}",
            hint="check the name, the network and `hf auth login`, or pass a folder with the files",
        ) from None


def load_thinker(located: Located, *, dtype: str, device_map: str | None, attention: str) -> tuple[Any, Any]:
    """Load the thinker, in eval mode, and its processor.

    Args:
        located: The checkpoint.
        dtype: `auto` uses the checkpoint's dtype.
        device_map: As in `from_pretrained`; None uses the GPU if available, else the CPU.
        attention: `sdpa` or `eager`.

    Raises:
        MmaBenchError: The architecture is not supported, files are missing or unreadable, or weights are missing or
            have the wrong shape.
    """
    import transformers

    family = family_of(located.folder / CONFIG, located.folder)
    if not any((located.folder / name).is_file() for name in _TOKENIZERS):  # transformers would make one up
        raise MmaBenchError(f"{located.folder} is not a whole checkpoint: it has no tokenizer", hint=_WHOLE)
    try:
        processor = getattr(transformers, family.processor).from_pretrained(located.folder)
        thinker, info = getattr(transformers, family.thinker).from_pretrained(
            located.folder,
            dtype=dtype,
            device_map=device_map or ("cuda" if torch.cuda.is_available() else "cpu"),
            attn_implementation=attention,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, SafetensorError) as error:
        raise MmaBenchError(
            f"{located.folder} is not a whole checkpoint: {_first_line(error)}",
            hint=_WHOLE,
        ) from None
    # from_pretrained only warns and initialises such weights randomly.
    if gaps := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        raise MmaBenchError(
            f"{located.folder}: {len(gaps)} weights are missing or have the wrong shape, first {gaps[0]}",
            hint="download the checkpoint again, or use a matching config.json",
        )
    # A clip's frames share a pixel budget, as in the model's reference code; if unset, a warning is printed.
    processor.video_processor.cap_pixels_per_frame = True
    return thinker.eval(), processor


class AdapterError(MmaBenchError):
    """An adapter failed validation.

    Args:
        check: The failed check: `keys`, `targets`, `effect` or `merge`.
        adapter: Its folder or Hub ID.
        why: The reason.
        hint: As in every `MmaBenchError`.
    """

    def __init__(self, check: str, adapter: object, why: str, *, hint: str) -> None:
        super().__init__(f"the adapter {adapter} fails the check {check!r}: {why}", hint=hint)
        self.check = check


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter applied to a thinker.

    Attributes:
        model: The `PeftModel`; its `disable_adapter` disables the adapter.
        weights: Number of tensors loaded.
        modules: Names of the adapted modules in the thinker.
        dtype: The thinker's, e.g. `float32`.
    """

    model: Any
    weights: int
    modules: tuple[str, ...]
    dtype: str


def load_adapter(thinker: Any, located: Located) -> LoadedAdapter:
    """Apply a LoRA adapter to the thinker, which keeps its class.

    Adapters trained on the whole model (`thinker.model.…`) or with the names of transformers 4 (`model.layers.…`) are
    translated (`adapter_names`); peft would skip their weights with a warning.

    Raises:
        AdapterError: The adapter's weights do not match the model's modules or its own config (`keys`), or it targets
            modules outside the text model (`targets`).
        MmaBenchError: The adapter's files cannot be read.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict

    if not (located.folder / "adapter_model.safetensors").is_file():
        raise MmaBenchError(
            f"{located.folder} has no adapter_model.safetensors",
            hint="save it again with peft's save_pretrained",
        )
    try:
        config = PeftConfig.from_pretrained(str(located.folder))
        given = load_peft_weights(str(located.folder), device="cpu")
    except (ValueError, TypeError, KeyError, OSError, SafetensorError) as error:
        raise MmaBenchError(
            f"{located.folder} contains no readable adapter: {_first_line(error)}", hint="download its files again"
        ) from None
    config.inference_mode = True
    try:
        translated = translate(config, given, thinker)
        given = translated.tensors
        model = PeftModel(thinker, translated.config)
        wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
        _require_same_keys(located, missing=wanted.keys() - given.keys(), unexpected=given.keys() - wanted.keys())
        set_peft_model_state_dict(model, given)
        require_scales(model, translated.scales)
    except (ValueError, RuntimeError) as error:
        raise _mismatch(located, _first_line(error)) from None
    modules = sorted({_WEIGHT.sub("", name).removeprefix("base_model.model.") for name in wanted})
    if outside := [name for name in modules if not name.startswith(TEXT)]:
        raise AdapterError(
            "targets",
            located.folder,
            f"it targets {len(outside)} modules outside the text model, first {outside[0]}",
            hint="train one with `mma-bench train`, or restrict target_modules to the language model's layers",
        )
    return LoadedAdapter(model.eval(), len(wanted), tuple(modules), str(thinker.dtype).removeprefix("torch."))


def _require_same_keys(located: Located, *, missing: Set[str], unexpected: Set[str]) -> None:
    if names := [*sorted(missing), *sorted(unexpected)]:
        raise _mismatch(
            located,
            f"{len(missing)} weights are missing and {len(unexpected)} do not exist in the model, first {names[0]}",
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
