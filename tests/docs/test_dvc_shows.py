"""`dvc metrics show` fits a terminal, and the page of `dvc plots show` asks nobody for anything."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.evaluation.pages import CHROMIUM, look

ROOT = Path(__file__).parents[2]


def dvc(*arguments: str) -> str:
    told = {**os.environ, "DVC_NO_ANALYTICS": "true", "COLUMNS": "400"}
    return subprocess.run(["dvc", *arguments], cwd=ROOT, env=told, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_the_metrics_fit_a_terminal() -> None:
    lines = dvc("metrics", "show").splitlines()
    assert max(map(len, lines)) <= 110
    assert {line.split()[0] for line in lines[1:]} == {
        "metrics/package.json",
        *(f"results/{run}/lead.json" for run in ("random", "specialist", "tiny-omni")),
    }


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_plots_are_drawn_without_a_network(tmp_path: Path) -> None:
    dvc("plots", "show", "-o", str(tmp_path), "results/random/accuracy.csv")
    html = (tmp_path / "index.html").read_text()
    assert "{scripts}" not in html
    assert not re.search(r"<(script|link)[^>]*(src|href)=", html)
    assert "default-src 'none'" in html
    found = look(tmp_path / "index.html", 1280)
    assert found["fetched"] == []
    assert found["height"] > 250, "the chart was not drawn"
