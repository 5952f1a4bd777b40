"""Which clips are judged, and controls that are what they say they are."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders.review.review_set import CONTROLS, Item, as_items, clips_to_review, load, plan_controls
from mma_bench.builders.review.store import Store
from mma_bench.errors import DataError
from mma_bench.files import fingerprint
from mma_bench.media.packets import packet_sha256
from mma_bench.schema import VERDICTS
from mma_bench.tables import read_table, write_table


def clips(count: int, classes: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"clip_id": f"c{n}", "class_name": f"K{n % classes}", "path": f"{n}.mp4", "duration_s": 5.0 + n % 3}
            | {"video_sha256": f"v{n}", "audio_sha256": f"a{n}"}
            for n in range(count)
        ]
    )


def test_only_what_passed_the_judge_is_reviewed(project: Path, store: Store) -> None:
    verdicts = read_table(layout.VERDICTS, VERDICTS)
    rejected = pl.when(pl.col("clip_id") == "cat-test0").then(pl.lit("rejected")).otherwise(pl.col("status"))
    write_table(verdicts.with_columns(status=rejected), layout.VERDICTS, VERDICTS, ["clip_id"])
    chosen = load(store, 0)
    assert len(chosen) == 11
    assert "cat-test0" not in {item.clip_id for item in chosen}
    assert {item.failing for item in chosen} == {()}


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 5), st.floats(0, 1))
def test_controls_are_wrong_where_they_say_so(count: int, classes: int, share: float) -> None:
    table = clips(count, classes)
    plans = plan_controls(table, share)
    assert plans == plan_controls(table.sample(fraction=1.0, shuffle=True, seed=7), share)
    if share == 0 or min(count, classes) == 1:
        assert plans == []
        return
    assert len(plans) == min(count, max(2, round(share * count)))
    rows = {row["clip_id"]: row for row in table.rows(named=True)}
    assert len({plan.clip_id for plan in plans}) == len(plans)
    for plan in plans:
        base = rows[plan.base]
        if plan.donor is None:
            assert plan.class_name != base["class_name"]
            assert plan.failing == ("object_visible", "audio_pure")
        else:
            donor = rows[plan.donor]
            assert plan.class_name == base["class_name"] != donor["class_name"]
            assert donor["duration_s"] >= base["duration_s"] - 0.1
            assert plan.failing == ("audio_pure",)


def test_a_control_carries_the_picture_of_one_clip_and_the_sound_of_another(review_set: list[Item]) -> None:
    (control,) = (item for item in review_set if item.clip_id.endswith(".control.sound"))
    path = Path(control.path)
    assert path.parent == CONTROLS
    assert path.stem == control.id  # neither the file nor the address tells what it is
    base = next(item for item in review_set if item.clip_id == control.clip_id.removesuffix(".control.sound"))
    assert packet_sha256(path, "video") == packet_sha256(Path(base.path), "video")
    sounds = {packet_sha256(Path(item.path), "audio", first=5): item for item in review_set if not item.failing}
    assert sounds[packet_sha256(path, "audio", first=5)].class_name != control.class_name


def test_another_file_or_class_is_another_item() -> None:
    table = clips(1, 1)
    (item,) = as_items(table)
    for column in ("clip_id", "class_name", "video_sha256", "audio_sha256"):
        (other,) = as_items(table.with_columns(pl.lit("other").alias(column)))
        assert other.id != item.id, column
    (moved,) = as_items(table.with_columns(path=pl.lit("elsewhere.mp4")))
    assert moved.id == item.id


def test_what_cannot_be_reviewed_is_named(project: Path, store: Store) -> None:
    (project / "data/normalised/cat-test0.mp4").unlink()
    with pytest.raises(DataError, match=r"data/normalised/cat-test0\.mp4 does not exist"):
        load(store, 0)
    verdicts = read_table(layout.VERDICTS, VERDICTS).with_columns(status=pl.lit("rejected"))
    write_table(verdicts, layout.VERDICTS, VERDICTS, ["clip_id"])
    with pytest.raises(DataError, match="no clip passed the judge"):
        load(store, 0)
    layout.VERDICTS.unlink()
    with pytest.raises(DataError, match=r"verdicts\.parquet does not exist"):
        load(store, 0)


def test_the_review_set_is_what_verify_joins(project: Path) -> None:
    table = read_table(layout.VERDICTS, VERDICTS)
    normalised = pl.read_parquet(layout.NORMALISED)
    moved = table.with_columns(split=pl.when(pl.col("clip_id") == "cat-test1").then(pl.lit("train")).otherwise("split"))
    assert set(clips_to_review(normalised, moved)["clip_id"]) == set(table["clip_id"]) - {"cat-test1"}


def plainly(rows: list[dict[str, Any]], wanted: int) -> list[tuple[str, str | None]]:
    """Base and donor of each control, looking at all others of every clip."""
    found: list[tuple[str, str | None]] = []
    for number, row in enumerate(rows):
        others = [each for each in rows[number + 1 :] + rows[:number] if each["class_name"] != row["class_name"]]
        lasting = [each for each in others if each["duration_s"] >= row["duration_s"] - 0.1]
        if len(found) < wanted and others:
            sound = len(found) % 2 == 0 and lasting
            found.append((row["clip_id"], lasting[0]["clip_id"] if sound else None))
    return found


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1.0, 5.0, 9.95, 10.0])), max_size=12), st.floats(0.01, 1))
def test_controls_are_those_that_a_look_at_all_clips_finds(drawn: list[tuple[int, float]], share: float) -> None:
    rows = [
        {"clip_id": f"c{number}", "class_name": f"class{kind}", "duration_s": seconds}
        for number, (kind, seconds) in enumerate(drawn)
    ]
    clips = pl.DataFrame(rows, schema={"clip_id": pl.String, "class_name": pl.String, "duration_s": pl.Float64})
    plans = plan_controls(clips, share)
    ordered = sorted(rows, key=lambda row: fingerprint("control", row["clip_id"]))
    assert [(plan.base, plan.donor) for plan in plans] == plainly(ordered, max(2, round(share * len(rows))))


def test_planning_controls_looks_at_each_clip_a_few_times() -> None:
    count, looked = 4000, 0

    class Counted(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            nonlocal looked
            looked += 1
            return super().__getitem__(key)

    rows = [Counted(clip_id=f"c{n}", class_name=f"k{n % 49}", duration_s=10.0) for n in range(count)]

    class Table:
        def iter_rows(self, named: bool) -> list[Counted]:
            return rows

    assert len(plan_controls(Table(), 0.05)) == 200  # type: ignore[arg-type]
    assert looked < 10 * count
