"""The commands: what a user types, and what a user's mistake looks like."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mma_bench.commands import ReportingGroup
from mma_bench.training.cli import COMMANDS
from tests.mma_bench.models.omni.omni_plain import checkpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]


@click.group(cls=ReportingGroup)
def program() -> None:
    """The program with these commands alone."""


for each in COMMANDS:
    program.add_command(each)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def arguments(small: Path, out: Path, *settings: str) -> list[object]:
    own = [] if any(setting.startswith("checkpoint=") for setting in settings) else [f"checkpoint={checkpoint()}"]
    given = [part for setting in (*own, *settings) for part in ("--set", setting)]
    return ["train", "--config", "tiny", "--sft", small / "sft", "--dataset", small / "dataset", "--out", out, *given]


@pytest.mark.slow
def test_a_run_by_the_bundled_config_then_a_check_of_what_it_made(small: Path, tmp_path: Path) -> None:
    done = run(*arguments(small, tmp_path / "run", "max_steps=2", "every=2", "learning_rate=1e-2"))
    assert done.exit_code == 0, done.output
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (facts["config_name"], facts["config"]["learning_rate"], facts["steps"]) == ("tiny", 0.01, 2)
    again = run(*arguments(small, tmp_path / "run", "max_steps=2", "every=2", "learning_rate=1e-2"))
    assert again.exit_code == 0
    assert "nothing to do" in again.stderr
    checked = run("adapter", "check", tmp_path / "run" / "adapter", "--base", checkpoint(), "--device-map", "cpu")
    assert checked.exit_code == 0, checked.output
    assert len(checked.stdout.splitlines()) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (["lr=1"], 2, "lr: Extra inputs are not permitted"),
        (["rank"], 2, "is not KEY=VALUE"),
        (["epochs=5"], 2, "set one of epochs and max_steps"),
        (["checkpoint=no/where at all"], 1, "neither a directory nor a Hub ID"),
        (["precision=fp16"], 2, "precision fp16 needs a GPU"),
    ],
)
def test_a_mistake_is_one_message_and_its_exit_code(
    settings: list[str], code: int, message: str, small: Path, tmp_path: Path
) -> None:
    done = run(*arguments(small, tmp_path / "run", *settings))
    assert done.exit_code == code
    assert message in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--sft": "nowhere"}, "nowhere/examples.parquet does not exist"),
        ({"--dataset": "nowhere"}, "'nowhere' is not a directory"),
        ({"--config": "nothing"}, "there is no config 'nothing'"),
        ({"--revision": "main"}, "--revision applies to datasets on the Hub"),
    ],
)
def test_a_place_that_is_not_there_is_said(change: dict[str, str], message: str, small: Path, tmp_path: Path) -> None:
    given = arguments(small, tmp_path / "run")
    for name, value in change.items():
        if name in given:
            given[given.index(name) + 1] = value
        else:
            given += [name, value]
    done = run(*given)
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert "hint:" in done.stderr


def test_a_folder_that_is_no_adapter_is_said(tmp_path: Path) -> None:
    done = run("adapter", "check", tmp_path, "--base", checkpoint(), "--device-map", "cpu")
    assert done.exit_code == 1
    assert "has no adapter_config.json" in done.stderr
