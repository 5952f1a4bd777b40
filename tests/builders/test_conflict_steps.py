"""The stage `conflicts` under conditions with steps, and their clips made again by `publish rebuild`."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.builders import conflicts
from mma_bench.builders.publish import rebuild
from mma_bench.builders.publish.matching import Match
from mma_bench.config import Params, load_params
from mma_bench.files import file_sha256
from mma_bench.media.facts import media_facts
from mma_bench.schema import ALIGNED, PAIRS, VARIANTS
from mma_bench.tables import from_rows, read_table, write_table
from tests.builders.test_conflicts import PARAMS, clip_row, pair_row
from tests.clips import AAC, H264, make, picture, tone

STEPS = {
    "degraded_audio": {"pink_noise": [10, -10.0]},
    "mixed_audio": {"mixture": [0]},
    "degraded_video": {"blur": [4], "darkness": [50], "low_contrast": [50]},
    "absent_audio": {"white_noise": [], "room_tone": []},
    "absent_video": {"grey": [], "pixel_noise": [], "frozen": []},
}
MEASURED = ("degraded_audio", "mixed_audio", "degraded_video")


def params(**steps: Any) -> Params:
    raw = load_params(PARAMS).model_dump(by_alias=True)
    raw["conflicts"] |= {"conditions": {"test": ["aligned", *STEPS], "train": ["aligned", "misaligned"]}}
    raw["conflicts"]["steps"] = STEPS | steps
    return Params.model_validate(raw)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test clips, each the other's donor, on which the stage has run once."""
    root = tmp_path_factory.mktemp("project")
    rows = []
    for name, hz in (("Cat", 300), ("Dog", 1000)):
        path = root / f"data/normalised/{name}.mp4"
        make(path, *picture(1, "64x48", "10"), *tone(1.1, hz, 16_000), *H264, *AAC)
        file = {"path": path.relative_to(root).as_posix(), "sha256": file_sha256(path)}
        rows.append(clip_row(name, "test", name, **file, **media_facts(path)))
    pairs = [pair_row("test", "Cat", "Dog"), pair_row("test", "Dog", "Cat")]
    write_table(from_rows(rows, ALIGNED), root / layout.ALIGNED, ALIGNED, ["split", "clip_id"])
    write_table(from_rows(pairs, PAIRS), root / layout.PAIRS, PAIRS, ["split", "base_id", "rank"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        conflicts.main(params())
    return root


@pytest.fixture
def variants(project: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """The stage's table; the project is the current folder."""
    monkeypatch.chdir(project)
    return read_table(layout.VARIANTS, VARIANTS)


@pytest.mark.slow
def test_each_step_has_a_row_with_what_was_measured(variants: pl.DataFrame) -> None:
    assert set(variants["status"]) == {"ok"}
    assert variants.height == 2 * (1 + 2 + 1 + 3 + 2 + 3)
    for row in variants.iter_rows(named=True):
        measured, absent = row["condition"] in MEASURED, row["condition"].startswith("absent")
        for found in (row["level_measured"], row["base_likeness"]):
            assert found is None or found == round(found, 4), "as far as processors agree"
        assert (row["level_measured"] is not None) == measured
        assert (row["base_likeness"] is not None) == absent
        if measured:
            assert row["level_measured"] == pytest.approx(row["level"], abs=0.6)
            assert row["donor_id"] == {"Cat": "Dog", "Dog": "Cat"}[row["base_id"]]
        kept = row["source_audio_sha256"] == row["audio_sha256"]
        assert kept == (row["condition"] in ("aligned", "degraded_video", "absent_video"))
        assert (row["video_sha256"] == row["base_video_sha256"]) == (not row["condition"].endswith("video"))


@pytest.mark.slow
def test_a_rebuild_gives_the_same_packets(variants: pl.DataFrame, tmp_path: Path) -> None:
    for row in variants.iter_rows(named=True):
        names = [name for name in (row["base_id"], row["donor_id"]) if name]
        sources: list[tuple[Path | None, Match]] = [
            (Path(f"data/normalised/{name}.mp4"), Match("packets")) for name in names
        ]
        made, match = rebuild._made(row, sources, tmp_path)
        assert match == Match("packets"), row["id"]
        assert made is not None
        assert file_sha256(made) == row["sha256"]


@pytest.mark.slow
def test_a_second_run_does_nothing_and_another_level_makes_its_clips_only(variants: pl.DataFrame) -> None:
    made = {path: path.stat().st_mtime_ns for path in layout.VARIANT_CLIPS.rglob("*.mp4")}
    conflicts.main(params(mixed_audio={"mixture": [0, 6]}))
    after = {path: path.stat().st_mtime_ns for path in layout.VARIANT_CLIPS.rglob("*.mp4")}
    assert made.items() <= after.items()
    assert sorted(path.stem for path in after.keys() - made.keys()) == [
        "Cat.mixed_audio.Dog.mixture_6",
        "Dog.mixed_audio.Cat.mixture_6",
    ]
    conflicts.main(params())
    assert {path: path.stat().st_mtime_ns for path in layout.VARIANT_CLIPS.rglob("*.mp4")} == made


@pytest.mark.parametrize(
    ("step", "levels"),
    [("blur", [21]), ("darkness", [-1]), ("low_contrast", [101]), ("pink_noise", [-21]), ("mixture", [31])],
)
def test_a_level_that_was_not_tried_is_refused(step: str, levels: list[float]) -> None:
    condition = next(condition for condition, steps in STEPS.items() if step in steps)
    with pytest.raises(ValueError, match=rf"{condition}\.{step}: {levels[0]} is not from"):
        params(**{condition: {step: levels}})
