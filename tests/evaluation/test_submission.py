"""A submission is scored like a run, and refused if it states what is not so."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mma_bench.errors import DataError
from mma_bench.evaluation import leaderboard, score
from mma_bench.evaluation.cli import evaluate, results
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.predictions import Prediction, read_predictions, to_entry
from mma_bench.evaluation.submission import read_submission, write_submission
from mma_bench.files import write_json
from mma_bench.tables import read_json
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.evaluation.runs import CLASSES, answers, prediction, write_predictions, write_run


def test_a_submission_is_ranked_by_its_answers(tmp_path: Path) -> None:
    rows = whole(seed=1)
    write_predictions(tmp_path / "own" / "predictions.jsonl", whole())
    write_submission(rows, tmp_path / "theirs.submission.json")
    assert read_submission(tmp_path / "theirs.submission.json").predictions == sorted(rows, key=lambda row: row.key)
    board = leaderboard.main(tmp_path)
    assert [run["run"] for run in board["runs"]] == ["own", "theirs (submitted)"]
    assert all(run["rank"]["forced_choice"] for run in board["runs"])
    assert board["pairs"]


def test_the_command_writes_it_under_a_name_that_the_leaderboard_finds(tmp_path: Path) -> None:
    out = write_run(tmp_path / "run", answers(2))
    score.main(out)
    refused = CliRunner().invoke(results, [str(out), "--submission", str(tmp_path / "a.json")])
    assert refused.exit_code == 2
    assert "must end in .submission.json" in refused.output
    path = tmp_path / "a.submission.json"
    written = CliRunner().invoke(results, [str(out), "--submission", str(path)], catch_exceptions=False)
    assert written.exit_code == 0
    assert read_submission(path).predictions == read_predictions(out / "predictions.jsonl")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "not a submission of format 1"),
        ({"prompt_version": "other"}, "`prompt_version` is not that of its predictions"),
        ({"data": {"aligned": "0" * 64}}, "`data` is not that"),
        ({"counts": {}}, "`counts` is not that"),
        ({"model": "a better one"}, "`model` is not that"),
        ({"predictions": []}, "contains no predictions"),
        ({"predictions": [{}]}, "entry 1 of `predictions` is not a prediction"),
    ],
)
def test_what_is_not_so_is_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "a.submission.json"
    write_submission(answers(2), path)
    write_json(path, {**read_json(path), **change})
    with pytest.raises(DataError, match=said):
        leaderboard.main(tmp_path)


def test_a_dropped_or_doubled_answer_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.submission.json"
    write_submission(answers(2), path)
    content = read_json(path)
    write_json(path, {**content, "predictions": content["predictions"][1:]})
    with pytest.raises(DataError, match="`counts` is not that"):
        read_submission(path)
    write_json(path, {**content, "predictions": [*content["predictions"], content["predictions"][0]]})
    with pytest.raises(DataError, match="answers a prompt twice"):
        read_submission(path)


def whole(clips: int = 8, seed: int = 0) -> list[Prediction]:
    """A run without failures."""
    rows = answers(clips, seed)
    return [
        replace(row, status="ok", answer="Rain", raw="Rain", error=None) if row.status == "failed" else row
        for row in rows
    ]


def forged(tmp_path: Path, **change: Any) -> Path:
    """A run of one's own, and a submission whose first misaligned row says something else about what was asked."""
    write_predictions(tmp_path / "own" / "predictions.jsonl", whole())
    rows = whole(seed=1)
    at = next(number for number, row in enumerate(rows) if row.condition == "misaligned")
    rows[at] = replace(rows[at], **change)
    path = tmp_path / "theirs.submission.json"
    write_submission(rows, path)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"expected": "Rain"},
        {"options": ["Bird", "Cat"], "answer": None, "raw": "hm", "status": "unparseable"},
        {"base_id": "another"},
        {"donor_id": "another"},
        {"visual_class": "Rain"},
        {"audio_class": "Rain"},
        {"other": None},
        {"caption": "Rain"},
        {"class_distance": 9},
        {"prompt_sha256": "1" * 64},
    ],
)
def test_what_was_asked_is_that_of_the_other_runs(tmp_path: Path, change: dict[str, Any]) -> None:
    forged(tmp_path, **change)
    with pytest.raises(DataError, match=f"clip00.misaligned, .*`{next(iter(change))}`"):
        leaderboard.main(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "ok", "answer": "Rain", "raw": "Bird"}, "its raw output says 'Bird'"),
        ({"status": "unparseable", "answer": None, "raw": "Bird"}, "its raw output says 'Bird'"),
        ({"status": "ok", "answer": "Bird", "raw": None}, "its raw output says None"),
        ({"status": "unsupported", "answer": "Bird", "raw": None}, "there can be no `answer`"),
        ({"key": "x"}, "which is not that of its id and prompt"),
        ({"id": "x"}, "which is not that of its id and prompt"),
        ({"protocol": "guess", "key": "clip00.misaligned/visual.guess.0"}, "unknown protocol 'guess'"),
        ({"logprobs": {"Bird": 0.0}}, "under loglikelihood only"),
        ({"options": []}, "no options"),
    ],
)
def test_an_answer_is_what_its_raw_output_says(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_submission(forged(tmp_path, **change))


def test_scores_are_finite_numbers_for_each_option(tmp_path: Path) -> None:
    path = tmp_path / "a.submission.json"
    for scores in ({"Bird": 0.0}, dict.fromkeys(CLASSES, float("nan"))):
        row = prediction(protocol="loglikelihood", raw=None, logprobs=scores)
        path.write_text(json.dumps({"format": 1, "predictions": [to_entry(row)]}))
        with pytest.raises(DataError, match="finite number for each option"):
            read_submission(path)


def reasons(board: dict[str, Any]) -> dict[str, str | None]:
    return {run["run"].removesuffix(" (submitted)"): run["unranked"] for run in board["runs"]}


def test_what_cannot_be_checked_is_not_ranked_and_outvotes_nobody(tmp_path: Path) -> None:
    write_predictions(tmp_path / "own" / "predictions.jsonl", whole())
    for name in ("a", "b"):  # two with invented data against one run of one's own
        rows = [replace(row, dataset_fingerprint="0" * 64, expected="Rain") for row in whole()]
        write_submission(rows, tmp_path / f"{name}.submission.json")
    more = [*whole(), prediction("new", "misaligned", "audio"), prediction("new", "misaligned")]
    write_submission(more, tmp_path / "more.submission.json")
    seeds = [replace(row, seed=1, key=f"{row.key[:-1]}1") for row in whole() if row.base_id == "clip00"]
    write_submission([*whole(), *seeds], tmp_path / "seeds.submission.json")
    few = [row for row in whole() if row.base_id != "clip03"]
    write_submission(few, tmp_path / "few.submission.json")
    no = {"status": "unsupported", "answer": None, "raw": None, "error": "too long"}
    declined = [replace(row, **no) if row.id == "clip03.misaligned" else row for row in whole()]
    write_submission(declined, tmp_path / "declined.submission.json")
    write_submission(few, tmp_path / "limited.submission.json", limit=7)
    write_submission(whole(seed=2), tmp_path / "honest.submission.json")
    assert reasons(leaderboard.main(tmp_path)) == {
        "own": None,
        "honest": None,
        **dict.fromkeys(("a", "b", "more", "seeds"), "unchecked"),
        **dict.fromkeys(("few", "declined"), "incomplete"),
        "limited": "limited",
    }


def test_alone_it_is_checked_against_the_dataset(tmp_path: Path) -> None:
    rows = [packaged_row(base, "misaligned") for base in BASES]
    dataset = write(tmp_path / "data", misaligned=rows)
    out = tmp_path / "run"
    told = [*("--model", "random", "--dataset", str(dataset), "--unchecked", "--out", str(out))]
    assert CliRunner().invoke(evaluate, told, catch_exceptions=False).exit_code == 0
    path = tmp_path / "board" / "theirs.submission.json"
    assert CliRunner().invoke(results, [str(out), "--submission", str(path)], catch_exceptions=False).exit_code == 0
    assert reasons(leaderboard.main(path.parent)) == {"theirs": "unchecked"}
    benchmark = Benchmark(str(dataset))
    assert reasons(leaderboard.main(path.parent, benchmark)) == {"theirs": None}
    asked = read_predictions(out / "predictions.jsonl")
    write_submission([row for row in asked if row.base_id != "b"], path)
    assert reasons(leaderboard.main(path.parent, benchmark)) == {"theirs": "incomplete"}
    write_submission([replace(row, expected="Bird") if row.base_id == "b" else row for row in asked], path)
    with pytest.raises(DataError, match=r"b\.misaligned, .*`expected` is 'Bird', but it was 'Cat'"):
        leaderboard.main(path.parent, benchmark)


def test_limited_and_unfinished_runs_are_marked_and_not_ranked(tmp_path: Path) -> None:
    data = dict.fromkeys(("aligned", "misaligned"), "f" * 64)
    rows = [row for row in whole() if row.condition in data]
    write_run(tmp_path / "limited", [row for row in rows if row.base_id < "clip03"], data=data, limit=3)
    assert reasons(leaderboard.main(tmp_path)) == {"limited": "limited"}
    write_run(tmp_path / "stopped", [row for row in rows if row.condition == "misaligned"], data=data)
    write_run(
        tmp_path / "half", [row for row in rows if row.key != "clip07.misaligned/audio.forced_choice.0"], data=data
    )
    write_run(tmp_path / "reworded", [replace(row, prompt_version="2") for row in rows], data=data)
    write_run(tmp_path / "whole", rows, data=data)
    assert reasons(leaderboard.main(tmp_path)) == {
        "half": "incomplete",
        "limited": "limited",
        "reworded": "other prompts",
        "stopped": "incomplete",
        "whole": None,
    }


def test_the_page_runs_its_own_script_and_no_other(tmp_path: Path) -> None:
    write_predictions(tmp_path / "own" / "predictions.jsonl", answers(4))
    leaderboard.main(tmp_path)
    html = (tmp_path / "leaderboard.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in html
