"""The configs that come with the package, what a config of one's own may hold, and `--model` FOLDER or ORG/NAME."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.models import list_models, load_config, open_engine
from mma_bench.models.contracts import Answer, ClipTask, Prompt, modes_of
from mma_bench.models.gemini import GeminiSettings
from mma_bench.models.openai import OpenaiSettings
from mma_bench.models.process import RUNNERS, ProcessSettings
from mma_bench.schema import Condition

PAPER = {
    "Gemini-2.5-Pro",
    "Gemini-2.0-Flash",
    "Gemini-2.0-Flash-Lite",
    "Qwen3-Omni-30B-Instruct",
    "Qwen2.5-Omni-7B",
    "VideoLLaMA2",
    "ChatBridge",
    "PandaGPT",
}
PROMPT = Prompt("visual.forced_choice.0", "Which?", options=("Bird", "Cat"))


def write(folder: Path, **config: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "engine": "random", "needs": "nothing", **config}))
    return str(path)


def test_the_papers_models_and_the_baselines_are_there() -> None:
    rows = list_models()
    assert rows == sorted(rows)
    assert {load_config(row.name).published_as for row in rows} - {None} == PAPER
    assert {"random", "majority", "oracle", "specialist"} <= {row.name for row in rows}
    assert all(row.needs for row in rows)


@pytest.mark.parametrize("name", [row.name for row in list_models()])
def test_a_config_holds_what_its_engine_takes(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    kinds = {"openai": OpenaiSettings, "gemini": GeminiSettings, "process": ProcessSettings}
    if config.engine == "transformers":
        kinds["transformers"] = pytest.importorskip("mma_bench.models.omni.engine").OmniSettings
    if config.engine in kinds:
        kinds[config.engine].model_validate(config.settings)
    else:
        engine = open_engine(name) if config.engine != "specialist" else None
        assert engine is None or engine.name == name


@pytest.mark.parametrize("name", [row.name for row in list_models() if row.engine == "process"])
def test_the_runner_of_a_program_is_there(name: str) -> None:
    (runner,) = [part for part in load_config(name).settings["command"] if part.startswith("{runners}")]
    assert Path(runner.replace("{runners}", str(RUNNERS))).is_file()


def test_pandagpt_has_no_room_for_a_long_context() -> None:
    assert load_config("pandagpt").without == (Condition.LONG_CONTEXT,)


def test_a_config_of_ones_own(tmp_path: Path) -> None:
    engine = open_engine(write(tmp_path, settings={"seed": 3}))
    assert (engine.name, engine.revision) == ("mine", "1-seed3")
    ((answer,),) = engine.answer([ClipTask("a", b"", "aligned", "Bird", "Cat", (PROMPT,))])
    assert isinstance(answer, Answer)
    assert answer.text in PROMPT.options


def test_overrides_take_the_place_of_settings(tmp_path: Path) -> None:
    assert open_engine(write(tmp_path, settings={"seed": 3}), overrides={"seed": 4}).revision == "1-seed4"
    assert open_engine("random", overrides={"seed": 4}).revision == "1-seed4"
    with pytest.raises(ConfigError, match=r"settings\.sead"):
        open_engine("random", overrides={"sead": 4})


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"setings": {}}, "setings"),
        ({"settings": {"sead": 1}}, r"settings\.sead"),
        ({"settings": {"seed": "one"}}, r"settings\.seed"),
        ({"engine": "telepathy"}, "engine"),
        ({"needs": None}, "needs"),
        ({"without": ["long_contxt"]}, "long_contxt"),
        ({"batch": 0}, "batch"),
        ({"engine": "openai", "settings": {}}, r"settings\.model"),
        ({"engine": "openai", "settings": {"model": "m", "api_key": "sk-1"}}, r"settings\.api_key"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, config: dict[str, Any], named: str) -> None:
    path = write(tmp_path, **config)
    with pytest.raises(ConfigError, match=named) as caught:
        open_engine(path)
    assert path in str(caught.value)


def test_files_that_are_no_config(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=r"mine\.yaml does not exist"):
        open_engine(str(path))
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        open_engine(str(path))
    path.write_text(json.dumps(["a"]))
    with pytest.raises(ConfigError, match=r"mine\.yaml is not a mapping"):
        open_engine(str(path))
    with pytest.raises(ConfigError, match="no model 'gpt'") as caught:
        open_engine("gpt")
    assert "specialist" in str(caught.value.hint)


def checkpoint(folder: Path, content: object) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


@pytest.mark.parametrize("kind", ["qwen2_5_omni", "qwen2_5_omni_thinker", "qwen3_omni_moe", "qwen3_omni_moe_thinker"])
def test_a_checkpoint_of_a_known_family_is_a_model(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(tmp_path / "tuned", {"model_type": kind})
    config = load_config(folder, overrides={"dtype": "bfloat16"})
    assert (config.name, config.engine) == ("tuned", "transformers")
    assert config.settings == {"checkpoint": folder, "dtype": "bfloat16"}
    assert load_config(folder, name="mine").name == "mine"
    monkeypatch.chdir(tmp_path)
    assert load_config("tuned").settings == {"checkpoint": "tuned"}
    assert load_config("random", name="mine").name == "mine"
    checkpoint(tmp_path / "random", {"model_type": kind})
    assert load_config("random").engine == "random"
    assert load_config("./random").engine == "transformers"
    with pytest.raises(ConfigError, match="name is empty"):
        load_config("tuned", name=" ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"model_type": "qwen2_vl"}, "'qwen2_vl', which the local engine does not know"),
        ({"model_type": "qwen2_5_omni_talker"}, "'qwen2_5_omni_talker'"),
        ({"model_type": ["qwen2_5_omni"]}, "which the local engine does not know"),
        ({}, "model_type None"),
        ([], "model_type None"),
        ("{", "config.json is not JSON"),
    ],
)
def test_a_checkpoint_of_another_family_is_refused_with_those_known(tmp_path: Path, content: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(checkpoint(tmp_path, content))
    if "JSON" not in says:
        assert "qwen2_5_omni (Qwen2.5-Omni), qwen3_omni_moe (Qwen3-Omni)" in str(caught.value.hint)


def test_what_is_no_checkpoint_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        load_config(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a LoRA adapter") as caught:
        load_config(str(tmp_path))
    assert "--adapter" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="is a file, not a checkpoint"):
        load_config(str(tmp_path / "adapter_config.json"))
    with pytest.raises(ConfigError, match="neither a directory nor a Hub ID"):
        load_config(str(tmp_path / "missing"))
    with pytest.raises(MmaBenchError, match="no/such is not a directory here, and not available on the Hub"):
        load_config("no/such")
    with pytest.raises(ConfigError, match="no model 'missing'") as caught:
        load_config("missing")
    assert "a checkpoint" in str(caught.value.hint)


def test_an_adapter_is_for_transformers_alone() -> None:
    with pytest.raises(ConfigError, match="does not support adapters"):
        open_engine("random", adapter="lora")


def test_an_engine_that_does_not_say_answers_both_modes() -> None:
    assert modes_of(open_engine("random")) == {"generate", "score"}

    class Quiet:
        name = revision = "quiet"
        adapter = adapter_revision = None

        def answer(self, tasks: Any) -> list[list[Answer]]:
            return []

        def close(self) -> None:
            return

    assert modes_of(Quiet()) == {"generate", "score"}
