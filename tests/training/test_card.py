"""The card of an adapter: what it says is what the run and the evaluations say, and strangers are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import ModelCard

from mma_bench import stats
from mma_bench.commands import ReportingGroup
from mma_bench.errors import ConfigError, DataError, MmaBenchError
from mma_bench.evaluation import score
from mma_bench.evaluation.predictions import Prediction
from mma_bench.files import write_json
from mma_bench.stats import format_estimate
from mma_bench.training import card
from mma_bench.training.cli import adapter
from tests.evaluation.runs import answers, prediction, write_predictions, write_run
from tests.training.card_run import BASE, CLASSES, facts

program = ReportingGroup(commands=adapter.commands)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statistics have tests of their own; here only the time would grow."""
    monkeypatch.setattr(stats, "RESAMPLES", 199)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`base/`, `run/`, `before/` and `after/`, without a model."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base/README.md").write_text("---\nlicense: other\nlicense_name: some-licence\n---\n# Base\n")
    run = tmp_path / "run"
    (run / "adapter").mkdir(parents=True)
    (run / "adapter/adapter_config.json").write_text("{}")
    (run / "adapter/adapter_model.safetensors").write_bytes(b"weights")
    write_json(run / "run.json", facts(tmp_path / "base"))
    log = [{"step": n, "epoch": n / 4, "seconds": n, "loss": 1 / n} for n in range(1, 7)]
    log += [{"step": 4, "epoch": 1.0, "seconds": 4.0, "eval_accuracy": 0.75, "eval_visual": 0.7, "eval_audio": 0.8}]
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    evaluate(tmp_path / "before", answers(seed=1, skill=0.6))
    evaluate(tmp_path / "after", answers(seed=2, skill=0.8), **tuned(run))
    return tmp_path


def tuned(run: Path) -> dict[str, str]:
    from mma_bench.models.omni.load import locate

    return {
        "adapter": str(run / "adapter"),
        "adapter_revision": locate(str(run / "adapter"), None, "adapter_config.json").revision,
    }


def evaluate(out: Path, rows: list[Prediction], **others: Any) -> Path:
    """A folder as `mma-bench evaluate` leaves it."""
    same = {"model_revision": BASE, **others}
    write_run(out, [replace(row, **same) for row in rows])
    score.main(out)
    return out


def make(folder: Path, **others: Any) -> str:
    path = card.main(folder / "run", before=folder / "before", after=folder / "after", **others)
    return path.read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_hub_library_reads_every_accuracy_of_the_scores(folder: Path) -> None:
    data = ModelCard(make(folder, base_name="someone/base")).data
    scores = json.loads((folder / "after/scores.json").read_text())
    found = {
        (each.metric_args["protocol"], each.dataset_config, each.metric_args["question"]): (
            each.metric_value,
            each.metric_args["low"],
            each.metric_args["high"],
            each.metric_args["n"],
        )
        for each in data.eval_results
    }
    expected = {
        (row["protocol"], row["condition"], row["question"]): (row["mean"], row["low"], row["high"], row["n"])
        for row in scores["accuracy"]
    }
    assert found == expected
    assert len(found) == 12
    assert {each.dataset_split for each in data.eval_results} == {"test"}
    assert (data.library_name, data.base_model, data.license, data.license_name) == (
        "peft",
        "someone/base",
        "other",
        "some-licence",
    )
    assert "lora" in data.tags
    assert data.datasets is None  # a folder is none of the Hub's


def test_a_dataset_is_named_where_its_version_is(folder: Path) -> None:
    change_run(folder, lambda run: run["data"].update(dataset="org/mma-bench", revision="1.2.0"))
    for side in ("before", "after"):
        rewritten(folder, side, dataset="org/mma-bench", dataset_revision="1.2.0")
    text = make(folder)
    data = ModelCard(text).data
    assert data.datasets == ["org/mma-bench"]
    assert {(each.dataset_type, each.dataset_revision) for each in data.eval_results} == {("org/mma-bench", "1.2.0")}
    assert "| dataset | org/mma-bench, revision 1.2.0 |" in text


