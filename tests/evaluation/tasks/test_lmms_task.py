"""The lmms-eval task folder, without lmms-eval."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mma_bench.evaluation.conditions import CONFIGS, WITHOUT_THE_CLIP, Variant, as_asked
from mma_bench.evaluation.protocols import QUESTIONS, prompts_of
from mma_bench.evaluation.tasks import lmms_task, questions
from mma_bench.evaluation.tasks.cli import tasks_path
from mma_bench.schema import PAPERS_CONDITIONS
from tests.evaluation.tasks.built import row, rows
from tests.mma_bench.models.servers import clip, has_audio_track

FOLDER = Path(CliRunner().invoke(tasks_path, ["lmms-eval"]).output.strip())


class _Loader(yaml.SafeLoader):
    """Reads `!function a.b.c` as lmms-eval does where no file of that name lies beside: as the attribute c of a.b."""


def _attribute(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    module, _, name = loader.construct_scalar(node).rpartition(".")
    return getattr(importlib.import_module(module), name)


_Loader.add_constructor("!function", _attribute)


def _read(name: str) -> Any:
    return yaml.load((FOLDER / name).read_text("utf-8"), _Loader)  # noqa: S506


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What all tasks include."""
    monkeypatch.setenv(questions.DATASET_VARIABLE, str(tmp_path))
    config: dict[str, Any] = _read("_every_condition")
    assert config["dataset_path"] == str(tmp_path)
    return config


def test_the_group_has_a_task_for_every_condition() -> None:
    assert _read("mma_bench.yaml") == {
        "group": "mma_bench",
        "task": [f"mma_bench_{name}" for name in PAPERS_CONDITIONS],
    }
    for condition in PAPERS_CONDITIONS:
        task = _read(f"mma_bench_{condition}.yaml")
        assert (task["task"], task["dataset_name"]) == (f"mma_bench_{condition}", condition)
        assert task["include"] == "_every_condition"
        assert "description" not in task, "lmms-eval would put it before the prompt"
    there = [name for name, config in CONFIGS.items() if config in PAPERS_CONDITIONS and name not in WITHOUT_THE_CLIP]
    assert len(list(FOLDER.glob("*.yaml"))) == len(there) + 1


@pytest.mark.parametrize("variant", [variant for variant in Variant if variant not in WITHOUT_THE_CLIP])
def test_a_variant_has_a_task_that_asks_what_the_package_asks(variant: str, shared: dict[str, Any]) -> None:
    own = _read(f"mma_bench_{variant}.yaml")
    task = {**shared, **own}
    assert (task["task"], task["include"]) == (f"mma_bench_{variant}", "_every_condition")
    docs = shared["process_docs"](rows(task["dataset_name"]))
    asked = prompts_of(as_asked(row(task["dataset_name"]), variant))
    assert [task["doc_to_text"](doc) for doc in docs] == [prompt.text for prompt in asked]


def test_each_row_is_asked_both_questions_in_turn(shared: dict[str, Any]) -> None:
    docs = shared["process_docs"](rows("misaligned", count=3))
    assert [(doc["base_id"], doc["question"]) for doc in docs] == [
        (f"clip{index}", question) for index in range(3) for question in QUESTIONS
    ]
    for doc in docs:
        assert shared["doc_to_text"](doc) == row("misaligned")[f"{doc['question']}_question"]
        assert shared["doc_to_target"](doc) == ("Cat" if doc["question"] == "audio" else "Bird")
        (path,) = shared["doc_to_visual"](doc)
        assert Path(path).read_bytes() == clip(int(doc["base_id"].removeprefix("clip")))


def test_a_doc_holds_no_struct_with_bytes() -> None:
    """lmms-eval copies such a struct into its log as an image."""
    (doc, _) = lmms_task.ask_both(rows("aligned"))
    assert not [name for name, value in doc.items() if isinstance(value, dict)]


def test_audio_removed_is_heard_as_silence_and_audio_dropped_not_at_all() -> None:
    (doc, _) = lmms_task.ask_both(rows("audio_removed"))
    kept, dropped = (Path(visual(doc)[0]) for visual in (lmms_task.visual_of, lmms_task.dropped_visual_of))
    assert kept.read_bytes() == clip()
    assert not has_audio_track(dropped.read_bytes())


def test_every_mark_is_a_metric_and_every_metric_a_mark(shared: dict[str, Any]) -> None:
    marks: dict[str, float] = {}
    for doc in shared["process_docs"](rows("aligned")):
        marks |= shared["process_results"](doc, ["Bird"])
    assert {metric["metric"] for metric in shared["metric_list"]} == set(marks)
    for metric in shared["metric_list"]:
        assert metric["aggregation"] == "mean"
        assert metric["higher_is_better"] == (not metric["metric"].endswith("unparseable"))


def test_generation_is_greedy_and_as_short_as_the_packages_own(shared: dict[str, Any]) -> None:
    wanted = {"max_new_tokens": questions.MAX_NEW_TOKENS, "temperature": 0, "do_sample": False, "until": []}
    assert shared["generation_kwargs"] == wanted
