"""The miniature's figures in the docs are those of its committed results."""

import re
from pathlib import Path
from typing import Any

import pytest

from mma_bench.tables import read_json

RESULTS = Path("training/miniature")
STATES = {
    "base": "base",
    "tuned on both": "tuned",
    "control: aligned only": "aligned_only",
    "control: misaligned only": "misaligned_only",
}
CURVES = {"noise over the sound": "pink_noise", "two sounds": "mixture", "darker picture": "darkness"}


def cells_of(page: str, row: str) -> list[str]:
    """The cells after the first of the row whose first cell begins so; there is exactly one such row."""
    lines = [line for line in Path(f"docs/{page}.md").read_text().splitlines() if line.startswith(f"| {row}")]
    assert len(lines) == 1, lines
    return [cell.strip() for cell in lines[0].strip("|").split("|")[1:]]


@pytest.mark.parametrize("row", STATES)
def test_the_accuracies_are_the_results(row: str) -> None:
    of_state: dict[str, Any] = read_json(RESULTS / "metrics.json")[STATES[row]]
    found = [of_state[condition][asked] for condition in ("aligned", "misaligned") for asked in ("visual", "audio")]
    shown = [
        f"{100 * cell['mean']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]".replace("-", "−")
        for cell in found
    ]
    assert cells_of("tune", f"{row} |") == shown


@pytest.mark.parametrize("row", CURVES)
def test_the_thresholds_are_the_results(row: str) -> None:
    """One for each seed; of one beyond the levels, the bound that is known."""
    thresholds = read_json(RESULTS / "laboratory.json")["thresholds"]
    for state, cell in zip(("base", "tuned"), cells_of("beyond", row), strict=True):
        own = [line for line in thresholds if (line["manipulation"], line["state"]) == (CURVES[row], state)]
        assert [line["seed"] for line in own] == [3, 4, 5]
        shown = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", cell.replace("−", "-"))]
        beyond = [line["threshold"] is None for line in own]
        assert beyond == [cell.startswith("beyond")] * 3
        values = [line["low"] if line["threshold"] is None else line["threshold"] for line in own]
        within = 0.051 if "." in cell else 0.501
        assert shown == pytest.approx(values, abs=within)