def test_the_tables_show_both_intervals_of_every_condition(folder: Path) -> None:
    results = section(make(folder), "Results")
    for side in ("before", "after"):
        for row in json.loads((folder / side / "scores.json").read_text())["accuracy"]:
            name = row["condition"].replace("_", " ")
            line = next(each for each in results.splitlines() if each.startswith(f"| {name} | {row['question']} |"))
            assert format_estimate(row) in line, (side, line)


def worse_lines(text: str) -> list[str]:
    limits = section(text, "Limits").split("Further:")[0].split("on unseen classes:")[0]
    return [line for line in limits.splitlines() if line.startswith("- ")]


def test_the_limits_name_exactly_what_got_worse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "RESAMPLES", 9_999)  # fewer could not call anything sure

    def rows(right: Callable[[str, str, int], bool]) -> list[Prediction]:
        return [
            prediction(f"clip{number:02}", condition, question, "Bird" if right(condition, question, number) else "Cat")
            for number in range(20)
            for condition in ("aligned", "audio_removed", "frames_zeroed", "long_context")
            for question in ("visual", "audio")
        ]

    lost = {("long_context", "visual"): 14, ("audio_removed", "audio"): 1}
    gained = {("frames_zeroed", "visual")}
    evaluate(folder / "before", rows(lambda condition, question, _: (condition, question) not in gained))
    after = rows(lambda condition, question, number: number >= lost.get((condition, question), 0))
    evaluate(folder / "after", after, **tuned(folder / "run"))
    text = make(folder)
    found = worse_lines(text)
    assert [line.split(" question")[0] for line in found] == ["- long context, visual", "- audio removed, audio"]
    assert "(not significant)" in found[1]
    assert "absent here" in found[1]
    assert "100.0 [83.2, 100.0] % before, 30.0 [11.9, 54.3] % after; −70.0 [" in found[0]
    assert "chance" not in found[0]
    assert "Not measured before and after: misaligned, misleading caption." in text


@pytest.mark.slow
def test_without_a_loss_it_says_so(folder: Path) -> None:
    evaluate(folder / "after", answers(seed=1, skill=0.6), **tuned(folder / "run"))
    assert worse_lines(make(folder)) == []
    assert "No compared condition is below the base." in make(folder)


def test_answers_that_can_no_longer_be_read_are_a_limit(folder: Path) -> None:
    rows = answers(seed=1, skill=0.6)
    evaluate(folder / "before", [replace(row, status="ok", answer=row.answer or "Cat") for row in rows])
    evaluate(
        folder / "after",
        [replace(row, status="ok" if n else "unparseable", answer=(row.answer or "Cat") if n else None)
         for n, row in enumerate(rows)],
        **tuned(folder / "run"),
    )  # fmt: skip
    limits = section(make(folder), "Limits")
    assert "1 of 144 prompts got an answer that names no class or several; without the adapter 0." in limits


def test_answers_that_cannot_be_read_are_wrong_after_the_tuning_too(folder: Path) -> None:
    rows = [
        replace(row, status="unparseable", answer=None) if row.condition == "long_context" else row
        for row in answers(seed=2, skill=0.8)
    ]
    evaluate(folder / "after", rows, **tuned(folder / "run"))
    limits = section(make(folder), "Limits")
    assert "- long context, visual question (forced choice): " in limits
    assert " % before, 0.0 [0.0, " in limits


def test_what_failed_altogether_is_not_called_unharmed(folder: Path) -> None:
    rows = [
        replace(row, status="failed", answer=None, error="HTTP 500") if row.condition == "long_context" else row
        for row in answers(seed=2, skill=0.8)
    ]
    evaluate(folder / "after", rows, **tuned(folder / "run"))
    text = make(folder)
    assert "Forced choice: no answers could be compared under long context." in section(text, "Limits")
    assert "long_context" not in {each.dataset_config for each in ModelCard(text).data.eval_results}


