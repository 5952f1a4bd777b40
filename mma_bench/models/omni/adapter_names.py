"""Translates a LoRA adapter's module names into those of a thinker of transformers 5.

transformers 4, whole models and text models of their own have other paths to the same modules. peft looks names up in
many settings, several of them regular expressions, and falls back to the default rank and alpha without a word where a
pattern matches nothing. Here each setting is evaluated on every name that a module has had, and the result is written
with the thinker's full names.
"""

import copy
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

# The path of the text model in a thinker of transformers 5, and all paths to it, longest first.
TEXT: Final = "model.language_model."
_PATHS: Final = ("thinker.model.language_model.", "model.language_model.", "thinker.model.", "model.", "")
_OTHER: Final = re.compile(rf"^(?:{'|'.join(map(re.escape, _PATHS))})(?=(?:layers|embed_tokens|norm)(?:\.|$))")
_WEIGHT: Final = re.compile(r"\.lora_(?:A|embedding_A)(?:\.weight)?$")
_UNSUPPORTED: Final = ("target_parameters", "layer_replication", "use_bdlora")
_PEFT: Final = "base_model.model."


@dataclass(frozen=True)
class Translated:
    """An adapter in the thinker's names.

    Attributes:
        config: peft's config: full names in `target_modules`, `rank_pattern` and `alpha_pattern`, no exclusions.
        tensors: Name → weight.
        scales: Adapted module → the factor of its LoRA update, alpha / r, or alpha / √r with `use_rslora`.
    """

    config: Any
    tensors: dict[str, torch.Tensor]
    scales: dict[str, float]


def translate(config: Any, tensors: Mapping[str, torch.Tensor], thinker: torch.nn.Module) -> Translated:
    """Translate an adapter's config and weights.

    Args:
        config: A `PeftConfig`, as saved.
        tensors: The weights, as saved.
        thinker: The base model, without an adapter.

    Raises:
        ValueError: The adapter is not LoRA or uses a setting that is not supported, or its config and its weights
            contradict each other. The message names the setting.
    """
    if config.peft_type != "LORA":
        raise ValueError(f"its peft_type is {config.peft_type.value}, and only LORA is supported")
    if unsupported := [name for name in _UNSUPPORTED if getattr(config, name, None)]:
        raise ValueError(f"it uses {unsupported[0]}, which is not supported")
    renamed = {_PEFT + text_name(name.removeprefix(_PEFT)): tensor for name, tensor in tensors.items()}
    if len(renamed) != len(tensors):
        raise ValueError("it has several weights for one module, under different names of it")
    saved = [_WEIGHT.sub("", name).removeprefix(_PEFT) for name in tensors if _WEIGHT.search(name)]
    names = {text_name(name): _names(name) for name in saved}
    ranks = {
        _WEIGHT.sub("", name).removeprefix(_PEFT): tensor.shape[0]
        for name, tensor in renamed.items()
        if _WEIGHT.search(name)
    }
    possible = {name for name, module in thinker.named_modules() if not any(module.children())}
    targeted = _targeted(config, thinker, names)
    # Missing and unknown weights are reported by the comparison with the model's.
    untargeted = sorted(names.keys() - targeted)
    if untargeted and targeted <= names.keys() <= possible:
        raise ValueError(f"it has weights for {untargeted[0]}, which its target_modules does not select")
    made = copy.copy(config)
    made.target_modules = targeted | (names.keys() & possible)
    made.exclude_modules = made.layers_to_transform = made.layers_pattern = None
    if isinstance(config.modules_to_save, list):
        made.modules_to_save = [_path(name) for name in config.modules_to_save]
    if isinstance(config.trainable_token_indices, dict):
        made.trainable_token_indices = {_path(name): at for name, at in config.trainable_token_indices.items()}
    made.rank_pattern, made.alpha_pattern, scales = {}, {}, {}
    for setting in ("rank_pattern", "alpha_pattern"):
        _require_used(setting, getattr(config, setting) or {}, names)
    for module, given in ranks.items():
        rank = _value(config.rank_pattern or {}, names[module], config.r)
        alpha = _value(config.alpha_pattern or {}, names[module], config.lora_alpha)
        if given != rank:
            raise ValueError(f"its config states the rank {rank} for {module}, and its weights have the rank {given}")
        if rank != config.r:
            made.rank_pattern[re.escape(module)] = rank
        if alpha != config.lora_alpha:
            made.alpha_pattern[re.escape(module)] = alpha
        scales[module] = alpha / (math.sqrt(rank) if config.use_rslora else rank)
    return Translated(made, renamed, scales)


def require_scales(model: Any, scales: Mapping[str, float]) -> None:
    """Require that peft applies every module's update with the factor that the adapter's config states.

    Args:
        model: The `PeftModel`.
        scales: As in `Translated`.

    Raises:
        ValueError: A module has another factor; names it.
    """
    for name, expected in sorted(scales.items()):
        scale = model.base_model.model.get_submodule(name).scaling[model.active_adapter]
        if not math.isclose(scale, expected):
            raise ValueError(f"peft scales {name} by {scale:.6g}, and its config states {expected:.6g}")


def text_name(name: str) -> str:
    """The thinker's name of a module or weight of the text model, given under any of its names; others unchanged."""
    return _OTHER.sub(TEXT, name)


def _path(name: str) -> str:
    """As `text_name`; a name without a path, which peft looks for everywhere, stays as it is."""
    return text_name(name) if "." in name else name


def _names(module: str) -> list[str]:
    """All names of a module, the given one first."""
    inside = text_name(module)
    if not inside.startswith(TEXT):
        return [module, f"thinker.{module}"]
    return list(dict.fromkeys([module, *(path + inside.removeprefix(TEXT) for path in _PATHS)]))


def _targeted(config: Any, thinker: torch.nn.Module, adapted: Mapping[str, list[str]]) -> set[str]:
    """The modules that `target_modules` and the settings that restrict it select, under any of their names.

    Outside the text model only modules with weights count: plain names such as `q_proj` also match the towers, which
    an adapter trained on a text model of its own never had.
    """
    from peft.tuners.tuners_utils import check_target_module_exists

    # A module may be selected under one of its names and excluded under another.
    included, excluded = copy.copy(config), copy.copy(config)
    included.exclude_modules = excluded.exclude_modules = excluded.layers_to_transform = None
    excluded.target_modules = config.exclude_modules

    def is_selected(name: str, module: torch.nn.Module) -> bool:
        names = adapted.get(name) or _names(name)
        if config.exclude_modules and any(check_target_module_exists(excluded, each) for each in names):
            return False
        if config.target_modules == "all-linear":
            return isinstance(module, torch.nn.Linear)
        return any(check_target_module_exists(included, each) for each in names)

    return {
        name
        for name, module in thinker.named_modules()
        if name in adapted or (name.startswith(TEXT) and isinstance(module, torch.nn.Linear | torch.nn.Embedding))
        if is_selected(name, module)
    }


def _require_used(setting: str, patterns: Mapping[str, object], adapted: Mapping[str, list[str]]) -> None:
    names = [each for known in adapted.values() for each in known]
    for pattern in patterns:
        if not any(_matches(pattern, name) for name in names):
            raise ValueError(f"its {setting} has {pattern!r}, which matches none of its modules")


def _value(patterns: Mapping[str, int], names: list[str], default: int) -> int:
    found = (value for name in names for pattern, value in patterns.items() if _matches(pattern, name))
    return next(found, default)


def _matches(pattern: str, name: str) -> bool:
    """As peft's `get_pattern_key`."""
    return re.match(rf"(.*\.)?({pattern})$", name) is not None
