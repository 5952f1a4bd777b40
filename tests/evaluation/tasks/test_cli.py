"""`tasks-path`."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from mma_bench.evaluation.tasks.cli import tasks_path


def test_prints_where_the_tasks_lie() -> None:
    lmms_eval = CliRunner().invoke(tasks_path, ["lmms-eval"])
    assert (Path(lmms_eval.output.strip()) / "mma_bench.yaml").is_file()
    inspect_ai = CliRunner().invoke(tasks_path, ["inspect-ai"])
    file, _, task = inspect_ai.output.strip().partition("@")
    assert f"def {task}(" in Path(file).read_text("utf-8")


def test_an_unknown_harness_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(tasks_path, ["other"])
    assert result.exit_code == 2
    assert "'lmms-eval', 'inspect-ai'" in result.output


def test_the_command_imports_nothing_heavy() -> None:
    code = "import sys, mma_bench.evaluation.tasks.cli; print({'av', 'datasets', 'polars', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
