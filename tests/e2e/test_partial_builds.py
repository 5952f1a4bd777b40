"""Builds of one split only, and a tiny one, run to the end: every stage and gate from the aligned clips on."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from mma_bench import layout
from mma_bench.builders import conflicts, package, pair, report
from mma_bench.config import Params, load_params
from mma_bench.files import write_json
from mma_bench.schema import ALIGNED, CANDIDATES, VERDICTS
from mma_bench.tables import from_rows, read_json, read_table, write_table
from mma_bench.training import sft
from mma_bench.validation.gate import main as gate
from tests.builders.publish import project

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of each of four classes."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        project.make(root)
    return root


def of_profile(profile: str, **splits: list[str]) -> Params:
    """A profile's parameters for a build of these splits, as a user edits them."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "profiles" / profile).read_text(encoding="utf-8"))
    raw["acquire"]["splits"] = splits
    raw["pair"]["donors"] = {"test": 1, "train": 2}
    raw["sft"]["validation_share"] = 0.0  # four clips are too few to hold any out
    raw["workers"] = 1
    layout.PARAMS.write_text(yaml.safe_dump(raw))
    return load_params(layout.PARAMS)


def build(params: Params) -> None:
    """All stages from `pair` on, each with its gate, in the order of dvc.yaml."""
    pair.main(params)
    gate("pairs", params)
    conflicts.main(params)
    gate("variants", params)
    package.main(params)
    report.main(params)
    gate("package", params)
    sft.main(params.sft)
    gate("sft", params)


@pytest.fixture
def start(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts the aligned clips of some splits into a new project, the current folder."""

    def begin(*splits: str) -> None:
        shutil.copytree(whole, tmp_path / "project")
        monkeypatch.chdir(tmp_path / "project")
        monkeypatch.setattr(conflicts, "run", project._here)
        for old in (layout.PACKAGE, layout.VARIANT_CLIPS, layout.VALIDATION):
            shutil.rmtree(old)
        # The second clip of each class, so that no clip of one split is in the other.
        second = pl.when(pl.col("clip_id").str.contains("-test1_")).then(pl.lit("train")).otherwise(pl.lit("test"))
        clips = read_table(layout.ALIGNED, ALIGNED).filter(pl.col("split") == "test").with_columns(split=second)
        clips = clips.sort("clip_id").unique("video_sha256", keep="first", maintain_order=True)
        clips = clips.filter(pl.col("split").is_in(splits))
        write_table(clips, layout.ALIGNED, ALIGNED, ["clip_id"])
        rows = [{**row, "subset": "eval", "status": "ok", "reason": "", "detail": ""} for row in clips.to_dicts()]
        write_table(from_rows(rows, CANDIDATES), layout.CANDIDATES, CANDIDATES, ["clip_id"])
        write_table(from_rows(rows, VERDICTS), layout.VERDICTS, VERDICTS, ["clip_id"])
        for stage in ("acquire", "normalise", "judge", "verify"):
            counts = {split: {"in": n, "ok": n} for split, n in clips.group_by("split").len().iter_rows()}
            write_json(layout.metrics(stage), counts)

    return begin


@pytest.mark.parametrize("splits", [{"test": ["eval"]}, {"test": ["eval"], "train": []}])
def test_a_build_of_test_clips_alone(start: Any, capsys: pytest.CaptureFixture[str], splits: dict[str, Any]) -> None:
    start("test")
    build(of_profile("folder.yaml", **splits))
    assert "has no train split, so there are no tuning examples" in capsys.readouterr().out
    assert read_json(layout.VALIDATION / "package.json")["passed"]
    assert pl.read_parquet(layout.SFT / layout.SFT_EXAMPLES).is_empty()
    assert (layout.SFT / layout.SFT_CLASSES).read_text() == ""
    assert "aligned test clips" in layout.DATASET_PAGE.read_text()


def test_a_build_of_train_clips_alone(start: Any) -> None:
    start("train")
    build(of_profile("audioset.yaml", train=["balanced_train"]))
    assert pl.read_parquet(layout.SFT / layout.SFT_EXAMPLES).height > 0
    page = layout.DATASET_PAGE.read_text()
    assert "aligned train clips" in page
    assert "<video" in page


def test_a_tiny_build_of_both(start: Any) -> None:
    start("test", "train")
    layout.DATASET_PAGE.parent.mkdir(exist_ok=True)
    layout.DATASET_PAGE.write_text("the page of the build before")
    params = of_profile("folder.yaml", test=["eval"], train=["balanced_train"])
    pair.main(params)
    conflicts.main(params)
    package.main(params)
    assert not layout.DATASET_PAGE.exists(), "a page is never of another dataset"
    build(params)
    assert "aligned train clips" in layout.DATASET_PAGE.read_text()
