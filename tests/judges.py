"""The specialist's real weights, from the cache, the judge's parameters, the sample's manifest and its calibration."""

import csv
from pathlib import Path

import pytest

from mma_bench.config import JudgeParams, Params, load_params
from mma_bench.evaluation.judges.operating_point import Pair
from mma_bench.models.specialist.specialist import Specialist

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's own params.yaml."""
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def specialist() -> Specialist:
    """The real networks."""
    return Specialist.fetched()


@pytest.fixture(scope="session")
def settings(params: Params) -> JudgeParams:
    """The judge's part of params.yaml."""
    return params.judge


@pytest.fixture(scope="session")
def manifest() -> dict[str, dict[str, str]]:
    """Rows of the sample's manifest by clip."""
    with (ROOT / "sample" / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return {row["clip_id"]: row for row in csv.DictReader(stream)}


def read_calibration() -> list[Pair]:
    """The listed pairs of calibration.csv."""
    with (ROOT / "evaluation" / "judges" / "calibration.csv").open(encoding="utf-8", newline="") as stream:
        return [
            Pair(row["clip_id"], row["modality"], row["class"], row["label"] == "1", float(row["score"]))
            for row in csv.DictReader(stream)
        ]
