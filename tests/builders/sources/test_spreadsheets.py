"""The lists that people keep are read as a spreadsheet saves them: no removed clip comes back through a semicolon."""

from pathlib import Path

import pytest

from mma_bench.builders.sources.tombstones import read_tombstones
from mma_bench.errors import DataError
from mma_bench.frozen import read_frozen_manifest

ID = "-abc_1Y34_Z"


def test_tombstones_and_manifests(tmp_path: Path) -> None:
    stones = tmp_path / "tombstones.csv"
    stones.write_bytes(f'\ufeffid;reason;date\r\n"=""{ID}""";asked; 2026-01-01\r\n;;\r\n'.encode())
    assert list(read_tombstones(stones)) == [ID]
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(f"\ufeffsplit;clip_id;video_id\r\ntest;'{ID}_30000;'{ID}\r\n".encode())
    assert read_frozen_manifest(manifest)["clip_id"].to_list() == [f"{ID}_30000"]


def test_an_id_that_a_spreadsheet_has_lost_is_refused(tmp_path: Path) -> None:
    stones = tmp_path / "tombstones.csv"
    stones.write_text("id,reason,date\n#NAME?,asked,2026-01-01\n")
    with pytest.raises(DataError, match="line 2, column 'id': a spreadsheet has replaced the text by #NAME"):
        read_tombstones(stones)
