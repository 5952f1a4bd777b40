"""kill -9 in the middle of `normalise`: the same table and clips as an uninterrupted run, no clip done twice."""

import shutil
from pathlib import Path

import pytest

from mma_bench import layout
from mma_bench.files import file_sha256
from mma_bench.schema import ACQUIRED, NORMALISED
from mma_bench.tables import from_rows, read_table, write_table
from tests.clips import AAC, H264, make, picture, tone
from tests.faults.kill import run_killed_then_resumed

pytestmark = pytest.mark.slow

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


def make_project(root: Path) -> Path:
    """Seven test clips of 2 s: five to be re-encoded, one to be copied, one to be refused."""
    clips = root / layout.ACQUIRED_CLIPS
    clips.mkdir(parents=True)
    shutil.copy(PARAMS, root / "params.yaml")
    rows = []
    for number in range(7):
        path = clips / f"clip{number}.mp4"
        if number < 6:
            codec = H264 if number == 5 else ("-c:v", "mpeg4")
            make(path, *picture(size="320x240"), *tone(hz=300 + 50 * number), *codec, *AAC)
        else:
            path.write_text("no clip")
        rows.append(
            {
                "clip_id": path.stem,
                "split": "test",
                "video_id": path.stem,
                "start_s": 0.0,
                "end_s": 2.0,
                "class_name": "Dog",
                "label_ids": ["/m/0bt9lr"],
                "source": "made",
                "licence": "none",
                "status": "ok",
                "reason": "",
                "detail": "",
                "path": path.relative_to(root).as_posix(),
                "sha256": file_sha256(path),
                "bytes": path.stat().st_size,
            }
        )
    write_table(from_rows(rows, ACQUIRED), root / layout.ACQUIRED, ACQUIRED, ["split", "clip_id"])
    return root


def test_killed_and_resumed_is_as_if_never_killed(project: Path) -> None:
    resumed = run_killed_then_resumed(project, "normalise", after=2)
    table = read_table(resumed.killed / layout.NORMALISED, NORMALISED)
    assert table["status"].to_list() == ["ok"] * 6 + ["refused"]
    for path, sha256 in table.filter(table["status"] == "ok").select("path", "sha256").iter_rows():
        assert file_sha256(resumed.killed / path) == sha256
