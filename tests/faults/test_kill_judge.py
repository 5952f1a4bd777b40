"""kill -9 in the middle of `judge`: the same verdicts as an uninterrupted run, and no clip judged twice."""

from collections import Counter
from pathlib import Path

import pytest

from mma_bench import layout
from mma_bench.files import file_sha256
from mma_bench.schema import NORMALISED, VERDICTS
from mma_bench.tables import from_rows, read_table, write_table
from tests.clips import AAC, H264, make, picture, tone
from tests.faults.kill import run_killed_then_resumed

pytestmark = pytest.mark.slow

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Six clips of 2 s, one of them cut off in the middle."""
    root = tmp_path / "project"
    clips = root / layout.NORMALISED_CLIPS
    clips.mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS.read_text().replace("workers: 2", "workers: 1"))
    rows = []
    for number in range(6):
        path = clips / f"clip{number}.mp4"
        make(path, *picture(), *tone(hz=300 + 50 * number), *H264, *AAC)
        if number == 4:
            path.write_bytes(path.read_bytes()[:5000])
        described = {"clip_id": path.stem, "split": "test", "class_name": "Clock", "duration_s": 2.0, "status": "ok"}
        file = {"path": path.relative_to(root).as_posix(), "sha256": file_sha256(path), "reason": "", "detail": ""}
        rows.append(described | file)
    write_table(from_rows(rows, NORMALISED), root / layout.NORMALISED, NORMALISED, ["split", "clip_id"])
    return root


def test_killed_and_resumed_is_as_if_never_killed(project: Path) -> None:
    resumed = run_killed_then_resumed(project, "judge", after=2)
    verdicts = read_table(resumed.killed / layout.VERDICTS, VERDICTS)
    assert verdicts["status"].to_list() == ["rejected"] * 4 + ["refused", "rejected"]
    clips = read_table(resumed.killed / layout.NORMALISED, NORMALISED)
    assert Counter(entry["key"].split("/")[0] for entry in resumed.after) == Counter(clips["sha256"])
