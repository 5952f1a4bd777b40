"""The previews of the dataset's page: the same whoever makes them, and a broken clip is named."""

from pathlib import Path

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.builders import report
from mma_bench.builders.pages.previews import peaks, preview_of, previews
from mma_bench.config import Params, load_params
from mma_bench.errors import DataError
from mma_bench.schema import VARIANTS
from mma_bench.tables import read_table
from tests.builders.conftest import tiny_clip


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(Path(__file__).parents[2] / "params.yaml")


@pytest.mark.slow
def test_workers_make_the_same_previews_in_the_order_of_the_paths(tmp_path: Path, params: Params) -> None:
    paths = [str(tmp_path / name) for name in "dbca"]
    for number, path in enumerate(paths):
        Path(path).write_bytes(tiny_clip(60 * number, 300 + 100 * number))
    alone = {path: preview_of({"path": path, "share": 50_000}) for path in paths}
    assert len(set(alone.values())) == 4
    for workers in (1, 2):
        made = previews(paths, 50_000, params.model_copy(update={"workers": workers}))
        assert list(made.items()) == list(alone.items())


def test_no_clip_needs_no_preview(params: Params) -> None:
    assert previews([], 50_000, params) == {}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_missing_clip_and_a_broken_one_are_named(tmp_path: Path, params: Params, workers: int) -> None:
    (tmp_path / "good.mp4").write_bytes(tiny_clip(120, 400))
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    asked = params.model_copy(update={"workers": workers})
    for name in ("broken.mp4", "missing.mp4"):
        with pytest.raises(DataError, match=rf"/{name}: this clip of the page cannot be read") as raised:
            previews([str(tmp_path / "good.mp4"), str(tmp_path / name)], 50_000, asked)
        assert raised.value.hint == "run `dvc repro`"


def test_silence_is_a_line_and_sound_is_not(build: Path) -> None:
    rows = read_table(layout.VARIANTS, VARIANTS).filter(pl.col("base_id") == "cat-test0")
    path = dict(rows.select("condition", "path").iter_rows())
    assert set(peaks(Path(path["audio_removed"]))) == {0.0}
    assert max(peaks(Path(path["aligned"]))) > 0.4
    assert len(peaks(Path(path["aligned"]), 50)) == 50


def test_a_broken_clip_of_the_gallery_is_named(build: Path, params: Params) -> None:
    for path in (build / layout.VARIANT_CLIPS).glob("*.mp4"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"data/variants/.*\.mp4"):
        report.main(params)
