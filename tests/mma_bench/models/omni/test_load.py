"""Checkpoints and adapters: their revisions, and every gap that must not pass in silence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from mma_bench.errors import MmaBenchError
from mma_bench.models.contracts import Prompt
from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.models.omni.load import locate
from mma_bench.training.miniature.checkpoint import make_checkpoint
from tests.mma_bench.models.omni.omni_plain import OPTIONS, SETTINGS, TEXT, checkpoint, engine, task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ASKED = task(Prompt("score", TEXT, mode="score", options=OPTIONS))
LANGUAGE = r"(.*\.)?language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"


def load(folder: Path, **settings: Any) -> OmniEngine:
    return OmniEngine(OmniSettings(checkpoint=str(folder), **SETTINGS | settings), name="tiny")


def test_the_revision_is_a_hash_of_the_files_or_the_commit(tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint(), tmp_path / "copy")
    same = locate(str(copy), None, "config.json").revision
    assert same == engine().revision == locate(str(checkpoint()), None, "config.json").revision
    other = make_checkpoint(tmp_path / "other", seed=1)
    assert locate(str(other), None, "config.json").revision != same
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = shutil.copytree(checkpoint(), tmp_path / "models--a--b" / "snapshots" / commit)
    assert locate(str(snapshot), None, "config.json").revision == commit


@pytest.mark.parametrize("name", ["no-such/model", "not a name", "./missing"])
def test_a_name_that_leads_nowhere_is_said(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MmaBenchError, match=name) as caught:
        locate(name, None, "config.json")
    assert caught.value.hint


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(MmaBenchError, match=r"has no config\.json"):
        load(tmp_path)


def test_another_architecture_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
    with pytest.raises(MmaBenchError, match="model_type 'qwen2_vl', which the local engine does not know"):
        load(tmp_path)


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_a_checkpoint_that_lacks_a_file_is_said(tmp_path: Path, lost: str) -> None:
    broken = shutil.copytree(checkpoint(), tmp_path / "broken")
    (broken / lost).unlink()
    with pytest.raises(MmaBenchError, match="is not a whole checkpoint"):
        load(broken)


def test_missing_weights_are_said_and_not_made_up(tmp_path: Path) -> None:
    broken = shutil.copytree(checkpoint(), tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MmaBenchError, match=r"1 weights are missing or have the wrong shape, .*q_proj"):
        load(broken)


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Makes a LoRA adapter for the tiny checkpoint; `scale` 0 leaves it without effect."""
    peft = pytest.importorskip("peft")
    import transformers

    def make(scale: float = 1.0) -> Path:
        base = transformers.Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(checkpoint())
        model = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=LANGUAGE))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=scale)
        model.save_pretrained(tmp_path / "adapter")
        return tmp_path / "adapter"

    return make


@pytest.mark.slow
def test_an_adapter_changes_answers_and_has_a_revision(adapter: Callable[..., Path]) -> None:
    folder = adapter()
    adapted = load(checkpoint(), adapter=str(folder))
    assert adapted.adapter == str(folder)
    assert (adapted.adapter_revision or "").startswith("sha256:")
    assert adapted.revision == engine().revision
    assert engine().adapter_revision is None
    (tuned,), (plain,) = adapted.answer([ASKED])[0], engine().answer([ASKED])[0]
    assert tuned.logprobs is not None
    assert tuned.logprobs != plain.logprobs
    # Merged into the weights by peft, it gives the same numbers.
    thinker = adapted._reader._thinker
    for module in thinker.modules():
        if hasattr(module, "merge"):
            module.merge()
    assert adapted.answer([ASKED])[0][0].logprobs == pytest.approx(tuned.logprobs, abs=1e-3)


def test_an_adapter_without_effect_is_refused(adapter: Callable[..., Path]) -> None:
    with pytest.raises(MmaBenchError, match="has no useful effect"):
        load(checkpoint(), adapter=str(adapter(scale=0.0)))


@pytest.mark.slow
def test_an_adapter_with_a_weight_missing_is_refused(adapter: Callable[..., Path]) -> None:
    weights = adapter() / "adapter_model.safetensors"
    tensors = load_file(weights)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, weights)
    with pytest.raises(MmaBenchError, match="1 weights are missing and 0 do not exist"):
        load(checkpoint(), adapter=str(weights.parent))


@pytest.mark.slow
def test_an_adapter_of_other_modules_is_refused(adapter: Callable[..., Path]) -> None:
    weights = adapter() / "adapter_model.safetensors"
    tensors = {name.replace("self_attn", "attention"): tensor for name, tensor in load_file(weights).items()}
    save_file(tensors, weights)
    with pytest.raises(MmaBenchError, match="do not exist in the model"):
        load(checkpoint(), adapter=str(weights.parent))


@pytest.mark.slow
def test_an_adapter_of_a_wider_model_is_refused(adapter: Callable[..., Path]) -> None:
    weights = adapter() / "adapter_model.safetensors"
    tensors = {name: torch.cat([tensor, tensor], dim=-1) for name, tensor in load_file(weights).items()}
    save_file(tensors, weights)
    with pytest.raises(MmaBenchError, match="does not fit the model"):
        load(checkpoint(), adapter=str(weights.parent))
