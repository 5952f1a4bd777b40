"""kill -9 in the middle of `conflicts`: the next run ends with the bytes of an uninterrupted one."""

import shutil
from pathlib import Path

import pytest

from mma_bench import layout
from mma_bench.files import file_sha256
from mma_bench.media.facts import media_facts
from mma_bench.schema import ALIGNED, PAIRS, VARIANTS
from mma_bench.tables import from_rows, read_table, write_table
from tests.clips import AAC, H264, make, picture, tone
from tests.e2e.project import edit_params
from tests.faults.kill import run_killed_then_resumed

pytestmark = pytest.mark.slow

CLASSES = ("Bird", "Cat", "Dog", "Train")
# Of each kind of media one: copied streams, streams encoded anew, another clip's, and rows that point at aligned media.
CONDITIONS = ["aligned", "misaligned", "audio_removed", "frames_zeroed", "misleading_caption", "mixed_audio"]


def aligned_project(root: Path) -> None:
    """One test clip of each class, and every ordered pair of them."""
    rows = []
    for number, name in enumerate(CLASSES):
        path = root / layout.NORMALISED_CLIPS / f"{name}.mp4"
        make(path, *picture(2, "320x240", "15"), *tone(2, 200 + 50 * number), *H264, *AAC)
        rows.append(
            {
                **{"clip_id": name, "split": "test", "video_id": name, "start_s": 0.0, "end_s": 2.0},
                **{"class_name": name, "label_ids": [name], "source": "sample", "licence": "CC0-1.0"},
                **{"path": path.relative_to(root).as_posix(), "sha256": file_sha256(path)},
                **media_facts(path),
                **{"judge": "specialist", "human_verified": False},
            }
        )
    pairs = [
        {"split": "test", "base_id": base, "donor_id": donor, "rank": 0, "class_distance": 2}
        for base in CLASSES
        for donor in CLASSES
        if base != donor
    ]
    write_table(from_rows(rows, ALIGNED), root / layout.ALIGNED, ALIGNED, ["split", "clip_id"])
    write_table(from_rows(pairs, PAIRS), root / layout.PAIRS, PAIRS, ["base_id", "donor_id"])
    shutil.copy(Path(__file__).parents[2] / "params.yaml", root / layout.PARAMS)
    steps = {"mixed_audio": {"mixture": [12, -12]}}
    edit_params(root, "conflicts", conditions={"test": CONDITIONS, "train": ["aligned", "misaligned"]}, steps=steps)


def test_a_killed_build_of_the_variants_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    project = tmp_path / "project"
    aligned_project(project)
    seen = run_killed_then_resumed(project, "conflicts", after=3)
    table = read_table(seen.killed / layout.VARIANTS, VARIANTS)
    # Media of 12 pairs, each in 2 mixtures as well, and of 2 ablations of 4 clips; 2 conditions point at those aligned.
    media = 12 + 12 * 2 + 2 * 4
    assert table["status"].to_list() == ["ok"] * (media + 2 * 4)
    files = [path for path in (seen.killed / layout.VARIANT_CLIPS).rglob("*") if path.is_file()]
    assert len(files) == media  # no stray, no part of a file
