"""What the pages say about the specialist judge: its figures are those of the code's own tables."""

import csv
from pathlib import Path

import pytest

from mma_bench.config import JudgeParams, load_params
from mma_bench.models.specialist.specialist import read_class_map

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/judges.md", "builders/judges/README.md")


def read(path: str) -> str:
    """A page in one line, without emphasis."""
    return " ".join((ROOT / path).read_text(encoding="utf-8").replace("**", "").split())


def eval_candidates() -> dict[str, int]:
    """Class → AudioSet's evaluation candidates; tests/builders/test_candidates.py counts them again."""
    with (ROOT / "builders/curation/class_decisions.csv").open(encoding="utf-8", newline="") as stream:
        return {row["class"]: int(row["eval"]) for row in csv.DictReader(stream) if row["decision"] == "keep"}


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_what_the_specialist_cannot_see(page: str) -> None:
    counts = eval_candidates()
    unseen = counts.keys() - read_class_map("imagenet_classes.csv").keys()
    total = sum(counts.values())
    assert counts.keys() <= read_class_map("yamnet_classes.csv").keys(), "all can be heard"
    text = read(page)
    assert str(len(unseen)) in text
    assert f"{sum(counts[name] for name in unseen)} of " in text
    assert f"{total:,}" in text
    assert len(counts) == 61
    assert "61 classes" in text


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_how_explosion_is_seen(page: str) -> None:
    counts = eval_candidates()
    assert sorted(counts, key=lambda name: -counts[name])[1] == "Explosion"
    with (ROOT / "mma_bench/models/specialist/imagenet_classes.csv").open(encoding="utf-8", newline="") as stream:
        seen = {row["name"] for row in csv.DictReader(stream) if row["class"] == "Explosion"}
    assert seen == {"assault rifle", "revolver", "rifle", "cannon", "volcano"}
    text = read(page)
    assert "Explosion, the second largest class" in text
    assert str(counts["Explosion"]) in text
    assert "guns, cannons and" in text


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_how_the_specialist_does_on_recordings(page: str) -> None:
    text = read(page)
    assert "8 of 8" in text
    assert "8 of 15" in text or "8 of the 15" in text
    assert "`encoders`" in text
    if page != "README.md":
        assert "17 of 23" in text
        assert "17 of 32" in text


def test_every_threshold_is_said_on_what_it_was_chosen() -> None:
    judge = load_params(ROOT / "params.yaml").judge
    assert isinstance(judge, JudgeParams)
    text = read("docs/judges.md")
    stated = f"({judge.visual_threshold:g} by sight, {judge.audio_threshold:g} by ear)"
    assert f"thresholds {stated} were chosen on the sample's 37 photographs and 37 sounds" in text
    with (ROOT / "sample/manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (len({row["photo"] for row in rows}), len({row["sound"] for row in rows})) == (37, 37)


def test_the_profile_for_audiosets_clips_has_the_recommended_judge() -> None:
    judge = load_params(ROOT / "profiles/audioset.yaml").judge
    assert judge.name == "encoders"
    assert judge.thresholds == "thresholds/encoders.csv", "where `mma-bench judge calibrate` writes"
    assert "judge calibrate" in (ROOT / "profiles/audioset.yaml").read_text(encoding="utf-8")
