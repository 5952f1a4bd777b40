"""Every promise about normalised clips, broken on purpose."""

from collections.abc import Callable

import pytest

from tests.validation.world import World


def _lost(world: World) -> None:
    del world.files["data/normalised/cat-1.mp4"]


FAULTS: dict[str, Callable[[World], None]] = {
    "every_candidate_due_was_tried": lambda world: world.drop("acquired", "bell-9"),
    "acquired_clip_is_unique": lambda world: world.double("acquired", "cat-1"),
    "acquired_clip_is_a_candidate": lambda world: world.edit("acquired", "cat-1", class_name="Dog"),
    "acquired_status_is_settled": lambda world: world.edit("acquired", "bell-9", status="retry"),
    "every_acquired_clip_is_accounted_for": lambda world: world.drop("normalised", "cat-1"),
    "no_clip_comes_from_nowhere": lambda world: world.double("normalised", "cat-1", clip_id="cat-7"),
    "counts_add_up": lambda world: world.metrics["normalise"]["test"].update(ok=7),
    "clip_is_unique": lambda world: world.double("normalised", "cat-1"),
    "clip_is_what_was_acquired": lambda world: world.edit("normalised", "cat-1", label_ids=["/m/dog"]),
    "split_has_classes_for_its_donors": lambda world: world.raw["pair"]["donors"].update(train=4),
    "status_is_known": lambda world: world.edit("normalised", "dog-9", status="retry"),
    "refusal_has_a_reason": lambda world: world.edit("normalised", "dog-9", reason=""),
    "good_clip_has_no_reason": lambda world: world.edit("normalised", "cat-1", reason="silent"),
    "good_clip_has_every_fact": lambda world: world.edit("normalised", "cat-1", motion=None),
    "refused_clip_has_no_facts": lambda world: world.edit("normalised", "dog-9", frames=250),
    "file_is_as_recorded": lambda world: world.files.update({"data/normalised/cat-1.mp4": b"other"}),
    "sha256_is_a_hash": lambda world: world.edit("normalised", "cat-1", sha256="0" * 63),
    "video_sha256_is_a_hash": lambda world: world.edit("normalised", "cat-1", video_sha256="G" * 64),
    "audio_sha256_is_a_hash": lambda world: world.edit("normalised", "cat-1", audio_sha256="0" * 65),
    "phash_is_a_hash": lambda world: world.edit("normalised", "cat-1", phash="0" * 15),
    "source_is_stated": lambda world: world.edit("normalised", "cat-1", source=""),
    "licence_is_stated": lambda world: world.edit("normalised", "cat-1", licence=None),
    "test_clip_is_not_too_long": lambda world: world.edit("normalised", "cat-1", duration_s=10.2),
    "test_clip_is_not_too_short": lambda world: world.edit("normalised", "cat-1", video_duration_s=0.9),
    "sound_covers_the_picture": lambda world: world.edit("normalised", "cat-1", audio_duration_s=8.9),
    "train_video_has_the_fixed_length": lambda world: world.edit("normalised", "cat-2", video_duration_s=9.8),
    "train_audio_has_the_fixed_length": lambda world: world.edit("normalised", "cat-2", audio_duration_s=10.2),
    "train_width_is_fixed": lambda world: world.edit("normalised", "cat-2", width=640),
    "train_height_is_fixed": lambda world: world.edit("normalised", "cat-2", height=503),
    "sound_is_audible": lambda world: world.edit("normalised", "cat-1", audio_peak=0.0009),
    "picture_is_not_black": lambda world: world.edit("normalised", "cat-1", luma_max=2.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(world: World, name: str) -> None:
    world.assert_refused("normalised", name, FAULTS[name])


def test_every_promise_has_its_fault(world: World) -> None:
    assert world.promise_names("normalised") == list(FAULTS)


@pytest.mark.slow
def test_a_sound_table_passes(world: World) -> None:
    world.write()
    world.check("normalised")


def test_a_missing_file_is_refused(world: World) -> None:
    world.assert_refused("normalised", "file_is_as_recorded", _lost)


def test_test_clips_keep_their_geometry(world: World) -> None:
    world.edit(
        "normalised", "cat-1", width=1920, height=1080, duration_s=3.0, video_duration_s=3.0, audio_duration_s=3.0
    )
    world.write()
    world.check("normalised")


@pytest.mark.parametrize("fact", ["duration_s", "audio_peak", "luma_max", "sha256"])
def test_a_null_never_passes_for_a_good_value(world: World, fact: str) -> None:
    promise = {
        "duration_s": "test_clip_is_not_too_long",
        "audio_peak": "sound_is_audible",
        "luma_max": "picture_is_not_black",
        "sha256": "sha256_is_a_hash",
    }[fact]
    world.assert_refused("normalised", promise, lambda world: world.edit("normalised", "cat-1", **{fact: None}))


def test_a_limit_asks_for_fewer_clips(world: World) -> None:
    world.raw["acquire"]["limit"] = 7
    world.write()
    world.check("normalised", "every_candidate_due_was_tried")
    world.assert_refused(
        "normalised", "every_candidate_due_was_tried", lambda world: world.raw["acquire"].update(limit=5)
    )
