"""The command line: help, quick start-up, and mistakes that end without a traceback."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from mma_bench.cli import main
from mma_bench.commands import ReportingGroup, read_overrides
from mma_bench.errors import ConfigError
from mma_bench.layout import STAGES, TABLES

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "great_expectations", "datasets", "polars", "pydantic", "numpy", "av")


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in main.commands)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mma_bench.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\nassert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_mistake_ends_without_a_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--root", str(tmp_path), "build", "pair"])
    assert result.exit_code == 2
    assert "params.yaml does not exist" in result.output
    assert "hint:" in result.output
    assert "Traceback" not in result.output


def test_a_path_that_cannot_be_written_is_named_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    @click.group(cls=ReportingGroup)
    def group() -> None:
        pass

    @group.command()
    def write() -> None:
        (tmp_path / "file" / "out").write_text("")

    result = CliRunner().invoke(group, ["write"])
    assert result.exit_code == 1
    assert "error: " in result.output
    assert "out: Not a directory" in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "nothing"],
        ["build", "pair", "--settle"],
        ["build", "pair", "--retry", "timeout"],
        ["validate", "nothing"],
        ["--root", "/no/such/folder", "doctor"],
    ],
)
def test_unknown_words_are_usage_errors(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_dvc_runs_every_stage_and_every_gate_and_gates_stop_the_build() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {name for name in stages if not name.startswith("validate_")} == {*STAGES, "sft", "validation"}
    assert {name.removeprefix("validate_") for name in stages if name.startswith("validate_")} == set(TABLES)
    for table in set(TABLES) - {"package", "sft"}:  # the report reads the first; training waits for the second
        report = f"reports/validation/{table}.json"
        assert any(report in stage.get("deps", []) for stage in stages.values()), f"no stage waits for {table}'s gate"


def test_every_stage_depends_on_its_own_code_and_its_own_params() -> None:
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if name.startswith("validate_"):
            assert "validation" in stage["deps"]
        else:
            assert {"sft": "training/sft.py", "validation": "validation/report.py"}.get(
                name, f"builders/{name}.py"
            ) in stage["deps"]


def test_no_output_of_a_gate_is_committed_so_that_every_clone_checks_its_own_build() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outs = [out for name, stage in stages.items() if name.startswith("valid") for out in stage["outs"]]
    assert outs == [*(f"reports/validation/{table}.json" for table in TABLES), "reports/validation.html"]
    assert set(outs[:-1]) <= set(stages["validation"]["deps"]), "the page shows every gate"
    tracked = subprocess.run(["git", "ls-files", "reports"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert tracked.stdout == ""


@pytest.mark.parametrize("setting", ["x=[", "x=!!int y", "x=" + "[" * 5000, "x=" + "9" * 5000])
def test_odd_settings_end_without_a_traceback(setting: str) -> None:
    with pytest.raises(ConfigError, match="--set 'x="):
        read_overrides((setting,))


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="--set fps is given twice"):
        read_overrides(("fps=1", "fps=2"))


@pytest.mark.parametrize("command", ["evaluate", "infer", "attend", "train"])
def test_the_dataset_is_no_folder_to_write_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mma-bench").mkdir()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "checksums.sha256").touch()
    (tmp_path / "link").symlink_to("mma-bench")
    for out in ("mma-bench", "copy", "link"):
        result = CliRunner().invoke(main, [command, "--model", "random", "--out", out])
        assert result.exit_code == 2
        assert "is a dataset's folder" in result.output or "No such option '--model'" in result.output


def test_a_nesting_too_deep_ends_without_a_traceback() -> None:
    @click.group(cls=ReportingGroup)
    def group() -> None:
        pass

    @group.command()
    def walk() -> None:
        walk.callback()

    result = CliRunner().invoke(group, ["walk"])
    assert result.exit_code == 1
    assert "nested too deeply" in result.output
    assert isinstance(result.exception, SystemExit)
