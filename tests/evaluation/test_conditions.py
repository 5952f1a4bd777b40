"""What every engine is sent when the conflict is in the prompt; the two variants are conditions like others."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mma_bench.cli import main
from mma_bench.errors import DataError
from mma_bench.evaluation import score
from mma_bench.evaluation.conditions import CONDITIONS, Variant, as_asked, question_of
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import Plan, chosen_conditions, infer
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.protocols import Protocol, Sampling
from mma_bench.evaluation.report import summarise
from mma_bench.irrelevant_text import LONG_CONTEXT_WORDS, irrelevant_text
from mma_bench.models.contracts import Answer, Engine
from mma_bench.models.openai import OpenaiEngine, OpenaiSettings
from mma_bench.models.process import ProcessEngine, ProcessSettings
from mma_bench.prompts import forced_choice
from tests.evaluation import packaged
from tests.evaluation.doubles import OPTIONS, Rows, Scripted, row
from tests.mma_bench.models.servers import Reply, Request, clip, serving

BOTH_CONTEXTS = ("long_context", "long_context_before")
ROWS = [
    {**row(base, condition), "video": {"bytes": clip(), "path": None}}
    for base in "ab"
    for condition in ("aligned", "misleading_caption", "long_context")
]
LISTENER = """
import json, sys
print(json.dumps({"protocol": 2, "name": "listener", "revision": "1"}), flush=True)
for line in sys.stdin:
    prompts = json.loads(line)["prompts"]
    print(json.dumps({"answers": [{"key": p["key"], "text": p["text"]} for p in prompts]}), flush=True)
