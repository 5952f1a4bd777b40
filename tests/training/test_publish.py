"""An adapter is published with all that its user needs, and peft loads from the Hub what was trained here."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mma_bench.errors import ConfigError, DataError
from mma_bench.files import write_json
from mma_bench.hub.client import Hub
from mma_bench.models.omni.load import AdapterError, locate
from mma_bench.training.publish import publish_adapter
from tests.builders.publish.conftest import TOKEN
from tests.hub import Hub as StandIn
from tests.mma_bench.models.omni.omni_plain import checkpoint
from tests.training.adapters import rename, save

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]
CARD = """---
library_name: peft
base_model: someone/tiny-omni
tags: [mma-bench]
---
# An adapter

![curve](curve.png)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("made") / "adapter")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """The folder of a finished run, with its card, and results beside it."""
    folder = tmp_path / "run"
    shutil.copytree(made, folder / "adapter")
    base = {"checkpoint": str(checkpoint()), "revision": None}
    facts = {"base": base, "best": {"step": 40}, "steps": 60, "data": {"dataset": str(tmp_path / "mma-bench")}}
    write_json(folder / "run.json", facts)
    (folder / "README.md").write_text(CARD)
    (folder / "curve.png").write_bytes(b"\x89PNG")
    (folder / "other.png").write_bytes(b"\x89PNG")
    revision = locate(str(folder / "adapter"), None, "adapter_config.json").revision
    write_json(tmp_path / "results/run.json", {"adapter_revision": revision})
    write_json(tmp_path / "results/scores.json", {"accuracy": 0.5, "adapter": str(folder / "adapter")})
    return folder


def publish(client: Hub, run: Path, base_name: str | None = "someone/tiny-omni", dry_run: bool = False) -> None:
    results = run.parent / "results"
    publish_adapter(client, run, "org/x", card=run / "README.md", results=results, base_name=base_name, dry_run=dry_run)


@pytest.mark.slow
def test_it_holds_adapter_processor_card_and_scores(client: Hub, hub: StandIn, run: Path, tmp_path: Path) -> None:
    publish(client, run)
    files = hub.files("org/x", kind="model")
    expected = {"adapter_config.json", "adapter_model.safetensors", "README.md", "run.json", "scores.json", "curve.png"}
    assert expected | {"preprocessor_config.json", "tokenizer.json", "chat_template.jinja"} <= set(files) | _loose(
        files
    )
    assert "other.png" not in files
    assert len(hub.sent("/commit/")) == 1
    (tmp_path / "card.md").write_bytes(files["README.md"])
    assert ModelCard.load(tmp_path / "card.md").data.base_model == "someone/tiny-omni"
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "someone/tiny-omni"
    # Neither token nor folders of whoever published it.
    assert not [name for name, data in files.items() if TOKEN.encode() in data or str(tmp_path).encode() in data]
    assert not [name for name, data in files.items() if str(checkpoint()).encode() in data]
    assert json.loads(files["run.json"])["data"]["dataset"] == "mma-bench"


@pytest.mark.slow
def test_peft_loads_it_from_the_hub_with_the_same_answers(client: Hub, hub: StandIn, run: Path) -> None:
    import torch
    from peft import PeftModel

    from mma_bench.models.omni.load import load_thinker

    publish(client, run)
    asked = torch.tensor([[5, 17, 99, 3, 42]])
    answers = []
    for source in (None, str(run / "adapter"), "org/x"):
        base = locate(str(checkpoint()), None, "config.json")
        model, _ = load_thinker(base, dtype="float32", device_map="cpu", attention="sdpa")
        if source is not None:
            model = PeftModel.from_pretrained(model, source).eval()
        with torch.no_grad():
            answers.append(model(input_ids=asked).logits)
    assert torch.equal(answers[1], answers[2])
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)
    assert hub.sent("^(HEAD|GET) /org/x/resolve/main/adapter_model.safetensors")


@pytest.mark.slow
def test_it_is_checked_before_and_after(
    client: Hub, hub: StandIn, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(client, run)
    said = capsys.readouterr().out
    for name in ("keys", "targets", "effect", "merge"):
        assert said.count(f"check {name}: ") == 2
    commit = hub.repos["model", "org/x"].branch[-1]
    assert f"/resolve/{commit}/adapter_model.safetensors" in str(hub.requests)


def test_an_unsound_adapter_is_not_sent(client: Hub, hub: StandIn, run: Path) -> None:
    rename(run / "adapter", lambda name: None if "layers.0." in name else name)
    revision = locate(str(run / "adapter"), None, "adapter_config.json").revision
    write_json(run.parent / "results/run.json", {"adapter_revision": revision})
    with pytest.raises(AdapterError, match="keys"):
        publish(client, run)
    assert not hub.repos


def test_the_scores_of_another_adapter_are_refused(client: Hub, hub: StandIn, run: Path) -> None:
    write_json(run.parent / "results/run.json", {"adapter_revision": "sha256:0"})
    with pytest.raises(ConfigError, match="was made with the adapter sha256:0, not with sha256:"):
        publish(client, run)
    assert not hub.repos


def test_a_dry_run_sends_nothing(client: Hub, hub: StandIn, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(client, run, dry_run=True)
    assert not hub.repos
    assert "+ adapter_model.safetensors (" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_missing_is_named(client: Hub, hub: StandIn, run: Path) -> None:
    with pytest.raises(ConfigError, match="pass --base-name ORG/NAME"):
        publish(client, run, base_name=None)
    (run.parent / "results/scores.json").rename(run.parent / "elsewhere.json")
    with pytest.raises(ConfigError, match=r"no file .*scores\.json"):
        publish(client, run)
    (run.parent / "elsewhere.json").rename(run.parent / "results/scores.json")
    (run / "README.md").rename(run / "card.md")
    with pytest.raises(ConfigError, match=r"no file .*README\.md"):
        publish(client, run)
    (run / "README.md").write_text("---\nmodel-index: {\n---\n")
    with pytest.raises(DataError, match="the Hub rejects the metadata"):
        publish(client, run)
    (run / "run.json").unlink()
    with pytest.raises(ConfigError, match=r"has no run\.json"):
        publish(client, run)
    assert not hub.repos


def _loose(files: dict[str, bytes]) -> set[str]:
    """Processor files whose names depend on the library's version."""
    renamed = {"processor_config.json": "preprocessor_config.json", "tokenizer_config.json": "tokenizer.json"}
    return {renamed[name] for name in files if name in renamed}
