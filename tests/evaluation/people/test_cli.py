"""`mma-bench review --task answer`: the commands from an empty database to runs, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mma_bench.cli import main
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import claim, items_of
from mma_bench.web import accounts
from tests.evaluation.people.conftest import PASSWORD, answer_all, designed


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command of the task with a database of its own."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, task: str = "answer", given: str | None = None) -> Result:
        database = [] if "--help" in arguments else ["--database", f"sqlite:///{tmp_path / 'people.db'}"]
        return CliRunner().invoke(main, ["review", "--task", task, *arguments, *database], input=given)

    return invoke


def test_the_task_chooses_the_commands(run: Any) -> None:
    assert "--conditions" in run("serve", "--help").output
    assert "--adjudicate" in run("serve", "--help", task="judge").output
    assert "--adjudicate" in CliRunner().invoke(main, ["review", "serve", "--help"]).output
    assert "Copy accounts and answers" in CliRunner().invoke(main, ["review", "--task", "answer", "--help"]).output
    assert run("serve", task="sing").exit_code == 2


def test_from_accounts_to_runs(run: Any, dataset: Path, tmp_path: Path) -> None:
    assert "can log in" in run("add-annotator", "annika", "--password-stdin", given=PASSWORD).output
    assert "can log in" in run("add-annotator", "bertil", "--password-stdin", given=PASSWORD).output
    assert "organiser's page" in run("add-annotator", "olga", "--organiser", "--password-stdin", given=PASSWORD).output
    assert "no questions yet" in run("status").output
    store = Store(f"sqlite:///{tmp_path / 'people.db'}")
    design = designed(dataset, "aligned", limit=3)
    claim(store, design)
    items = {item.id: item for item in items_of(design)}
    people = {
        who: accounts.find_annotator(store, accounts.log_in(store, who, PASSWORD, "")) for who in ("annika", "bertil")
    }
    refused = run("export", "--out", "runs")
    assert refused.exit_code != 0
    assert "nobody has answered all 6 questions yet" in refused.output
    for name, choose in {"annika": 0, "bertil": 1}.items():
        who = people[name]
        assert who is not None
        answer_all(store, who, items, lambda item, shift=choose: item.options[shift] if shift else item.expected)
    store.close()
    told = run("status")
    assert told.exit_code == 0, told.output
    assert "6 questions, 2 people" in told.output
    assert "6 answered" in told.output
    assert "ceiling" in told.output
    written = run("export", "--out", "runs")
    assert written.exit_code == 0, written.output
    assert "next: mma-bench results runs/all" in written.output
    assert "warning: bertil missed" in written.output
    assert (tmp_path / "runs/all/predictions.jsonl").is_file()
    assert "12 rows of answers" in run("backup", "copy.db").output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--conditions", "aligned,frames_zeroed"], "no condition 'frames_zeroed'"),
        (["--protocols", "chain_of_thought"], "people cannot be asked by the protocols 'chain_of_thought'"),
        (["--dataset", "nowhere"], "'nowhere' is not a directory"),
        (["--controls", "2"], "Invalid value"),
        (["--limit", "0"], "Invalid value"),
    ],
)
def test_what_cannot_be_served_is_refused_before_a_database_is_made(
    run: Any, dataset: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    chosen = options if "--dataset" in options else ["--dataset", str(dataset), *options]
    refused = run("serve", *chosen)
    assert refused.exit_code != 0
    assert words in refused.output
    assert not (tmp_path / "people.db").exists()


def test_a_database_of_other_questions_is_refused(run: Any, dataset: Path, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'people.db'}")
    claim(store, designed(dataset, "misaligned"))
    store.close()
    refused = run("serve", "--dataset", str(dataset), "--conditions", "aligned", "--port", "0")
    assert refused.exit_code != 0
    assert "holds answers to other prompts: conditions was ('misaligned',) and is now ('aligned',)" in refused.output
