"""The calibration table: it covers the sample, the media give its scores, and the README's figures follow from it."""

import re
from contextlib import chdir
from pathlib import Path

import pytest

from mma_bench.config import JudgeParams, Params
from mma_bench.evaluation.judges.calibrate import (
    LISTED_FROM,
    pairs_of,
    read_labels,
    read_sample_media,
    score_row,
)
from mma_bench.evaluation.judges.operating_point import Pair, operating_point
from mma_bench.models.specialist.specialist import Specialist
from tests.judges import read_calibration

ROOT = Path(__file__).parents[3]
README = ROOT / "builders" / "judges" / "README.md"
ROW = re.compile(r"^\| (visual|audio) \| \**(0\.\d+)\** \| (\d+) \| (\d+) \| (\d+) \| (\d\.\d+) \| (\d\.\d+) \|$", re.M)


def test_every_clip_of_the_sample_is_labelled_with_known_classes(
    manifest: dict[str, dict[str, str]], specialist: Specialist
) -> None:
    labels = read_labels()
    assert labels.keys() == manifest.keys()
    for row in labels.values():
        for column, known in (("visible", specialist.seen), ("audible", specialist.heard)):
            for name in (row[column], row[f"unclear_{column}"]):
                assert name == "" or name in known
    assert (labels["cat-wrong-sound"]["visible"], labels["cat-wrong-sound"]["audible"]) == ("Cat", "Vehicle")


def test_every_positive_pair_is_listed_and_no_unclear_one(manifest: dict[str, dict[str, str]]) -> None:
    labels, pairs = read_labels(), read_calibration()
    listed = {(pair.modality, pair.clip_id, pair.class_name): pair.label for pair in pairs}
    assert len(listed) == len(pairs)
    media = set()
    for clip_id, row in manifest.items():
        for modality, medium, there in (("visual", "photo", "visible"), ("audio", "sound", "audible")):
            assert (modality, clip_id, labels[clip_id][f"unclear_{there}"]) not in listed
            if (name := labels[clip_id][there]) and row[medium] not in media:
                assert listed[modality, clip_id, name] is True
            media.add(row[medium])
    assert all(pair.label or pair.score >= LISTED_FROM for pair in pairs)
    assert sum(pair.label for pair in pairs) == 66


@pytest.mark.slow
def test_the_media_give_the_scores_of_the_table(params: Params, specialist: Specialist, tmp_path: Path) -> None:
    """A clip that is cropped and encoded; one that is copied is compared in the test of the stage."""
    (clip,) = (row for row in read_sample_media(ROOT / "sample") if row["clip_id"] == "pig-2")
    with chdir(tmp_path):
        scores = score_row(params, sorted({*specialist.seen, *specialist.heard}), clip)
    table = {(pair.modality, pair.class_name): pair for pair in read_calibration() if pair.clip_id == "pig-2"}
    assert {modality for modality, _ in table} == {"visual", "audio"}
    for pair in pairs_of([clip], read_labels(), [scores]):
        expected = table.pop((pair.modality, pair.class_name), None)
        if expected is None:
            assert not pair.label
            assert pair.score < LISTED_FROM + 0.03
        else:
            assert (pair.label, pair.score) == (expected.label, pytest.approx(expected.score, abs=0.03))
    assert not table


def test_shared_photos_count_once_and_what_is_unclear_not_at_all() -> None:
    clips = [
        {"clip_id": "a", "photo": "hen.png", "sound": "hen.ogg"},
        {"clip_id": "b", "photo": "hen.png", "sound": "cat.ogg"},
    ]
    seen = {"visible": "Fowl", "unclear_visible": "Bird", "unclear_audible": ""}
    labels = {"a": {**seen, "audible": "Fowl"}, "b": {**seen, "audible": "Cat"}}
    scores = {"visual": {"Bird": 0.1, "Cat": 0.2, "Fowl": 0.3}, "audio": {"Cat": 0.4, "Fowl": 0.5}}
    assert pairs_of(clips, labels, [scores, scores]) == [
        Pair("a", "visual", "Cat", False, 0.2),
        Pair("a", "visual", "Fowl", True, 0.3),
        Pair("a", "audio", "Cat", False, 0.4),
        Pair("a", "audio", "Fowl", True, 0.5),
        Pair("b", "audio", "Cat", True, 0.4),
        Pair("b", "audio", "Fowl", False, 0.5),
    ]


def test_the_figures_of_the_readme_follow_from_the_table(settings: JudgeParams) -> None:
    rows = ROW.findall(README.read_text(encoding="utf-8"))
    pairs = read_calibration()
    for modality, threshold, *figures in rows:
        point = operating_point(pairs, modality, float(threshold))
        assert figures == [
            *map(str, (point.found, point.wrong, point.missed)),
            f"{point.precision.mean:.3f}",
            f"{point.recall.mean:.3f}",
        ], f"{modality} {threshold}"
    chosen = re.findall(r"\| (visual|audio) \| \*\*(0\.\d+)\*\*", README.read_text(encoding="utf-8"))
    assert [(modality, float(threshold)) for modality, threshold in chosen] == [
        ("visual", settings.visual_threshold),
        ("audio", settings.audio_threshold),
    ], "the README marks the thresholds of params.yaml"
    assert len(rows) >= 8
