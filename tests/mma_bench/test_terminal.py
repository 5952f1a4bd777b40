"""What a command prints at its end."""

from pathlib import Path

import pytest

from mma_bench.terminal import conclude, table


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
