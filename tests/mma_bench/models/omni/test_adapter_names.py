"""An adapter saved under any names of the thinker's modules has the effect that peft gives it under the thinker's."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mma_bench.models.omni.load import AdapterError, load_adapter, load_thinker, locate
from tests.mma_bench.models.omni.omni_plain import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

NEW = "model.language_model."
PATHS = ("model.", "thinker.model.language_model.", "thinker.model.", "", NEW)
Q, UP = "layers.0.self_attn.q_proj", "layers.2.mlp.up_proj"
FULL = [f"{NEW}layers.{layer}.{name}" for layer in (0, 2) for name in ("self_attn.q_proj", "mlp.up_proj")]
REGEX = r"model\.language_model\.layers\.(0|2)\.(self_attn\.q_proj|mlp\.up_proj)"

# Settings in the thinker's names; `{...}` of a path is put in by `written`.
CONFIGS: dict[str, dict[str, Any]] = {
    "full names": {"target_modules": FULL},
    "a regular expression": {"target_modules": REGEX},
    "alpha by full names": {"target_modules": FULL, "alpha_pattern": {NEW + Q: 24, NEW + UP: 3}},
    "rank by full names": {"target_modules": FULL, "rank_pattern": {NEW + Q: 2, NEW + UP: 6}},
    "both, by regular expressions": {
        "target_modules": REGEX,
        "rank_pattern": {r"^model\.language_model\.layers\.\d\.self_attn\.q_proj": 2},
        "alpha_pattern": {r"model.language_model.layers.2.*": 40},
    },
    "rank-stabilised": {"target_modules": FULL, "rank_pattern": {NEW + UP: 2}, "use_rslora": True},
    "some layers": {
        "target_modules": ["language_model.layers.2.mlp.up_proj", "language_model.layers.0.mlp.up_proj"],
        "layers_to_transform": [2],
        "layers_pattern": ["language_model.layers"],
        "alpha_pattern": {NEW + UP: 3},
    },
    "exclusions": {
        "target_modules": r".*layers\.\d\.mlp\.up_proj",
        "exclude_modules": ["model.language_model.layers.1.mlp.up_proj"],
    },
    "DoRA": {"target_modules": FULL, "use_dora": True, "alpha_pattern": {NEW + Q: 24}},
    "embeddings": {"target_modules": ["model.language_model.embed_tokens"], "rank_pattern": {f"{NEW}embed_tokens": 3}},
}


def thinker() -> Any:
    return load_thinker(
        locate(str(checkpoint()), None, "config.json"), dtype="float32", device_map="cpu", attention="sdpa"
    )[0]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(3, 30)[None]).logits


@cache
def base() -> torch.Tensor:
    return logits(thinker())


def save(folder: Path, **settings: Any) -> tuple[Path, torch.Tensor]:
    """An adapter in the thinker's names, and the logits that peft gives with it."""
    from peft import LoraConfig, PeftModel, get_peft_model

    model = get_peft_model(thinker(), LoraConfig(**{"r": 4, "lora_alpha": 8, **settings}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    truth = logits(PeftModel.from_pretrained(thinker(), folder))
    assert not torch.allclose(truth, base(), atol=1e-3)
    return folder, truth


def written(value: Any, path: str) -> Any:
    """A setting with another path to the text model, in plain names and in regular expressions."""
    if isinstance(value, str):
        for old, new in ((NEW, path), (NEW.replace(".", r"\."), path.replace(".", r"\."))):
            value = value.replace(old, new)
        return value.replace("language_model.layers", path + "layers") if path != NEW else value
    if isinstance(value, list):
        return [written(item, path) for item in value]
    if isinstance(value, dict):
        return {written(key, path): item for key, item in value.items()}
    return value


def rewrite(folder: Path, path: str, *, config: bool = True, weights: bool = True, **changed: Any) -> Path:
    file = folder / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps((written(settings, path) if config else settings) | changed))
    if weights:
        file = folder / "adapter_model.safetensors"
        save_file({name.replace(NEW, path): tensor for name, tensor in load_file(file).items()}, file)
    return folder


def loaded(folder: Path) -> Any:
    return load_adapter(thinker(), locate(str(folder), None, "adapter_config.json")).model


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_the_effect_is_the_same_under_every_name(settings: dict[str, Any], path: str, tmp_path: Path) -> None:
    folder, truth = save(tmp_path / "adapter", **settings)
    assert torch.equal(logits(loaded(rewrite(folder, path))), truth)


@pytest.mark.parametrize("where", ["config", "weights"])
def test_only_one_of_the_two_files_may_have_the_other_names(where: str, tmp_path: Path) -> None:
    folder, truth = save(tmp_path / "adapter", **CONFIGS["alpha by full names"])
    rewrite(folder, "model.", config=where == "config", weights=where == "weights")
    assert torch.equal(logits(loaded(folder)), truth)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("targets", [["q_proj", "up_proj"], r".*(q_proj|up_proj)", "all-linear"])
def test_plain_names_without_weights_for_the_towers_are_loaded(targets: Any, path: str, tmp_path: Path) -> None:
    linear = r"model\.language_model\.layers\.\d\.\w+\.\w+_proj"
    pattern = linear if targets == "all-linear" else r"model\.language_model\.layers\.\d\.\w+\.(q_proj|up_proj)"
    folder, truth = save(tmp_path / "adapter", target_modules=pattern)
    assert torch.equal(logits(loaded(rewrite(folder, path, target_modules=targets))), truth)


def refused(folder: Path, match: str) -> None:
    with pytest.raises(AdapterError, match=match) as caught:
        loaded(folder)
    assert caught.value.check == "keys"


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"alpha_pattern": {"text_model.layers.0.self_attn.q_proj": 24}}, "its alpha_pattern has 'text_model.layers"),
        ({"rank_pattern": {"layers.9.self_attn.q_proj": 4}}, "its rank_pattern has 'layers.9.*matches none of its mod"),
        ({"rank_pattern": {"q_proj": 2}}, r"states the rank 2 for model\S+q_proj, and its weights have the rank 4"),
        ({"r": 8}, "states the rank 8 for .* and its weights have the rank 4"),
        ({"target_modules": ["model.layers.0.self_attn.q_proj"]}, "has weights for .* target_modules does not select"),
        (
            {"exclude_modules": ["model.layers.2.mlp.up_proj"]},
            r"weights for \S+2\.mlp\.up_proj, which its",
        ),
        ({"layers_to_transform": [0], "layers_pattern": "layers", "target_modules": ["q_proj", "up_proj"]}, "layers.2"),
        ({"target_parameters": ["mlp.up_proj.weight"]}, "uses target_parameters, which is not supported"),
        ({"layer_replication": [[0, 2]]}, "uses layer_replication, which is not supported"),
    ],
)
def test_a_config_that_contradicts_the_weights_is_refused_with_the_reason(
    changed: dict[str, Any], match: str, tmp_path: Path
) -> None:
    folder, _ = save(tmp_path / "adapter", target_modules=FULL)
    refused(rewrite(folder, NEW, **changed), match)