def test_seen_and_unseen_are_split_by_the_runs_own_classes(folder: Path) -> None:
    results = section(make(folder), "Results").split("### Seen and unseen classes")[1]
    table, paper = results.split("The paper’s own results (Table 9)")
    assert "| unseen | misaligned | audio | 24.6 | 55.1 |" in paper
    assert "not comparable" in paper
    unseen = [line for line in table.splitlines() if line.startswith("| unseen |")]
    assert len(unseen) == 12
    evaluation = [row for row in answers(seed=2, skill=0.8) if row.visual_class not in CLASSES]
    aligned = [row for row in evaluation if row.condition == "aligned" and row.question == "visual"]
    right = score.accuracy(aligned)[0]
    assert format_estimate(right) in next(line for line in unseen if "| aligned | visual |" in line)
    heard = [row for row in answers(seed=2, skill=0.8) if row.audio_class not in CLASSES]
    heard = [row for row in heard if row.condition == "misaligned" and row.question == "audio"]
    right = score.accuracy(heard)[0]
    assert format_estimate(right) in next(line for line in unseen if "| misaligned | audio |" in line)
    assert "Tuned on 3 classes: Bird, Cat, Rain." in table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["Bird", "Cat", "Rain", "Bowed_string_instrument"], "say nothing about unseen classes"),
        (["Siren"], "all results above are on unseen classes"),
        ([], "does not record which classes"),
    ],
)
def test_a_group_that_is_empty_is_said(classes: list[str], said: str, folder: Path) -> None:
    change_run(folder, lambda run: run["data"]["sft"].update(classes=classes))
    assert said in make(folder)


def test_classes_come_from_a_file_where_the_run_has_none(folder: Path) -> None:
    (folder / "classes.txt").write_text("Bird\n")
    with pytest.raises(ConfigError, match=r"classes\.txt differs from the classes"):
        make(folder, seen_classes=folder / "classes.txt")
    change_run(folder, lambda run: run["data"]["sft"].pop("classes"))
    assert "Tuned on 1 class: Bird." in make(folder, seen_classes=folder / "classes.txt")


def change_run(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    run = json.loads((folder / "run/run.json").read_text())
    change(run)
    write_json(folder / "run/run.json", run)


def test_every_fact_of_the_run_is_there_and_no_folder_of_its_owner(folder: Path) -> None:
    text = make(folder)
    training = section(text, "Training")
    for fact in (BASE, tuned(folder / "run")["adapter_revision"], "c" * 64, "e" * 64, "1" * 64, "f" * 64):
        assert f"`{fact}`" in training
    for fact in (
        "4,321 of 987,654",
        "1,234 train, 56 validation",
        "CPU (x86\\_64)",
        "fp32",
        "peft 0.21.2",
        "2 min",
        r"`layers\.(q\|v)_proj`",
    ):
        assert fact in training
    assert "| `rank` | 8 |" in training
    assert "| `system` | a \\| b |" in training
    assert "| `conditions` | aligned, misaligned |" in training
    assert "| 4 (kept) | 1.00 |" in training
    assert "secret" not in text
    assert str(folder) not in text
    assert f"({card.CURVE})" in training
    assert (folder / "run" / card.CURVE).read_bytes().startswith(b"\x89PNG")


def test_the_same_facts_give_the_same_bytes(folder: Path) -> None:
    first = make(folder), (folder / "run" / card.CURVE).read_bytes()
    assert (make(folder, out=folder / "elsewhere/card.md"), (folder / "elsewhere" / card.CURVE).read_bytes()) == first


def test_a_results_name_cannot_break_a_table_or_the_metadata(folder: Path) -> None:
    change_run(folder, lambda run: run["data"].update(dataset='x"|\n---\n# y <b>'))
    text = make(folder)
    assert "<b>" not in text.replace("\\<b\\>", "")
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))["library_name"] == "peft"
    assert "\n# y" not in text


def rewritten(folder: Path, side: str, **others: Any) -> None:
    run = json.loads((folder / side / "run.json").read_text())
    write_json(folder / side / "run.json", run | others)


