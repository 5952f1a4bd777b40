"""A published list is imported and built to the end: its clips, its pairs, its preprocessing, and nothing else."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.schema import ALIGNED, NORMALISED, PAIRS, VARIANTS, VERDICTS
from mma_bench.tables import read_table
from tests.clips import make
from tests.e2e.project import command, composed, dvc, edit_params, fresh

pytestmark = pytest.mark.slow

# Video → sample clip, label of the list, split; each from 30 s to 40 s.
CLIPS = {
    "catcatcat-1": ("cat-1", "Cat", "test"),
    "dogdogdog-1": ("dog-1", "Canidae", "test"),
    "frogfrogf-1": ("frog-1", "Frog", "test"),
    "gonegoneg-1": ("", "Frog", "test"),  # its video is not there any more
    "roosterro-1": ("rooster-1", "Fowl", "train"),
    "dogdogdog-2": ("dog-2", "Canidae", "train"),
    "cowcowcow-2": ("cow-2", "Cattle", "train"),
}
DONORS = {
    "catcatcat-1": ["gonegoneg-1"],
    "dogdogdog-1": ["catcatcat-1"],
    "frogfrogf-1": ["dogdogdog-1"],
    "gonegoneg-1": ["dogdogdog-1"],
    "roosterro-1": ["dogdogdog-2", "cowcowcow-2"],
    "dogdogdog-2": ["roosterro-1"],
    "cowcowcow-2": ["dogdogdog-2"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `mma-bench authors import` and `dvc repro`."""
    root = fresh(tmp_path_factory.mktemp("project"), "profiles/authors.yaml")
    sources = composed(tmp_path_factory.mktemp("sources"), *(source for source, _, _ in CLIPS.values() if source))
    folder = root / "clips"
    folder.mkdir()
    for video, (source, _, _) in CLIPS.items():
        if source == "cow-2":  # shorter than the paper's training clips
            make(folder / f"Y{video}.mp4", "-i", str(sources[source]), "-t", "6", "-c", "copy")
        elif source:
            shutil.copyfile(sources[source], folder / f"Y{video}.mp4")
    (folder / "Ycatcatcat-1_repDiff_Canidae_0.mp4").write_bytes(b"a misaligned clip of the authors")
    listed = {
        split: [
            {"id": f"Y{video}", "start": 30, "label": label, "donors": DONORS[video]}
            for video, (_, label, where) in CLIPS.items()
            if where == split
        ]
        for split in ("test", "train")
    }
    (root / "list.json").write_text(json.dumps(listed))
    told = command(root, "mma_bench.cli", "authors", "import", "list.json")
    assert told.returncode == 0, told.stdout + told.stderr
    edit_params(root, "acquire", source="folder", folder="clips")
    edit_params(root, "sft", validation_share=0.0)
    done = dvc(root, "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pair: 5 of 8 pairs of manifests/authors/pairs.csv are kept" in done.stderr, done.stderr
    return root


def test_the_clips_are_the_lists_and_none_is_judged(project: Path) -> None:
    aligned = read_table(project / layout.ALIGNED, ALIGNED)
    there = {f"{video}_30000" for video, (source, _, _) in CLIPS.items() if source}
    assert set(aligned["clip_id"]) == there
    assert dict(aligned.select("clip_id", "class_name").iter_rows())["cowcowcow-2_30000"] == "Cattle"
    verdicts = read_table(project / layout.VERDICTS, VERDICTS)
    assert verdicts["judge"].unique().to_list() == ["none (checked by the paper's authors, with Qwen2.5-Omni-7B)"]
    assert verdicts["visual_unimodal_score"].null_count() == verdicts.height


def test_the_pairs_are_the_lists_as_far_as_both_clips_are_there(project: Path) -> None:
    pairs = read_table(project / layout.PAIRS, PAIRS)
    found = {
        (base.removesuffix("_30000"), donor.removesuffix("_30000"))
        for base, donor in pairs.select("base_id", "donor_id").iter_rows()
    }
    # The cow's sound is too short for the rooster's picture.
    assert found == {
        ("dogdogdog-1", "catcatcat-1"),
        ("frogfrogf-1", "dogdogdog-1"),
        ("roosterro-1", "dogdogdog-2"),
        ("dogdogdog-2", "roosterro-1"),
        ("cowcowcow-2", "dogdogdog-2"),
    }
    counts = json.loads((project / layout.metrics("pair")).read_text())
    assert (counts["test"]["donor_missing"], counts["test"]["base_missing"]) == (1, 1)
    assert counts["train"]["donor_too_short"] == 1
    variants = read_table(project / layout.VARIANTS, VARIANTS).filter(pl.col("condition") == "misaligned")
    assert set(variants["base_id"].str.strip_suffix("_30000")) == {base for base, _ in found}
    assert set(variants["status"]) == {"ok"}


def test_train_clips_are_made_as_the_authors_script_makes_them(project: Path) -> None:
    clips = read_table(project / layout.NORMALISED, NORMALISED).filter(pl.col("split") == "train")
    assert set(clips["width"]) == set(clips["height"]) == {504}
    seconds = dict(clips.select("video_id", "video_duration_s").iter_rows())
    assert seconds["cowcowcow-2"] == pytest.approx(6, abs=0.2)
    assert seconds["dogdogdog-2"] == pytest.approx(10, abs=0.1)


def test_card_and_page_say_that_nothing_was_judged(project: Path) -> None:
    card = (project / "mma-bench/README.md").read_text()
    assert "were not run here: none (checked by the paper's authors, with Qwen2.5-Omni-7B)" in card
    page = (project / "reports/dataset.html").read_text()
    assert "No checks were run here: none (checked by the paper&#39;s authors, with Qwen2.5-Omni-7B)" in page
    files = dict(pl.read_parquet(project / "data/files.parquet").select("path", "reason").iter_rows())
    assert files["clips/Ycatcatcat-1_repDiff_Canidae_0.mp4"] == "misaligned_by_name"
