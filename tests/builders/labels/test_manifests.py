"""The times of a manifest's clips: given or AudioSet's length, and refused where they are none."""

from pathlib import Path

import pytest

from mma_bench.builders.labels.manifests import read_manifest
from mma_bench.builders.labels.segments import read_clip_manifest
from mma_bench.errors import DataError


def manifest(tmp_path: Path, *rows: str, header: str = "clip_id,split,label_ids,start_s,end_s") -> Path:
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_times_are_the_manifests_or_ten_seconds(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a,eval,/m/1,30.5,39", "b,eval,/m/1,,")
    assert [(clip.start_s, clip.end_s) for clip in read_manifest(path)] == [(30.5, 39.0), (0.0, 10.0)]
    rows = read_clip_manifest(path, "mine", {"/m/1"})["mine_eval"].rows.collect()
    assert rows.select("start_s", "end_s").rows() == [(30.5, 39.0), (0.0, 10.0)]
    path = manifest(tmp_path, "a,eval,/m/1", header="clip_id,split,label_ids")
    assert (read_manifest(path)[0].start_s, read_manifest(path)[0].end_s) == (0.0, 10.0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,eval,/m/1,3,", "give both or neither"),
        ("a,eval,/m/1,3,3", "is not after the start"),
        ("a,eval,/m/1,-3,3", "'-3' is not a number of seconds"),
        ("a,eval,/m/1,1e3,3", "'1e3' is not a number of seconds"),
        ("a,eval,/m/1,0.0001,3", "at most three decimals"),
    ],
)
def test_a_wrong_time_is_refused_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(DataError, match=f"line 2.*{said}"):
        read_manifest(manifest(tmp_path, row))
