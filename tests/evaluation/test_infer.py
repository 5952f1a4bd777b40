"""The loop between dataset and model: complete, resumable, and honest about what failed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mma_bench import prompts
from mma_bench.errors import ConfigError
from mma_bench.evaluation.circular import circular, judges_of
from mma_bench.evaluation.conditions import CONDITIONS as EVERY
from mma_bench.evaluation.conditions import CONFIGS
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import Plan, chosen_conditions, infer
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.protocols import OptionOrder, Protocol, Sampling
from mma_bench.models import open_engine
from mma_bench.models.contracts import Answer
from mma_bench.prompts import NONE_OF_THE_ABOVE
from mma_bench.schema import MODALITIES, PAPERS_CONDITIONS
from tests.evaluation import packaged
from tests.evaluation.doubles import OPTIONS, Rows, Scripted, row, says

PAPERS_PROTOCOLS = tuple(Protocol)[:4]  # the others have questions or options of their own


ROWS = [
    *(row(base, "aligned") for base in "abc"),
    *(row(base, "misaligned", audio="Bird") for base in "abc"),
    *(row(base, "frames_zeroed") for base in "abc"),
]
CONDITIONS = ("aligned", "misaligned", "frames_zeroed")


ALL = tuple(condition for condition in EVERY if CONFIGS[condition] in PAPERS_CONDITIONS)


def start(
    out: Path, engine: Scripted, rows: Any = None, protocols: tuple[Protocol, ...] = PAPERS_PROTOCOLS, **plan: Any
) -> dict[str, Prediction]:
    plan = {"conditions": CONDITIONS, "sampling": Sampling(), **plan}
    path = infer(engine, rows or Rows(ROWS), Plan(protocols=protocols, **plan), out, settings={"fps": 2.0})  # type: ignore[arg-type]
    return {prediction.key: prediction for prediction in read_predictions(path)}


def test_every_prompt_gets_one_prediction_that_says_what_it_is(tmp_path: Path) -> None:
    predictions = start(tmp_path, Scripted(says("Cat")))
    # Per base: forced choice and scores under three conditions, abstention under three, chain of thought under two.
    assert len(predictions) == 3 * 2 * (3 + 3 + 3 + 2)
    one = predictions["a.misaligned/audio.forced_choice.0"]
    assert (one.expected, one.other, one.answer, one.raw, one.status) == ("Bird", "Cat", "Cat", "Cat", "ok")
    sampling = {"temperature": 0.0, "seeds": [0], "option_order": "sorted"}
    assert one.settings == {"fps": 2.0, **sampling}
    assert one.dataset_fingerprint == "misaligned 1"
    scored = predictions["a.misaligned/audio.loglikelihood.0"]
    assert (scored.answer, scored.raw) == ("Bird", None)


def test_under_abstention_the_other_modality_is_what_tempts(tmp_path: Path) -> None:
    predictions = start(tmp_path, Scripted(says("Cat")))
    blind = predictions["a.frames_zeroed/visual.abstention.0"]
    assert (blind.expected, blind.other) == ("None of the above", "Cat")
    assert predictions["a.frames_zeroed/visual.forced_choice.0"].other is None


@pytest.mark.parametrize(
    ("protocols", "modes", "said"),
    [
        (
            (Protocol.WRITTEN,),
            {"generate", "score"},
            r"nothing is asked by written under aligned, .*\n.*under three_way$",
        ),
        ((Protocol.LOGLIKELIHOOD,), {"generate"}, "answers none of the protocols"),
    ],
)
def test_a_run_without_a_question_is_refused_before_it_begins(
    tmp_path: Path, protocols: tuple[Protocol, ...], modes: set[str], said: str
) -> None:
    engine = Scripted(says("Cat"))
    engine.modes = frozenset(modes)
    with pytest.raises(ConfigError, match=said):
        start(tmp_path, engine, protocols=protocols)
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    before = start(tmp_path, Scripted(says("Cat")))
    again = Scripted(says("Bird"))
    assert start(tmp_path, again) == before
    assert again.asked == []


def test_unparseable_and_failed_answers_say_so_and_failed_ones_are_tried_again(tmp_path: Path) -> None:
    def reply(task: Any, prompt: Any) -> Answer:
        if task.id == "a.aligned":
            return Answer(prompt.key, error="out of memory at 9 tokens")
        return Answer(prompt.key, text="a cat or a bird")

    predictions = start(tmp_path, Scripted(reply), protocols=(Protocol.FORCED_CHOICE,))
    assert Counter(prediction.status for prediction in predictions.values()) == {"failed": 2, "unparseable": 16}
    assert all(prediction.answer is None for prediction in predictions.values())
    second = Scripted(says("Cat"))
    after = start(tmp_path, second, protocols=(Protocol.FORCED_CHOICE,))
    assert sorted(second.asked) == ["a.aligned/audio.forced_choice.0", "a.aligned/visual.forced_choice.0"]
    assert after["a.aligned/audio.forced_choice.0"].status == "ok"


def test_removed_sound_is_heard_as_silence_and_dropped_sound_not_at_all(tmp_path: Path) -> None:
    heard: dict[str, bool] = {}

    def reply(task: Any, prompt: Any) -> Answer:
        heard[task.condition] = task.hears
        return Answer(prompt.key, text="Cat")

    rows = Rows([row("a", str(condition)) for condition in PAPERS_CONDITIONS])
    predictions = start(tmp_path, Scripted(reply), rows, conditions=ALL)
    assert heard == {condition: condition not in ("audio_dropped", "no_clip") for condition in ALL}
    dropped = predictions["a.audio_dropped/audio.abstention.0"]
    assert (dropped.condition, dropped.expected) == ("audio_dropped", NONE_OF_THE_ABOVE)


def test_an_engine_that_gives_nothing_is_not_scored_as_wrong(tmp_path: Path) -> None:
    predictions = start(
        tmp_path, Scripted(lambda task, prompt: Answer(prompt.key)), protocols=(Protocol.FORCED_CHOICE,)
    )
    assert {prediction.status for prediction in predictions.values()} == {"failed"}


@pytest.mark.parametrize("status", ["unsupported", "refused"])
def test_what_the_model_cannot_take_or_refuses_is_recorded_and_not_asked_again(status: str, tmp_path: Path) -> None:
    def reply(_task: Any, prompt: Any) -> Answer:
        return replace(Answer(prompt.key), **{status: "40,700 tokens do not fit"})

    start(tmp_path, Scripted(reply), protocols=(Protocol.FORCED_CHOICE,))
    second = Scripted(says("Cat"))
    after = start(tmp_path, second, protocols=(Protocol.FORCED_CHOICE,))
    assert second.asked == []
    assert {(row.status, row.error, row.answer) for row in after.values()} == {
        (status, "40,700 tokens do not fit", None)
    }


def test_an_engine_without_scores_is_not_asked_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Scripted(says("Cat"))
    engine.modes = frozenset({"generate"})  # type: ignore[attr-defined]
    predictions = start(tmp_path, engine)
    asked = {prediction.protocol for prediction in predictions.values()}
    assert asked == {*PAPERS_PROTOCOLS} - {Protocol.LOGLIKELIHOOD}
    assert "loglikelihood is skipped" in capsys.readouterr().err


def test_a_run_on_changed_data_is_not_mixed_in(tmp_path: Path) -> None:
    start(tmp_path, Scripted(says("Cat")))
    engine = Scripted(says("Cat"))
    with pytest.raises(ConfigError, match="a run on different data: aligned has changed since"):
        start(tmp_path, engine, Rows(ROWS, version="2"))
    assert engine.asked == []


def test_conditions_can_be_added_to_a_run(tmp_path: Path) -> None:
    start(tmp_path, Scripted(says("Cat")), conditions=("aligned",))
    engine = Scripted(says("Cat"))
    start(tmp_path, engine, conditions=("misaligned",))
    assert {asked.split("/")[0].split(".")[1] for asked in engine.asked} == {"misaligned"}
    assert set(json.loads((tmp_path / "run.json").read_text())["data"]) == {"aligned", "misaligned"}


def test_another_models_run_is_not_mixed_in(tmp_path: Path) -> None:
    start(tmp_path, Scripted(says("Cat")))
    with pytest.raises(ConfigError, match="holds another run: model was 'scripted' and is now 'other'"):
        start(tmp_path, Scripted(says("Cat"), name="other"))


def test_the_order_of_the_options_is_recorded_and_a_run_keeps_it(tmp_path: Path) -> None:
    seen: dict[str, tuple[str, ...]] = {}

    def reply(task: Any, prompt: Any) -> Answer:
        seen[f"{task.id}/{prompt.key}"] = prompt.options
        return says("Cat")(task, prompt)

    shuffled = Sampling(option_order=OptionOrder.SHUFFLED)
    predictions = start(tmp_path, Scripted(reply), sampling=shuffled)
    assert {key: tuple(prediction.options) for key, prediction in predictions.items()} == seen
    assert any(options != tuple(sorted(options)) for options in seen.values())
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["option_order"] == "shuffled"
    with pytest.raises(ConfigError, match=r"holds another run: settings\.option_order was"):
        start(tmp_path, Scripted(says("Cat")))


def test_a_run_records_who_judged_its_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    judge = "omni (qwen2.5-omni-7b)"
    rows = [packaged.packaged_row(base, "aligned") | {"judge": judge} for base in packaged.BASES]
    bench = Benchmark(str(packaged.write(tmp_path / "bench", aligned=rows)))
    start(tmp_path / "run", Scripted(says("Cat"), name="qwen3-omni-30b"), bench, conditions=("aligned",))
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["judge"] == judges_of(run, None) == [judge]
    assert "of the same family (Qwen)" in (circular(run, judges_of(run, None)) or "")


def test_majority_answers_the_most_frequent_class_of_each_condition_and_question(tmp_path: Path) -> None:
    rows = [
        *(
            row(base, "aligned", visual=seen, audio=seen)
            for base, seen in zip("abcd", ("Rain", "Cat") * 2, strict=True)
        ),
        *(row(base, "misaligned", visual="Rain", audio=heard) for base, heard in zip("abc", OPTIONS, strict=True)),
    ]
    majority = open_engine("majority")
    predictions = start(tmp_path, majority, Rows(rows), conditions=("aligned", "misaligned"))  # type: ignore[arg-type]
    said = {(one.condition, one.question, one.protocol): one.answer for one in predictions.values()}
    for protocol in PAPERS_PROTOCOLS:
        assert said["aligned", "visual", protocol] == said["aligned", "audio", protocol] == "Cat"  # a tie with Rain
        assert said["misaligned", "visual", protocol] == "Rain"
        assert said["misaligned", "audio", protocol] == "Bird"  # all three once


def test_all_scores_of_an_option_are_recorded_and_the_answer_is_the_largest_sum(tmp_path: Path) -> None:
    sums, tokens = {"Bird": -4.0, "Cat": -3.0, "Rain": -5.0}, {"Bird": 2, "Cat": 1, "Rain": 3}
    prior = dict.fromkeys(OPTIONS, -9.0)

    def reply(task: Any, prompt: Any) -> Answer:
        assert prompt.prior
        return Answer(prompt.key, logprobs=sums, option_tokens=tokens, prior_logprobs=prior)

    predictions = start(tmp_path, Scripted(reply), protocols=(Protocol.LOGLIKELIHOOD,))
    for one in predictions.values():
        assert (one.logprobs, one.option_tokens, one.prior_logprobs, one.answer) == (sums, tokens, prior, "Cat")


def test_a_dataset_is_asked_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    own = {
        f"{question}_question": f"What is {sense} here? {{Bird, Cat}}"
        for question, sense in (("visual", "seen"), ("audio", "heard"))
    }
    older = {
        condition: [packaged.packaged_row(base, condition) | own | {"prompt_version": "0"} for base in packaged.BASES]
        for condition in ("aligned", "misleading_caption")
    }
    asked: set[tuple[str, str]] = set()

    def reply(task: Any, prompt: Any) -> Answer:
        asked.add((prompt.key, prompt.text))
        return says("Cat")(task, prompt)

    bench = Benchmark(str(packaged.write(tmp_path / "bench", **older)))
    predictions = start(tmp_path / "run", Scripted(reply), bench, conditions=("aligned", "misleading_caption"))
    for question in MODALITIES:
        thinking = prompts.chain_of_thought(question, packaged.OPTIONS)
        declining = prompts.forced_choice(question, [*packaged.OPTIONS, prompts.NONE_OF_THE_ABOVE])
        wanted = {
            "forced_choice": (own[f"{question}_question"], "0"),
            "loglikelihood": (own[f"{question}_question"], "0"),
            # The dataset has no words for these two.
            "abstention": (declining, prompts.PROMPT_VERSION),
            "chain_of_thought": (thinking, prompts.PROMPT_VERSION),
        }
        for protocol, (text, version) in wanted.items():
            assert {said for key, said in asked if key == f"{question}.{protocol}.0"} == {text}
            prediction = predictions[f"a.aligned/{question}.{protocol}.0"]
            assert prediction.prompt_sha256 == hashlib.sha256(text.encode()).hexdigest()
            assert prediction.prompt_version == version


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_batch_size_changes_no_prediction(tmp_path: Path, batch: int) -> None:
    assert start(tmp_path / "b", Scripted(says("Cat")), batch=batch) == start(tmp_path / "1", Scripted(says("Cat")))


def test_a_condition_that_is_not_there_is_named() -> None:
    assert chosen_conditions(Rows(ROWS), []) == CONDITIONS  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no condition 'long_context'") as raised:
        chosen_conditions(Rows(ROWS), ["aligned", "long_context"])  # type: ignore[arg-type]
    assert "aligned, misaligned, frames_zeroed" in str(raised.value)


SCRIPT = """
import sys
from pathlib import Path
from tests.evaluation.doubles import Scripted, says
from tests.evaluation.test_infer import start
start(Path(sys.argv[1]), Scripted(says("Cat"), log=Path(sys.argv[2]), stop_after=int(sys.argv[3])))
"""


@pytest.mark.slow
def test_killed_anywhere_it_repeats_no_finished_prompt(tmp_path: Path) -> None:
    out, log = tmp_path / "run", tmp_path / "asked"
    command = [sys.executable, "-c", SCRIPT, str(out), str(log)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    path = out / "predictions.jsonl"

    def lines() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    for new in (3, 8, 14):
        wanted = lines() + new
        # At the halt, up to eight answers of the last clip have no line yet.
        process = subprocess.Popen([*command, str(new + 8)], env=environment, stderr=subprocess.DEVNULL)
        while lines() < wanted:
            assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "-1"], env=environment, check=True, capture_output=True)
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 66
    asked = Counter(log.read_text().split())
    # A kill may fall between an answer and its line: then, and only then, a prompt is asked twice. A call of the engine
    # answers the prompts of one clip, eight at the most.
    assert sum(asked.values()) - len(asked) <= 3 * 8
