"""The files of a run's folder: what a report needs of them, and whether the scores are those of the predictions."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation import report, score
from mma_bench.evaluation.predictions import read_predictions
from mma_bench.evaluation.run_folder import read_facts, read_scores
from mma_bench.files import write_json
from mma_bench.tables import read_json
from tests.evaluation.runs import answers, write_predictions, write_run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", answers())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", r"run\.json is not a JSON object"),
        ("{}", r"run\.json has no `model`"),
        ('{"model": "m", "adapter": null, "settings": 7, "split": "test"}', r"run\.json: `settings` is 7"),
        (
            '{"model": "m", "adapter": null, "settings": {}, "split": "test", "clips": {"count": 1}}',
            r"run\.json: `clips` is \{'count': 1\}",
        ),
    ],
)
def test_what_is_no_run_is_named_with_what_to_do(out: Path, content: str, said: str) -> None:
    (out / "run.json").write_text(content)
    with pytest.raises(DataError, match=rf"{said}(?s:.*)hint: .*mma-bench evaluate"):
        read_facts(out)


def test_a_missing_run_or_scores_are_made_by_a_command_of_the_evaluation(out: Path) -> None:
    rows = read_predictions(out / "predictions.jsonl")
    with pytest.raises(DataError, match=r"scores\.json does not exist\n  hint: run `mma-bench score .*run`"):
        read_scores(out, rows)
    (out / "scores.json").write_text("{broken")
    with pytest.raises(DataError, match=r"scores\.json is not JSON .*\n  hint: run `mma-bench score .*run`"):
        read_scores(out, rows)
    with pytest.raises(DataError, match=r"run\.json does not exist\n  hint: .*mma-bench evaluate"):
        read_facts(out.parent / "nowhere")
    (out / "run.json").write_text("{broken")
    with pytest.raises(
        DataError, match=r"run\.json is not JSON .*\n  hint: delete it and run the same `mma-bench eval"
    ):
        read_facts(out)


def _changed(rows: list[Any], kind: str) -> list[Any]:
    if kind == "more":
        return [*rows, *(replace(row, key=f"x{row.key}", base_id="x") for row in rows[:2])]
    if kind == "fewer":
        return rows[2:]
    if kind == "another model":
        return [replace(row, model="other") for row in rows]
    right = next(row for row in rows if row.status == "ok" and row.answer == row.expected)
    return [replace(row, answer="Rain") if row is right else row for row in rows]


@pytest.mark.parametrize("kind", ["more", "fewer", "another model", "another answer"])
def test_scores_of_other_predictions_are_refused(out: Path, kind: str) -> None:
    score.main(out)
    report.main(out)
    before = (out / "report.md").read_bytes()
    write_predictions(out / "predictions.jsonl", _changed(answers(), kind))
    with pytest.raises(ConfigError, match=r"scores\.json is not of .*\n  hint: run `mma-bench score"):
        report.main(out)
    assert (out / "report.md").read_bytes() == before
    score.main(out)
    report.main(out)


def test_scores_without_a_table_are_of_an_older_version(out: Path) -> None:
    score.main(out)
    whole = read_json(out / "scores.json")
    rows = read_predictions(out / "predictions.jsonl")
    for content in ([], {}, {name: table for name, table in whole.items() if name != "headline"}, {"headline": []}):
        write_json(out / "scores.json", content)
        with pytest.raises(DataError, match=r"scores\.json .*\n  hint: run `mma-bench score"):
            read_scores(out, rows)


def test_scores_with_seen_classes_or_of_other_intervals_are_of_the_predictions(out: Path) -> None:
    rows = read_predictions(out / "predictions.jsonl")
    score.main(out)
    scores = json.loads((out / "scores.json").read_text())
    scores |= {"by_seen": []}
    for row in scores["accuracy"]:
        row["low"] = 0.0  # as another release may find it
    write_json(out / "scores.json", scores)
    assert read_scores(out, rows) == scores