def test_another_kind_of_adapter_is_refused_as_such(tmp_path: Path) -> None:
    from peft import LoHaConfig, get_peft_model

    get_peft_model(thinker(), LoHaConfig(target_modules=FULL)).save_pretrained(tmp_path / "adapter")
    refused(tmp_path / "adapter", "its peft_type is LOHA, and only LORA is supported")


def test_two_weights_for_one_module_are_refused(tmp_path: Path) -> None:
    folder, _ = save(tmp_path / "adapter", target_modules=FULL)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, **{name.replace(NEW, "model."): tensor.clone() for name, tensor in tensors.items()}}, file)
    refused(folder, "several weights for one module")


def test_a_scale_that_peft_applies_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft.tuners.lora.layer import LoraLayer

    folder, _ = save(tmp_path / "adapter", target_modules=FULL)
    update: Callable[..., None] = LoraLayer.update_layer

    def doubled(layer: Any, name: str, *given: Any, **settings: Any) -> None:
        update(layer, name, *given, **settings)
        layer.scaling[name] *= 2

    monkeypatch.setattr(LoraLayer, "update_layer", doubled)
    refused(folder, r"peft scales \S+up_proj by 4, and its config states 2")


@pytest.mark.parametrize("path", PATHS)
def test_tokens_and_whole_modules_are_found_under_every_name(path: str, tmp_path: Path) -> None:
    for number, settings in enumerate(
        (
            {"trainable_token_indices": {f"{NEW}embed_tokens": [5, 9]}},
            {"modules_to_save": [f"{NEW}embed_tokens"]},
            {"modules_to_save": ["embed_tokens"]},
        )
    ):
        folder, truth = save(tmp_path / str(number), target_modules=FULL, **settings)
        assert torch.equal(logits(loaded(rewrite(folder, path))), truth), settings
