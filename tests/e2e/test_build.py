"""`dvc repro` as a user runs it: on a copy of the project with seven clips and the packages of the extra `build` alone,
then again, then with another parameter.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.environment import Environment, closure, make
from tests.e2e.project import dvc, edit_params, fresh

pytestmark = pytest.mark.slow

CLIPS = ("cat-1", "dog-1", "frog-1", "cat-wrong-sound", "dog-2", "rooster-1", "hornet-1")
CONDITIONS = ("aligned", "misaligned", "audio_removed", "frames_zeroed", "misleading_caption", "long_context")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install 'mma-bench[build]'` makes, and a copy of what git tracks, with a manifest of seven rows."""
    environment = make(tmp_path_factory.mktemp("installed"), sorted(closure("build")))
    copy = environment.project = fresh(tmp_path_factory.mktemp("project"))
    manifest = copy / "sample" / "manifest.csv"
    with manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(row for row in rows if row["clip_id"] in CLIPS)
    edit_params(copy, "pair", donors={"test": 1, "train": 1})
    edit_params(copy, "sft", validation_share=0.0)  # seven clips are too few to hold any out
    return environment


@pytest.fixture(scope="module")
def project(installed: Environment) -> Path:
    """The copy, built once."""
    installed.module("dvc repro")
    return installed.project


def test_the_funnel_ends_in_the_papers_counts(project: Path) -> None:
    funnel = json.loads((project / "metrics" / "funnel.json").read_text())
    for subset, segments, candidates in (
        ("eval", 20_371, 3_518),
        ("balanced_train", 22_160, 3_892),
        ("unbalanced_train", 2_041_789, 182_970),
    ):
        counts = dict(funnel[subset])
        assert (counts.pop("segments"), counts["candidates"]) == (segments, candidates)
        assert sum(counts.values()) == segments


def test_the_planted_mismatch_is_rejected_by_the_check_that_should_do_it(project: Path) -> None:
    import polars as pl

    verdicts = pl.read_parquet(project / "data" / "verdicts.parquet")
    reasons = dict(verdicts.select("clip_id", "reason").iter_rows())
    assert reasons["cat-wrong-sound"] == "audio_unimodal"
    assert {clip for clip, reason in reasons.items() if reason == ""} == {
        "cat-1",
        "dog-1",
        "frog-1",
        "dog-2",
        "rooster-1",
    }


def test_the_dataset_loads_under_every_condition(project: Path) -> None:
    code = (
        "import json, datasets; print(json.dumps({name: [row['id'] for row in "
        f"datasets.load_dataset('mma-bench', name, split='test')] for name in {CONDITIONS!r}}}))"
    )
    environment = {**os.environ, "HF_HOME": str(project / ".hf"), "HF_HUB_OFFLINE": "1"}
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    ids = json.loads(loaded.stdout)
    assert {name: len(rows) for name, rows in ids.items()} == dict.fromkeys(CONDITIONS, 3)


def test_every_gate_has_run_here_and_is_on_the_page(project: Path) -> None:
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    gates = [name.removeprefix("validate_") for name in stages if name.startswith("validate_")]
    page = (project / "reports" / "validation.html").read_text()
    for gate in gates:
        assert json.loads((project / "reports" / "validation" / f"{gate}.json").read_text())["passed"]
        assert f'id="{gate}"' in page
    status = subprocess.run(["git", "status", "--short", "reports"], cwd=project, capture_output=True, text=True)
    assert status.stdout == "", "git ignores them"


@pytest.mark.parametrize("command", ["acquire status", "publish diff mma-bench mma-bench", "judge compare params.yaml"])
def test_the_extra_suffices_for_the_commands_beside_the_build(
    installed: Environment, project: Path, command: str
) -> None:
    installed.mma_bench(command)


def test_a_second_build_does_nothing(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    again = dvc(project, "repro")
    ran = [line for line in again.stdout.splitlines() if line.startswith("Running stage")]
    assert ran == ["Running stage 'inputs':"], "it looks at the files that params.yaml names"
    assert (project / "dvc.lock").read_text() == lock


def test_a_broken_invariant_stops_the_build_and_is_named(project: Path) -> None:
    """No picture moves that much: every clip is dropped, the gate before the judge fails, and nothing after it runs."""
    before = (project / "params.yaml").read_text()
    lock = (project / "dvc.lock").read_text()
    try:
        edit_params(project, "validate", min_motion=200.0)
        stopped = dvc(project, "repro")
        assert stopped.returncode != 0
        output = stopped.stdout + stopped.stderr
        assert "split_has_classes_for_its_donors" in output
        assert "validate_normalised" in output
        assert "Running stage 'judge'" not in output
        assert json.loads((project / "metrics" / "normalise.json").read_text())["test"]["still_picture"] > 0
    finally:
        (project / "params.yaml").write_text(before)
        (project / "dvc.lock").write_text(lock)