def other_predictions(folder: Path, change: Callable[[list[Prediction]], list[Prediction]]) -> None:
    evaluate(folder / "after", change(answers(seed=2, skill=0.8)), **tuned(folder / "run"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda at: rewritten(at, "after", prompt_version="2"), "differ in version of the prompts: 1 and 2"),
        (lambda at: rewritten(at, "after", split="train"), "differ in split: test and train"),
        (lambda at: rewritten(at, "before", dataset_revision="1.0"), "differ in version of the dataset: 1.0 and None"),
        (lambda at: rewritten(at, "before", settings={"seeds": [1]}), "differ in setting fps"),
        (lambda at: rewritten(at, "before", adapter="x"), "before was made with the adapter x"),
        (lambda at: rewritten(at, "after", adapter_revision="sha256:0"), "with the adapter sha256:0, not with sha256:"),
        (lambda at: rewritten(at, "after", adapter_revision=None), "with the adapter None, not with sha256:"),
        (lambda at: rewritten(at, "before", model_revision="r2"), "was made with the base model r2"),
        (
            lambda at: other_predictions(at, lambda rows: [replace(row, dataset_fingerprint="0") for row in rows]),
            r"differ in version of the dataset \(aligned\)",
        ),
        (lambda at: other_predictions(at, lambda rows: rows[1:]), r"have different prompts .*\(12 and 11\)"),
        (
            lambda at: other_predictions(at, lambda rows: [replace(rows[0], prompt_sha256="1"), *rows[1:]]),
            "have different prompts under forced_choice · aligned · visual",
        ),
        (
            lambda at: (at / "run/adapter/adapter_model.safetensors").write_bytes(b"trained anew"),
            "not with sha256:",
        ),
        (lambda at: (at / "run/run.json").unlink(), "not a finished training run"),
        (lambda at: (at / "run/run.json").write_text('{"model": 1}'), "not from a training run"),
        (lambda at: (at / "run/log.jsonl").unlink(), r"has no log\.jsonl"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: Callable[[Path], Any], message: str, folder: Path) -> None:
    change(folder)
    with pytest.raises(ConfigError, match=message) as caught:
        make(folder)
    assert caught.value.hint
    assert not (folder / "run/README.md").exists()


def test_settings_of_place_may_differ(folder: Path) -> None:
    settings = json.loads((folder / "after/run.json").read_text())["settings"]
    rewritten(folder, "after", settings=settings | {"device_map": "cuda:1", "checkpoint": "elsewhere"})
    assert make(folder)


def test_scores_of_other_predictions_are_refused(folder: Path) -> None:
    write_predictions(
        folder / "after/predictions.jsonl",
        [replace(row, model_revision=BASE, **tuned(folder / "run")) for row in answers(seed=5)],
    )
    with pytest.raises(DataError, match=r"scores\.json does not match its predictions\.jsonl"):
        make(folder)


@pytest.mark.slow
def test_a_licence_is_read_and_never_guessed(folder: Path) -> None:
    assert "licence is some-licence, as the base model's card states" in " ".join(make(folder).split())
    (folder / "base/README.md").unlink()
    text = make(folder)
    assert ModelCard(text).data.license == "unknown"
    assert "licence is unknown: none is stated by the base model's folder, which has no card." in text
    (folder / "theirs.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert ModelCard(make(folder, base_card=folder / "theirs.md")).data.license == "apache-2.0"
    (folder / "theirs.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(MmaBenchError, match=r"theirs\.md: the metadata cannot be read"):
        make(folder, base_card=folder / "theirs.md")


@pytest.mark.parametrize(
    ("given", "message"),
    [(["--base-name", "no name"], "is not a name on the Hub"), (["--base-card", "none.md"], r"none.md does not exist")],
)
def test_the_command_says_a_mistake_in_one_message(given: list[str], message: str, folder: Path) -> None:
    sides = ["--before", str(folder / "before"), "--after", str(folder / "after")]
    done = CliRunner().invoke(program, ["card", str(folder / "run"), *sides, *given])
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_the_command_writes_card_and_curve(folder: Path) -> None:
    sides = ["--before", str(folder / "before"), "--after", str(folder / "after")]
    done = CliRunner().invoke(program, ["card", str(folder / "run"), *sides])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("wrote ")
    assert ModelCard.load(folder / "run/README.md").data.library_name == "peft"
