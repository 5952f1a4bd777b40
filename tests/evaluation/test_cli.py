"""The evaluation's commands, as a person types them, mistakes included."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mma_bench.cli import main
from tests.evaluation.packaged import BASES, packaged_row, write


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    rows = {name: [packaged_row(base, name) for base in BASES] for name in ("aligned", "misaligned", "long_context")}
    for row in rows["long_context"]:
        row["context_seed"] = 7
    return write(tmp_path / "mma-bench", **rows)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.slow
def test_evaluate_writes_predictions_scores_and_three_reports(bench: Path) -> None:
    result = run("evaluate", "--model", "oracle", "--out", "run", "--protocols", "forced_choice,loglikelihood")
    assert result.exit_code == 0, result.output
    assert re.search(r"Both senses right +100\.0 \[[\d., ]+\] %", result.output)
    assert "page: run/report.html\nnext: mma-bench leaderboard .\n" in result.output
    files = {path.name for path in Path("run").iterdir()}
    assert files >= {
        "run.json",
        "predictions.jsonl",
        "scores.json",
        "lead.json",
        "metrics.json",
        "report.md",
        "report.json",
        "report.html",
    }
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["forced_choice"]["misaligned"] == {"visual": 1.0, "audio": 1.0}
    assert "forced_choice · aligned · audio,100.0" in Path("run/accuracy.csv").read_text()


def test_answers_that_are_missing_or_wrong_without_a_class_are_counted(bench: Path) -> None:
    assert run("infer", "--model", "random", "--out", "run", "--conditions", "aligned").output.endswith(
        "next: mma-bench score run\n"
    )
    lines = [json.loads(line) for line in Path("run/predictions.jsonl").read_text().splitlines()]
    for line, status in zip(lines, ("unparseable", "refused", "failed"), strict=False):
        line |= {"status": status, "answer": None, "raw": None if status != "unparseable" else "?"}
        line |= {"error": None if status == "unparseable" else "no"}
    Path("run/predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run("score", "run")
    assert re.search(r"\nUnparseable, wrong +1 of 6", result.output)
    assert re.search(r"\nRefused, not counted +1 of 6", result.output)
    assert re.search(r"\nFailed, not counted +1 of 6", result.output)
    assert "Unsupported" not in result.output


@pytest.mark.slow
def test_the_three_steps_give_what_evaluate_gives(bench: Path) -> None:
    assert run("evaluate", "--model", "random", "--out", "whole").exit_code == 0
    assert run("infer", "--model", "random", "--out", "steps").exit_code == 0
    assert run("score", "steps").exit_code == 0
    assert run("results", "steps", "--dataset", "mma-bench").exit_code == 0
    for name in ("scores.json", "report.json", "report.html"):
        assert Path("whole", name).read_bytes() == Path("steps", name).read_bytes(), name


@pytest.mark.slow
def test_a_leaderboard_of_two_runs(bench: Path) -> None:
    for model in ("random", "oracle"):
        assert run("evaluate", "--model", model, "--out", f"results/{model}").exit_code == 0
    result = run("leaderboard", "results")
    assert result.exit_code == 0
    assert re.search(r"\noracle +1 +100\.0 +100\.0 +100\.0 +forced choice\nrandom +2 ", result.output)
    assert result.output.endswith("next: mma-bench compare results/oracle results/random --out pairs.html\n")
    assert "oracle" in Path("results/leaderboard.md").read_text()


def test_a_condition_that_a_model_cannot_take_is_left_out_aloud(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Path("short.yaml")
    config.write_text("name: short\nengine: random\nneeds: nothing\nwithout: [long_context]\n")
    result = run("infer", "--model", "short.yaml", "--out", "run")
    assert result.exit_code == 0, result.output
    assert "short does not support long_context" in result.output
    assert "long_context" not in Path("run/predictions.jsonl").read_text()


def test_a_run_is_not_resumed_with_another_order_of_the_options(bench: Path) -> None:
    command = ("infer", "--model", "random", "--conditions", "aligned", "--out", "run")
    assert run(*command, "--option-order", "shuffled").exit_code == 0
    orders = {tuple(json.loads(line)["options"]) for line in Path("run/predictions.jsonl").read_text().splitlines()}
    assert orders == {("Bird", "Cat"), ("Cat", "Bird")}
    result = run(*command)
    assert result.exit_code == 2
    assert "holds another run: settings.option_order was 'shuffled' and is now 'sorted'" in result.output


def test_a_run_that_never_got_an_answer_does_not_keep_its_folder(bench: Path) -> None:
    command = ("infer", "--conditions", "aligned", "--out", "run")
    # No server answers there.
    failed = run(*command, "--model", "openai-server", "--set", "base_url=http://127.0.0.1:9/v1", "--set", "model=m")
    assert failed.exit_code != 0
    assert json.loads(Path("run/run.json").read_text())["model"] == "openai-server"
    assert run(*command, "--model", "random").exit_code == 0
    assert json.loads(Path("run/run.json").read_text())["model"] == "random"
    refused = run(*command, "--model", "oracle")
    assert refused.exit_code == 2
    assert "run holds another run: model was 'random' and is now 'oracle'" in refused.output


def test_a_limit_is_recorded_and_may_be_raised_or_dropped(bench: Path) -> None:
    def limit(*options: str) -> Any:
        command = ("infer", "--model", "random", "--name", "mine", "--conditions", "aligned", "--out", "run")
        assert run(*command, *options).exit_code == 0
        found = json.loads(Path("run/run.json").read_text())
        assert found["model"] == "mine"
        return found.get("limit", "none"), len(Path("run/predictions.jsonl").read_text().splitlines())

    assert limit("--limit", "1") == (1, 2)
    assert run("score", "run").exit_code == 0
    assert run("results", "run").exit_code == 0
    assert "A trial run with --limit 1" in Path("run/report.md").read_text()
    assert limit("--limit", "2") == (2, 4)
    assert limit("--limit", "1") == (2, 4)
    assert limit() == ("none", 6)
    assert limit("--limit", "2") == ("none", 6)


def test_a_trial_run_says_so_until_it_is_finished(bench: Path) -> None:
    command = ("infer", "--model", "oracle", "--conditions", "misaligned", "--out", "results/run")
    seen = []
    for limit in (("--limit", "1"), ("--limit", "2"), ("--limit", "1"), (), ("--limit", "1")):
        assert run(*command, *limit).exit_code == 0
        assert run("leaderboard", "results").exit_code == 0
        facts = json.loads(Path("results/run/run.json").read_text())
        board = json.loads(Path("results/leaderboard.json").read_text())
        seen.append((facts.get("limit"), board["runs"][0]["unranked"]))
    assert seen == [(1, "limited"), (2, "limited"), (2, "limited"), (None, None), (None, None)]


@pytest.mark.parametrize(
    ("silence", "asked"),
    [
        (None, {"audio_removed": 1.0}),
        ("drop", {"audio_dropped": 1.0}),
        ("both", {"audio_removed": 1.0, "audio_dropped": 1.0}),
    ],
)
def test_the_scores_name_what_becomes_of_silence(bench: Path, silence: str | None, asked: dict[str, float]) -> None:
    write(bench, audio_removed=[packaged_row(base, "audio_removed") for base in BASES])
    options = ["--silence", silence] if silence else []
    result = run("infer", "--model", "oracle", "--out", "run", *options, "--conditions", "audio_removed")
    assert result.exit_code == 0, result.output
    assert run("score", "run").exit_code == 0
    scores = json.loads(Path("run/scores.json").read_text())
    assert {row["condition"]: row["mean"] for row in scores["accuracy"]} == asked
    assert set(json.loads(Path("run/run.json").read_text())["data"]) == set(asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gpt-0"], "there is no model 'gpt-0'"),
        (["--model", "random", "--protocols", "guess"], "is not a list of protocols"),
        (["--model", "random", "--conditions", "sideways"], "no condition 'sideways'"),
        (["--model", "random", "--conditions", "misalgned"], "did you mean misaligned?"),
        (["--model", "random", "--conditions", ","], "--conditions: ',' names no condition"),
        (["--model", "random", "--protocols", "forced_choise"], "did you mean forced_choice?"),
        (["--model", "randm"], "did you mean random?"),
        (["--model", "random", "--split", "train"], "mma-bench has no split 'train' in any condition"),
        (["--model", "random", "--dataset", "empty"], "the dataset empty cannot be read"),
        (["--model", "random", "--set", "speed"], "is not KEY=VALUE"),
        (["--model", "random", "--set", "speed=3"], "settings.speed"),
        (["--model", "random", "--dataset", "nowhere"], "'nowhere' is not a directory"),
        (["--model", "random", "--adapter", "mine"], "does not support adapters"),
    ],
)
def test_a_mistake_is_named_before_anything_is_asked(bench: Path, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    result = run("infer", "--out", "run", *arguments)
    assert result.exit_code in (1, 2), result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert not Path("run/predictions.jsonl").exists()


@pytest.mark.parametrize("command", ["score", "results", "leaderboard"])
def test_an_empty_folder_is_named(tmp_path: Path, command: str) -> None:
    result = run(command, str(tmp_path))
    assert result.exit_code in (1, 2)
    assert "hint:" in result.output


def test_models_lists_the_papers_eight() -> None:
    listed = run("models").output
    for name in (
        "gemini-2.5-pro",
        "gemini-2.0-flash ",
        "gemini-2.0-flash-lite",
        "qwen3-omni-30b",
        "qwen2.5-omni-7b",
        "videollama2",
        "chatbridge",
        "pandagpt",
    ):
        assert name in listed


def test_a_dataset_without_a_submission_to_check_is_not_ignored(bench: Path) -> None:
    assert run("infer", "--model", "random", "--conditions", "aligned", "--out", "results/run").exit_code == 0
    result = run("leaderboard", "results", "--dataset", "mma-bench")
    assert result.exit_code == 2, result.output
    assert "--dataset: no *.submission.json below results" in result.output
    result = run("leaderboard", "results", "--revision", "v1")
    assert result.exit_code == 2, result.output
    assert "--revision needs --dataset" in result.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--condition", "misalgned"), "unknown condition 'misalgned'\n  hint: did you mean misaligned?"),
        (("--protocol", "forced"), "unknown protocol 'forced'\n  hint: did you mean forced_choice?"),
    ],
)
def test_an_unknown_name_of_what_to_show_is_said_to_be_unknown(bench: Path, option: tuple[str, str], said: str) -> None:
    for name in ("one", "two"):
        assert run("infer", "--model", "random", "--conditions", "misaligned", "--out", name).exit_code == 0
    for command in (("compare", "one", "two", "--out", "pairs.html"), ("clips", "one", "two", "--out", "clips.csv")):
        result = run(*command, *option)
        assert result.exit_code == 2, result.output
        assert said in result.output