"""


def run(engine: Engine, out: Path, conditions: tuple[str, ...], rows: Any = None) -> list[Prediction]:
    plan = Plan(conditions=conditions, protocols=(Protocol.FORCED_CHOICE,), sampling=Sampling())
    try:
        return read_predictions(infer(engine, rows or Rows(ROWS), plan, out, settings={}))
    finally:
        engine.close()


def words_as_tokens(request: Request) -> Reply:
    """A server whose model reads a clip as 100 tokens and a word as one."""
    text = request.body["messages"][0]["content"][-1]["text"]
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 100 + len(text.split()), "completion_tokens": 1, "total_tokens": 0}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return Reply(
        {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )


@pytest.fixture
def at_a_server() -> Iterator[OpenaiEngine]:
    with serving(words_as_tokens) as server:
        yield OpenaiEngine(OpenaiSettings(model="m", base_url=f"{server.url}/v1", api_key_env=None))


def test_a_local_model_a_server_and_a_program_are_sent_the_same_text(tmp_path: Path, at_a_server: OpenaiEngine) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)
    local = Scripted(lambda task, prompt: Answer(prompt.key, text=prompt.text))
    program = ProcessEngine(ProcessSettings(command=[sys.executable, str(tmp_path / "listener.py")]))
    conditions = ("misleading_caption", "misleading_caption_short_answer", *BOTH_CONTEXTS)
    texts = [
        {row.key: row.raw for row in run(engine, tmp_path / engine.name, conditions)}
        for engine in (local, at_a_server, program)
    ]
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]) == 2 * 2 * len(conditions)


def test_the_texts_are_exact() -> None:
    def asked(config: str, condition: str) -> str:
        return question_of(as_asked(row("a", config), condition), "audio")

    question = (
        "Which class best describes the audio content of this video? Options: Bird, Cat, Rain. "
        "Answer using a single word or phrase."
    )
    assert asked("long_context", "long_context") == f"{question} far a ease"
    assert asked("long_context", "long_context_before") == f"far a ease {question}"
    assert asked("misleading_caption", "misleading_caption") == (
        "Video_caption: Rain. Which class best describes the audio content of this video? Options: Bird, Cat, Rain."
    )
    assert asked("misleading_caption", "misleading_caption_short_answer") == f"Video_caption: Rain. {question}"


def test_a_row_without_a_context_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"a\.long_context: no context"):
        question_of({**row("a", "long_context"), "context": None, "context_seed": None}, "audio")


def test_the_length_in_tokens_is_recorded_for_each_prompt_and_reported(
    tmp_path: Path, at_a_server: OpenaiEngine
) -> None:
    predictions = run(at_a_server, tmp_path, ("aligned", *BOTH_CONTEXTS))
    asked = len(forced_choice("audio", OPTIONS).split())
    assert {row.usage["prompt_tokens"] - 100 for row in predictions if row.condition == "aligned"} == {asked}
    assert {row.usage["prompt_tokens"] - 100 for row in predictions if row.condition != "aligned"} == {asked + 3}
    scores = score.score(predictions)
    assert scores["context_tokens"] == [
        {"condition": name, "prompts": 4, "fewest": 3, "median": 3, "most": 3} for name in BOTH_CONTEXTS
    ]
    described = {"model": "m", "adapter": None, "settings": {}}
    notes = summarise(described, scores, predictions)["notes"]
    assert "Under long_context, the irrelevant text takes 3 tokens of this model (median; 3 to 3)." in notes


def test_a_prompt_variant_is_a_condition_of_its_own_in_predictions_and_scores(tmp_path: Path) -> None:
    def reply(task: Any, prompt: Any) -> Answer:
        misled = prompt.text.startswith("Video_caption") and prompt.text.endswith("phrase.")
        return Answer(prompt.key, text="Rain" if misled else "Cat")

    conditions = ("aligned", "misleading_caption", "misleading_caption_short_answer", *BOTH_CONTEXTS)
    predictions = run(Scripted(reply), tmp_path, conditions)
    assert len({row.key for row in predictions}) == len(predictions) == 2 * 2 * len(conditions)
    (one,) = [row for row in predictions if row.key == "b.long_context_before/audio.forced_choice.0"]
    assert (one.id, one.condition, one.base_id) == ("b.long_context_before", "long_context_before", "b")
    scores = score.score(predictions)
    accuracies = {(row["condition"], row["question"]): row["mean"] for row in scores["accuracy"]}
    assert list(dict.fromkeys(condition for condition, _ in accuracies)) == list(conditions)
    assert {key for key, mean in accuracies.items() if mean == 0} == {
        ("misleading_caption_short_answer", question) for question in ("visual", "audio")
    }
    dropped = {row["condition"]: (row["difference"], row["compared_with"], row["unpaired"]) for row in scores["drop"]}
    assert dropped["misleading_caption_short_answer"] == (-1.0, "base", 0)
    assert dropped["misleading_caption"] == dropped["long_context_before"] == (0.0, "base", 0)
    led = {(row["condition"], row["captured_by"]): row["mean"] for row in scores["capture"]}
    assert led["misleading_caption_short_answer", "caption"] == 1.0
    assert led["misleading_caption", "caption"] == 0.0


def test_variants_are_asked_on_request_only() -> None:
    bench: Any = Rows(ROWS)
    assert chosen_conditions(bench, []) == ("aligned", "misleading_caption", "long_context")
    assert chosen_conditions(bench, ["long_context_before"]) == ("long_context_before",)
    assert set(Variant) < set(CONDITIONS)


def test_conditions_beyond_the_paper_are_asked_on_request_only() -> None:
    bench: Any = Rows([*ROWS, row("a", "degraded_audio")])
    assert "degraded_audio" not in chosen_conditions(bench, [])
    everything = ("aligned", "misleading_caption", "long_context", "degraded_audio")
    assert chosen_conditions(bench, ["all"]) == everything
    assert chosen_conditions(bench, ["aligned", "all", "long_context_before"]) == (*everything, "long_context_before")


# The dataset of before the columns for text, which has the seed alone.


def _old_rows() -> list[dict[str, Any]]:
    return [{**packaged.packaged_row(base, "long_context"), "context_seed": 7 + n} for n, base in enumerate("ab")]


@pytest.fixture
def datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.usefixtures("datasets_cache")
def test_an_older_dataset_is_asked_the_text_of_its_seed(tmp_path: Path) -> None:
    old = packaged.write(tmp_path / "old", without=packaged.ADDED, long_context=_old_rows())
    bench = Benchmark(str(old))
    for found, seed in zip(bench.rows("long_context"), (7, 8), strict=True):
        assert "context" not in found
        asked = forced_choice("visual", packaged.OPTIONS)
        assert question_of(found, "visual") == f"{asked} {irrelevant_text(seed, LONG_CONTEXT_WORDS)}"
    # The same prompts, so the same data as those of a dataset with the text.
    rows = [{**each, "context": irrelevant_text(each["context_seed"], LONG_CONTEXT_WORDS)} for each in _old_rows()]
    new = Benchmark(str(packaged.write(tmp_path / "new", long_context=rows)))
    for condition in BOTH_CONTEXTS:
        assert bench.fingerprint(condition) == new.fingerprint(condition)
    assert bench.fingerprint("long_context") != bench.fingerprint("long_context_before")
    rows[1]["context"] = "another text"
    other = Benchmark(str(packaged.write(tmp_path / "other", long_context=rows)))
    for condition in BOTH_CONTEXTS:
        assert other.fingerprint(condition) != new.fingerprint(condition)


@pytest.mark.usefixtures("datasets_cache")
def test_an_older_dataset_has_the_short_answer_sentence_too(tmp_path: Path) -> None:
    rows = [{**packaged.packaged_row("a", "misleading_caption"), "visual_question": "Video_caption: Cat. Which class?"}]
    bench = Benchmark(str(packaged.write(tmp_path / "old", without=packaged.ADDED, misleading_caption=rows)))
    (found,) = bench.rows("misleading_caption_short_answer")
    assert question_of(found, "visual") == "Video_caption: Cat. Which class? Answer using a single word or phrase."


@pytest.mark.slow
@pytest.mark.usefixtures("datasets_cache")
def test_the_command_takes_variants_and_a_model_without_long_context_skips_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    aligned = [packaged.packaged_row(base, "aligned") for base in "ab"]
    packaged.write(tmp_path / "mma-bench", aligned=aligned, long_context=_old_rows())
    (tmp_path / "short.yaml").write_text("name: short\nengine: oracle\nneeds: nothing\nwithout: [long_context]\n")
    for model, left in (("oracle", {"aligned", *BOTH_CONTEXTS}), ("short.yaml", {"aligned"})):
        arguments = ["evaluate", "--model", model, "--conditions", "aligned,long_context,long_context_before"]
        result = CliRunner().invoke(main, [*arguments, "--out", model.removesuffix(".yaml")])
        assert result.exit_code == 0, result.output
        metrics = json.loads(Path(model.removesuffix(".yaml"), "metrics.json").read_text())
        assert metrics["forced_choice"].keys() - {"headline"} == left
    assert "short does not support long_context, long_context_before" in result.output
    assert "long_context_before" in Path("oracle/report.md").read_text().replace(" ", "_")
