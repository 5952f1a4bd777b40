"""A submission is scored like a run, and refused if it states what is not so."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mma_bench.errors import DataError
from mma_bench.evaluation import leaderboard, score
from mma_bench.evaluation.cli import results
from mma_bench.evaluation.predictions import read_predictions
from mma_bench.evaluation.submission import read_submission, write_submission
from mma_bench.files import write_json
from mma_bench.tables import read_json
from tests.evaluation.runs import answers, write_predictions, write_run


def test_a_submission_is_ranked_by_its_answers(tmp_path: Path) -> None:
    rows = [row for row in answers(8) if row.status != "failed"]
    whole = [row for row in answers(8, seed=1) if row.key in {each.key for each in rows} and row.status != "failed"]
    keys = {row.key for row in whole}
    write_predictions(tmp_path / "own" / "predictions.jsonl", [row for row in rows if row.key in keys])
    write_submission(whole, tmp_path / "theirs.submission.json")
    assert read_submission(tmp_path / "theirs.submission.json") == sorted(whole, key=lambda row: row.key)
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
    assert read_submission(path) == read_predictions(out / "predictions.jsonl")


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


def test_the_page_runs_its_own_script_and_no_other(tmp_path: Path) -> None:
    write_predictions(tmp_path / "own" / "predictions.jsonl", answers(4))
    leaderboard.main(tmp_path)
    html = (tmp_path / "leaderboard.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in html
