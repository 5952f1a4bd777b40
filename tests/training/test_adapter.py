"""The checks of an adapter: what is sound passes all, and each fault fails the check that is for it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from mma_bench.errors import MmaBenchError
from mma_bench.models.contracts import Prompt
from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.models.omni.load import AdapterError, load_adapter, load_thinker, locate
from mma_bench.training.adapter import check
from mma_bench.training.cli import adapter as adapter_commands
from mma_bench.training.miniature.tokenizer import Family
from tests.mma_bench.models.omni.omni_plain import OPTIONS, SETTINGS, TEXT, checkpoint, task
from tests.training.adapters import rename, save

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")
ASKED = task(Prompt("score", TEXT, mode="score", options=OPTIONS))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("sound") / "adapter")


@pytest.fixture
def copied(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "adapter"))


def scores(folder: Path, base: Path) -> dict[str, float]:
    made = OmniEngine(OmniSettings(checkpoint=str(base), adapter=str(folder), **SETTINGS))
    return made.answer([ASKED])[0][0].logprobs or {}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_as_training_makes_it_passes_all_checks(family: Family, tmp_path: Path) -> None:
    made = save(tmp_path / "adapter", family)
    passed = list(check(str(made), str(checkpoint(family)), dtype="float32", device_map="cpu"))
    assert [each.name for each in passed] == ["keys", "targets", "effect", "merge"]
    projections = 7 if family == "qwen2_5_omni" else 4  # the experts' have no place for LoRA
    assert passed[0].said.startswith(f"all {3 * projections * 2} weights are loaded")
    assert passed[1].said.startswith(f"all {3 * projections} adapted modules")


def test_peft_itself_loads_what_training_makes(sound: Path) -> None:
    from peft import PeftModel

    base = locate(str(checkpoint()), None, "config.json")
    thinker, _ = load_thinker(base, dtype="float32", device_map="cpu", attention="sdpa")
    state = PeftModel.from_pretrained(thinker, sound).state_dict()
    for name, tensor in load_file(sound / "adapter_model.safetensors").items():
        assert torch.equal(state[name.replace(".weight", ".default.weight")], tensor), name


@pytest.mark.slow
def test_whole_and_thinker_checkpoints_take_the_same_adapter(sound: Path) -> None:
    assert scores(sound, checkpoint(layout="full")) == scores(sound, checkpoint())


@pytest.mark.slow
@pytest.mark.parametrize(
    "prefix",
    [
        "base_model.model.thinker.model.language_model.",  # trained on the whole model
        "base_model.model.model.",  # transformers 4
        "base_model.model.thinker.model.",
    ],
)
def test_weights_under_other_names_of_the_same_modules_are_loaded(prefix: str, sound: Path, copied: Path) -> None:
    rename(copied, lambda name: name.replace("base_model.model.model.language_model.", prefix))
    assert scores(copied, checkpoint()) == scores(sound, checkpoint())


def refused(folder: Path, name: str, match: str) -> None:
    """Both `adapter check` and `evaluate` refuse it."""
    with pytest.raises(AdapterError, match=match) as caught:
        list(check(str(folder), str(checkpoint()), dtype="float32", device_map="cpu"))
    assert caught.value.check == name
    assert caught.value.hint
    if name != "merge":
        with pytest.raises(AdapterError, match=match):
            scores(folder, checkpoint())


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("language_model", "text_model"),
        lambda name: name.replace("base_model.model.model.language_model.", "base_model.model.talker.model."),
        lambda name: name.replace("language_model.layers.0.", "audio_tower.layers.0."),
        lambda name: name.replace("layers.2", "layers.7"),
        lambda name: None if "layers.1.mlp.up_proj.lora_A" in name else name,
        lambda name: None if "layers.1.mlp.up_proj" in name else name,
    ],
)
def test_weights_without_a_place_or_a_place_without_weights_are_refused(
    change: Callable[[str], str | None], copied: Path
) -> None:
    refused(rename(copied, change), "keys", r"\d+ weights are missing and \d+ do not exist in the model")


def configured(folder: Path, **settings: Any) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


def test_a_pattern_that_selects_fewer_modules_than_have_weights_is_refused(copied: Path) -> None:
    configured(copied, target_modules=r"thinker\.model\.language_model\.layers\.\d+\.self_attn\.q_proj")
    refused(copied, "keys", r"weights for \S+down_proj, which its target_modules does not select")


@pytest.mark.slow
def test_an_adapter_on_a_tower_too_is_refused(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = locate(str(checkpoint()), None, "config.json")
    thinker, _ = load_thinker(base, dtype="float32", device_map="cpu", attention="sdpa")
    model = get_peft_model(thinker, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    model.save_pretrained(tmp_path / "adapter")
    refused(
        tmp_path / "adapter",
        "targets",
        r"targets 2 modules outside the text model, first model\.audio_tower\.layers\.0",
    )


@pytest.mark.slow
def test_an_adapter_that_learnt_nothing_is_refused(tmp_path: Path) -> None:
    refused(save(tmp_path / "adapter", scale=0.0), "effect", "has no useful effect")


def test_an_adapter_that_cannot_be_merged_is_refused(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft.tuners.lora import Linear

    delta = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, name: 1.5 * delta(self, name))
    refused(sound, "merge", r"merged and unmerged differ by up to \S+; the tolerance for float32 is \S+")


@pytest.mark.slow
def test_merging_in_half_precision_is_within_its_own_bound(sound: Path) -> None:
    assert len(list(check(str(sound), str(checkpoint()), dtype="bfloat16", device_map="cpu"))) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("adapter_model.safetensors", b"no weights", "contains no readable adapter"),
        ("adapter_config.json", b'{"peft_type": "NONE"}', "contains no readable adapter"),
        ("adapter_config.json", b"{", "contains no readable adapter"),
    ],
)
def test_files_that_are_no_adapter_are_said(name: str, content: bytes, message: str, copied: Path) -> None:
    (copied / name).write_bytes(content)
    with pytest.raises(MmaBenchError, match=message) as caught:
        scores(copied, checkpoint())
    assert caught.value.hint


def test_an_adapter_without_weights_or_with_a_pickle_is_said(copied: Path) -> None:
    (copied / "adapter_model.safetensors").rename(copied / "adapter_model.bin")
    with pytest.raises(MmaBenchError, match=r"has no adapter_model\.safetensors"):
        scores(copied, checkpoint())


def test_weights_that_are_no_numbers_are_refused(copied: Path) -> None:
    path = copied / "adapter_model.safetensors"
    save_file({name: tensor * float("nan") for name, tensor in load_file(path).items()}, path)
    refused(copied, "effect", "answers are not numbers with it")


def test_loading_tells_what_was_loaded(sound: Path) -> None:
    base = locate(str(checkpoint()), None, "config.json")
    thinker, _ = load_thinker(base, dtype="float32", device_map="cpu", attention="sdpa")
    loaded = load_adapter(thinker, locate(str(sound), None, "adapter_config.json"))
    assert (loaded.weights, len(loaded.modules), loaded.dtype) == (42, 21, "float32")
    assert loaded.modules[0] == "model.language_model.layers.0.mlp.down_proj"


def test_the_command_prints_what_was_measured(sound: Path) -> None:
    result = CliRunner().invoke(
        adapter_commands, ["check", str(sound), "--base", str(checkpoint()), "--device-map", "cpu"]
    )
    assert result.exit_code == 0, result.output
    lines = [line.split()[0] for line in result.stdout.splitlines()]
    assert lines == ["keys", "targets", "effect", "merge"]
