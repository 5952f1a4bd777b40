"""The steps of the conditions beyond the paper on the dataset's page: one clip, in order, with what was measured."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders import report
from mma_bench.builders.pages import gallery
from mma_bench.builders.pages.previews import Preview
from mma_bench.builders.pages.steps import Steps, choose_steps, step_gallery
from mma_bench.config import load_params
from mma_bench.schema import STEPPED, VARIANTS, Condition
from mma_bench.tables import from_rows, read_table, write_table
from tests.builders.conftest import CLASSES, tiny_clip
from tests.builders.test_report import Page

# Manipulation, level, what was measured: of a level, or of the likeness to the clip's own stream.
MADE = (
    ("degraded_audio", "pink_noise", -10.0, -9.982),
    ("degraded_audio", "pink_noise", 10.0, 10.039),
    ("mixed_audio", "mixture", 0.0, -0.0001),
    ("degraded_video", "blur", 8.0, 7.625),
    ("degraded_video", "blur", 2.5, 2.418),
    ("shifted_audio", "shift", 0.5, 0.511),
    ("shifted_audio", "shift", -0.5, -0.511),
    ("absent_audio", "white_noise", None, 0.001),
    ("absent_video", "frozen", None, 0.9998),
    ("absent_video", "grey", None, 0.0),
)


def step_row(base: str, path: Path, condition: str, manipulation: str, level: float | None, found: float) -> Any:
    """A row of a bird with the sound of a cat, as the stage `conflicts` writes it."""
    donated = condition in ("degraded_audio", "mixed_audio", "degraded_video")
    return {
        **{"id": f"{base}.{condition}.{manipulation}_{level}", "base_id": base, "condition": condition},
        **{"split": "test", "status": "ok", "path": str(path), "licence": "CC0", "label_ids": []},
        **{"manipulation": manipulation, "level": level, "donor_id": "cat-test0" if donated else None},
        **{"visual_class": "Bird", "audio_class": "Cat" if donated else "Bird"},
        ("base_likeness" if level is None else "level_measured"): found,
    }


@pytest.fixture
def rows(tmp_path: Path) -> pl.DataFrame:
    """Two clips with all steps, one with fewer."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(tiny_clip(120, 400))
    made = [step_row(base, path, *step) for base in ("bird-b", "bird-c") for step in MADE]
    return from_rows([*made, step_row("bird-a", path, *MADE[0])], VARIANTS)


def shown_of(chosen: pl.DataFrame) -> list[Steps]:
    return step_gallery(chosen, CLASSES, dict.fromkeys(chosen["path"], Preview("data:,", None, (0.5,))))


def said(groups: list[Steps]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(group.heading, [(step.name, step.measured) for step in group.steps]) for group in groups]


def test_one_clip_is_shown_from_little_to_much_with_what_was_measured(rows: pl.DataFrame) -> None:
    chosen = choose_steps(rows, {})
    assert set(chosen["base_id"]) == {"bird-b"}, "the clip with most steps, then the first"
    shown = shown_of(chosen)
    assert said(shown) == [
        ("Noise over the sound", [("10 dB", "10.04 dB"), ("−10 dB", "−9.98 dB")]),
        ("Two sounds at once", [("0 dB", "0.00 dB")]),
        ("Blurred picture", [("2.5 %", "2.42 %"), ("8 %", "7.62 %")]),
        ("Shifted sound", [("−0.5 s", "−0.51 s"), ("0.5 s", "0.51 s")]),
        ("No sound", [("white noise", "0.00")]),
        ("No picture", [("grey", "0.00"), ("frozen", "1.00")]),
    ]
    assert all(step.exhibit.preview for group in shown for step in group.steps), "each can be played"


def test_the_clip_that_the_gallery_shows_under_every_condition_is_taken(rows: pl.DataFrame) -> None:
    shown = {"bird-b": (Condition.ALIGNED,), "bird-c": (Condition.ALIGNED, Condition.MISALIGNED)}
    assert set(choose_steps(rows, shown)["base_id"]) == {"bird-c"}


def test_a_build_without_steps_shows_none(rows: pl.DataFrame) -> None:
    refused = rows.with_columns(status=pl.lit("refused"))
    assert shown_of(choose_steps(refused, {})) == []


def test_every_manipulation_has_a_heading_and_a_unit(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(tiny_clip(120, 400))
    made = [
        step_row("bird-b", path, condition, name, None if condition.startswith("absent") else 1.0, 1.0)
        for condition, names in STEPPED.items()
        for name in names
    ]
    shown = shown_of(choose_steps(from_rows(made, VARIANTS), {}))
    assert sum(len(group.steps) for group in shown) == sum(map(len, STEPPED.values()))
    assert len({group.heading for group in shown}) == len(shown)


@given(
    st.dictionaries(st.text(max_size=3), st.sampled_from([(), tuple(Condition)[:2], tuple(Condition)[:6]])),
    st.integers(0, 200),
    st.integers(0, gallery.MAX_BYTES),
)
def test_all_previews_of_the_page_share_its_bytes(
    chosen: dict[str, tuple[Condition, ...]], others: int, max_bytes: int
) -> None:
    share = gallery.share_of(chosen, others, max_bytes)
    media = others + sum(min(len(conditions), 4) for conditions in chosen.values())  # two of the six are in words
    assert media * share <= max_bytes
    assert share <= gallery.MOST_BYTES


@pytest.mark.slow
def test_the_page_has_the_steps_that_the_build_has(build: Path, rows: pl.DataFrame) -> None:
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    report.main(params)
    assert "Steps beyond the paper" not in report.PAGE.read_text()
    table = read_table(layout.VARIANTS, VARIANTS)
    write_table(pl.concat([table, rows]), layout.VARIANTS, VARIANTS, ["id"])
    report.main(params)
    page = Page(report.PAGE.read_text())
    assert page.unsafe == []
    assert len(page.elements["video"]) == 16 + len(MADE)
    for statement in ("One clip, bird-b, at every step", "−10 dB measured −9.98 dB", "frozen measured 1.00"):
        assert statement in page.text, statement
