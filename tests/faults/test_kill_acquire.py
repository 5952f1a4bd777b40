"""kill -9 in the middle of `acquire`: the same table and clips as an uninterrupted run, no clip composed twice."""

import csv
import shutil
from pathlib import Path

import pytest

from mma_bench import layout
from mma_bench.files import file_sha256
from mma_bench.schema import ACQUIRED, CANDIDATES
from mma_bench.tables import from_rows, read_table, write_table
from tests.faults.kill import run_killed_then_resumed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Four good pairs of the sample, one without a readable photograph, and a candidate that the sample lacks."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "sample", root / "sample")
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    shutil.copy(ROOT / "tombstones.csv", root / "tombstones.csv")
    (root / "sample" / "photos" / "tp-saw.png").write_text("no image")
    clips = ["cello-1", "violin-1", "trumpet-1", "lion-1", "saw-1", "absent-1"]
    with (root / "sample" / "manifest.csv").open(encoding="utf-8") as stream:
        splits = {row["clip_id"]: row["split"] for row in csv.DictReader(stream)}
    rows = [
        {"subset": f"sample_{splits.get(clip_id, 'eval')}", "clip_id": clip_id, "video_id": clip_id}
        | {"start_s": 0.0, "end_s": 10.0, "label_ids": ["/m/0"], "class_name": "Any"}
        for clip_id in clips
    ]
    write_table(from_rows(rows, CANDIDATES), root / layout.CANDIDATES, CANDIDATES, ["clip_id"])
    return root


def test_killed_and_resumed_is_as_if_never_killed(project: Path) -> None:
    resumed = run_killed_then_resumed(project, "acquire", after=1)
    table = read_table(resumed.killed / layout.ACQUIRED, ACQUIRED)
    outcome = dict(table.select("clip_id", "reason").iter_rows())
    assert {clip_id: reason for clip_id, reason in outcome.items() if reason} == {
        "saw-1": "unreadable_photo",
        "absent-1": "not_in_sample",
    }
    assert table.filter(table["status"] == "ok").height == 4
    for path, sha256 in table.filter(table["status"] == "ok").select("path", "sha256").iter_rows():
        assert file_sha256(resumed.killed / path) == sha256
