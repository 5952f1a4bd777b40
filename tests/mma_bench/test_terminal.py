"""What a command prints at its end."""

import shlex
from pathlib import Path

import pytest

from mma_bench.terminal import command, conclude, table


def test_columns_line_up() -> None:
    assert table(("run", "%"), [("a", "7.1"), ("longer", "100.0")]).split("\n") == [
        "run         %",
        "a         7.1",
        "longer  100.0",
    ]


def test_the_table_the_page_and_the_next_command_are_printed_without_colours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conclude(("run", "%"), [("a", "7.1")], page=Path("out/report.html"), then="mma-bench leaderboard out")
    said = capsys.readouterr().out
    assert said.split("\n") == ["run    %", "a    7.1", "page: out/report.html", "next: mma-bench leaderboard out", ""]


def test_without_rows_there_is_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(("run",), [])
    assert capsys.readouterr().out == ""


def test_a_command_can_be_pasted_into_a_shell_whatever_its_paths_are_called() -> None:
    assert command("mma-bench", "score", Path("results/a run")) == "mma-bench score 'results/a run'"
    assert command("mma-bench", "evaluate", "--out", Path("results/$x")) == "mma-bench evaluate --out 'results/$x'"
    assert shlex.split(command("a", "it's", "b;c")) == ["a", "it's", "b;c"]
