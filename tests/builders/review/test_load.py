"""Fifty people who vote at once over HTTP lose nothing; `benchmarks/review.py` does the same for a minute."""

import runpy
from pathlib import Path

ANNOTATORS = 50


def test_fifty_people_at_once_lose_no_vote(tmp_path: Path) -> None:
    simulate = runpy.run_path("benchmarks/review.py")["simulate"]
    load = simulate(f"sqlite:///{tmp_path / 'review.db'}", ANNOTATORS, 40, 2.0)
    assert load.promised == load.kept >= ANNOTATORS
