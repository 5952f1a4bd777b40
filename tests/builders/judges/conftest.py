"""The judge's real weights, from the cache, and clips of the sample as the build makes them."""

import csv
from pathlib import Path

import pytest

from mma_bench.builders.judges.specialist import Specialist
from mma_bench.config import JudgeParams, Params, load_params

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's own params.yaml."""
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def specialist(params: Params) -> Specialist:
    """The real judge."""
    return Specialist.fetched(params.judge)


@pytest.fixture(scope="session")
def settings(params: Params) -> JudgeParams:
    """The judge's part of params.yaml."""
    return params.judge


@pytest.fixture(scope="session")
def manifest() -> dict[str, dict[str, str]]:
    """Rows of the sample's manifest by clip."""
    with (ROOT / "sample" / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return {row["clip_id"]: row for row in csv.DictReader(stream)}
