"""The recipe for a program of one's own, as the page has it."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mma_bench.cli import main
from mma_bench.evaluation.predictions import read_predictions
from tests.docs.pages import ROOT, blocks
from tests.evaluation.packaged import BASES, OPTIONS, packaged_row, write


def test_a_program_of_ones_own_is_asked_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks(ROOT / "docs/evaluate.md"):
        if block.title:
            (tmp_path / block.title).write_text(block.text)
    write(tmp_path / "mma-bench", aligned=[packaged_row(base, "aligned") for base in BASES])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    result = CliRunner().invoke(main, ["evaluate", "--model", "my-model.yaml", "--out", "results/mine"])
    assert result.exit_code == 0, result.output
    answers = read_predictions(tmp_path / "results/mine/predictions.jsonl")
    assert [row.answer for row in answers] == [OPTIONS[0]] * 2 * len(BASES)
    assert (tmp_path / "results/mine/report.html").is_file()
