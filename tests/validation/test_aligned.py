"""Every promise about aligned clips, broken on purpose."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from tests.validation.world import World


def _same(world: World, **values: Any) -> None:
    """cat-1 (test) and dog-2 (train) share a value, in both tables, so that only the leak is wrong."""
    for clip in ("cat-1", "dog-2"):
        for table in ("normalised", "aligned"):
            world.edit(table, clip, **values)


def _no_test_clips(world: World) -> None:
    world.tables["aligned"] = world.tables["aligned"].filter(pl.col("split") == "train")


def _near_duplicate(world: World) -> None:
    """dog-2's picture differs from cat-1's in as many bits as still count as one picture."""
    bits = (1 << world.raw["validate"]["near_duplicate_bits"]) - 1
    _same(world, phash=f"{bits:016x}")
    world.edit("aligned", "cat-1", phash="0" * 16)


def _same_file(world: World) -> None:
    """cat-1 and dog-2 are made from one file, whose stream differs once it is normalised for its split."""
    for clip in ("cat-1", "dog-2"):
        world.edit("acquired", clip, sha256="f" * 64)


FAULTS: dict[str, Callable[[World], None]] = {
    "split_has_clips": _no_test_clips,
    "clip_passed_the_judge": lambda world: world.edit("verdicts", "cat-1", status="rejected"),
    "passed_clip_is_kept": lambda world: world.drop("aligned", "cat-1"),
    "counts_add_up": lambda world: world.metrics["verify"]["test"].update(too_few_reviews=1),
    "clip_is_unique": lambda world: world.double("aligned", "cat-1", split="train"),
    "clip_is_what_was_normalised": lambda world: world.edit("aligned", "cat-1", motion=6.0),
    "judge_is_the_one_who_judged": lambda world: world.edit("aligned", "cat-1", judge="somebody"),
    "verified_means_reviewed": lambda world: world.edit("aligned", "cat-1", human_verified=True),
    "evidence_is_on_record": lambda world: world.edit("aligned", "cat-1", evidence="app"),
    "evidence_is_what_was_asked_for": lambda world: world.edit("aligned", "cat-1", evidence="vggsounder"),
    "picture_moves": lambda world: world.edit("aligned", "cat-1", motion=0.0),
    "source_video_is_on_one_side": lambda world: _same(world, video_id="one video"),
    "source_file_is_on_one_side": _same_file,
    "picture_is_on_one_side": lambda world: _same(world, video_sha256="a" * 64),
    "sound_is_on_one_side": lambda world: _same(world, audio_sha256="a" * 64),
    "near_duplicate_is_on_one_side": _near_duplicate,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(world: World, name: str) -> None:
    world.assert_refused("aligned", name, FAULTS[name])


def test_every_promise_has_its_fault(world: World) -> None:
    assert world.promise_names("aligned") == list(FAULTS)


def test_a_sound_table_passes(world: World) -> None:
    world.write()
    world.check("aligned")


def test_a_leak_names_both_clips(world: World) -> None:
    from mma_bench.errors import GateError

    _same(world, audio_sha256="a" * 64)
    world.write()
    with pytest.raises(GateError, match=r"cat-1 \(audio_sha256_twin dog-2\); dog-2 \(audio_sha256_twin cat-1\)"):
        world.check("aligned", "sound_is_on_one_side")


def test_the_same_sound_twice_on_one_side_is_no_leak(world: World) -> None:
    for clip in ("cat-1", "dog-1"):
        for table in ("normalised", "aligned"):
            world.edit(table, clip, audio_sha256="a" * 64, video_id="one video")
    world.edit("acquired", "cat-1", video_id="one video")
    world.write()
    world.check("aligned", "sound_is_on_one_side", "source_video_is_on_one_side", "clip_is_what_was_normalised")


@pytest.mark.parametrize("column", ["class_name", "label_ids", "sha256", "phash", "frames", "licence"])
def test_no_column_may_differ_from_the_normalised_clip(world: World, column: str) -> None:
    other = {"label_ids": ["/m/cat"], "frames": 249}.get(column, "other")
    world.assert_refused(
        "aligned", "clip_is_what_was_normalised", lambda world: world.edit("aligned", "cat-1", **{column: other})
    )


class TestReviews:
    """Where a profile has people verify, every aligned clip is verified, and the judge's passes may be dropped."""

    @pytest.fixture
    def reviewed(self, world: World) -> World:
        world.raw["verify"] |= {"required": True, "reviews": "reviews.csv"}
        world.drop("aligned", "cat-1")
        world.tables["aligned"] = world.tables["aligned"].with_columns(human_verified=True, evidence=pl.lit("app"))
        world.metrics["verify"]["test"] = {"in": 4, "split_vote": 1, "ok": 3}
        return world

    def test_dropped_clips_are_accepted(self, reviewed: World) -> None:
        reviewed.write()
        reviewed.check("aligned")

    def test_an_unverified_clip_is_refused(self, reviewed: World) -> None:
        reviewed.assert_refused(
            "aligned",
            "verified_means_reviewed",
            lambda world: world.edit("aligned", "dog-1", human_verified=False),
        )

    def test_a_verified_clip_without_evidence_is_refused(self, reviewed: World) -> None:
        reviewed.assert_refused(
            "aligned", "evidence_is_on_record", lambda world: world.edit("aligned", "dog-1", evidence="")
        )

    def test_evidence_that_nobody_asked_for_is_refused(self, reviewed: World) -> None:
        reviewed.assert_refused(
            "aligned",
            "evidence_is_what_was_asked_for",
            lambda world: world.edit("aligned", "dog-1", evidence="app, vggsounder"),
        )

    def test_both_kinds_of_evidence_are_accepted(self, reviewed: World) -> None:
        reviewed.raw["verify"]["evidence"] = ["vggsounder", "app"]
        for clip, evidence in (("dog-1", "app, vggsounder"), ("bell-1", "vggsounder")):
            reviewed.edit("aligned", clip, evidence=evidence)
        reviewed.write()
        reviewed.check("aligned")
