"""Every promise about variants, broken on purpose."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from mma_bench.schema import FACTS, FILE, step_name
from tests.validation.world import World, counts

ALIGNED, SILENT, BLACK = "cat-1.aligned", "cat-1.audio_removed", "cat-1.frames_zeroed"
SWAPPED = "cat-1.misaligned.dog-1"
NOISY, NOISIER = (f"cat-1.degraded_audio.dog-1.pink_noise_{level}" for level in (0, -10))
MIXED, BLURRED = "cat-1.mixed_audio.dog-1.mixture_6", "cat-1.degraded_video.dog-1.blur_2"
LATE, EARLY = (f"cat-1.shifted_audio.{step_name('shift', level)}" for level in (0.5, -1.0))
THIRD = "cat-1.three_way.dog-1"
WHITE, ROOM = "cat-1.absent_audio.white_noise", "cat-1.absent_audio.room_tone"
GREY, PIXELS, FROZEN = (f"cat-1.absent_video.{name}" for name in ("grey", "pixel_noise", "frozen"))
CAPTION, CONTEXT = "cat-1.misleading_caption", "cat-1.long_context"


def _edit(key: str, **values: Any) -> Callable[[World], None]:
    return lambda world: world.edit("variants", key, **values)


def _same_class(world: World) -> None:
    world.edit("variants", SWAPPED, audio_class="Cat")


def _slack(world: World) -> float:
    return float(world.raw["validate"]["duration_tolerance_s"])


FAULTS: dict[str, Callable[[World], None]] = {
    "every_condition_is_complete": lambda world: world.drop("variants", CONTEXT),
    "nothing_else_is_there": _edit(CONTEXT, id="cat-1.upside_down"),
    "every_variant_was_made": _edit(SWAPPED, status="refused", reason="donor_too_short"),
    "misaligned_count_is_exact": _edit(SWAPPED, base_id="dog-1"),
    "misaligned_sounds_are_of_distinct_classes": _edit("cat-2.misaligned.dog-2", audio_class="Bell"),
    "counts_add_up": lambda world: world.metrics["conflicts"]["train"].update(ok=1),
    "id_is_unique": _edit(CONTEXT, id=CAPTION),
    "id_says_what_it_is": _edit(SILENT, condition="frames_zeroed"),
    "variant_describes_its_base": _edit(SILENT, label_ids=["/m/dog"]),
    "source_is_that_of_base_and_donor": _edit(SWAPPED, source="another"),
    "licence_is_that_of_base_and_donor": _edit(SWAPPED, licence="licence of cat-1"),
    "judge_is_that_of_base_and_donor": _edit(SILENT, judge="somebody"),
    "verified_means_all_of_it": _edit(SILENT, human_verified=True),
    "status_is_known": _edit(SILENT, status="rejected"),
    "refusal_has_a_reason": _edit(SILENT, status="refused"),
    "good_clip_has_no_reason": _edit(SILENT, reason="why_not"),
    "good_clip_has_every_fact": _edit(SILENT, phash=None),
    "refused_clip_has_no_facts": _edit(SILENT, status="refused"),
    "file_is_as_recorded": lambda world: world.files.update({f"data/variants/{SILENT}.mp4": b"other"}),
    "sha256_is_a_hash": _edit(SILENT, sha256="x"),
    "video_sha256_is_a_hash": _edit(SILENT, video_sha256="x"),
    "audio_sha256_is_a_hash": _edit(SILENT, audio_sha256="x"),
    "phash_is_a_hash": _edit(SILENT, phash="x"),
    "source_is_stated": _edit(SILENT, source=""),
    "licence_is_stated": _edit(SILENT, licence=""),
    "visual_class_is_that_of_the_base": _edit(SWAPPED, visual_class="Bell"),
    "audio_class_is_that_of_the_sound": _edit(SWAPPED, audio_class="Bell"),
    "aligned_classes_agree": _edit(ALIGNED, audio_class="Bell"),
    "misaligned_classes_differ": _same_class,
    "donor_is_of_the_split": _edit(SWAPPED, donor_id="dog-2"),
    "donor_id_is_given": _edit(SWAPPED, donor_id=None),
    "class_distance_is_given": _edit(SWAPPED, class_distance=None),
    "caption_is_given": _edit(CAPTION, caption=None),
    "context_seed_is_given": _edit(CONTEXT, context_seed=None),
    "context_is_given": _edit(CONTEXT, context=None),
    "manipulation_is_given": _edit(NOISY, manipulation=None),
    "level_is_given": _edit(NOISY, level=None),
    "donor_id_is_absent_elsewhere": _edit(ALIGNED, donor_id="dog-1"),
    "class_distance_is_absent_elsewhere": _edit(ALIGNED, class_distance=0),
    "caption_is_absent_elsewhere": _edit(ALIGNED, caption="Dog"),
    "context_seed_is_absent_elsewhere": _edit(CAPTION, context_seed=7),
    "context_is_absent_elsewhere": _edit(CAPTION, context="far ease"),
    "manipulation_is_absent_elsewhere": _edit(SWAPPED, manipulation="blur"),
    "level_is_absent_elsewhere": _edit(WHITE, level=0.0),
    "level_measured_is_absent_elsewhere": _edit(SWAPPED, level_measured=0.0),
    "base_likeness_is_absent_elsewhere": _edit(SILENT, base_likeness=0.0),
    "caption_is_an_option": _edit(CAPTION, caption="Owl"),
    "caption_misleads": _edit(CAPTION, caption="Cat"),
    "caption_names_a_third_class": _edit(THIRD, caption="Dog"),
    "context_is_that_of_its_seed": _edit(CONTEXT, context="focus combine proper"),
    "picture_is_promised_by_the_base": _edit(SWAPPED, base_video_sha256="a" * 64, video_sha256="a" * 64),
    "video_packets_are_those_of_the_base": _edit(SWAPPED, video_sha256="a" * 64),
    "audio_packets_are_those_of_the_source": _edit(SWAPPED, audio_sha256="a" * 64),
    "sound_is_promised_by_the_base": _edit(BLACK, source_audio_sha256="a" * 64, audio_sha256="a" * 64),
    "removed_sound_has_no_source": _edit(SILENT, source_audio_sha256="a" * 64),
    "sound_was_replaced": lambda world: world.edit(
        "variants", SWAPPED, audio_sha256=world.facts("cat-1")["audio_sha256"]
    ),
    "picture_was_replaced": lambda world: world.edit(
        "variants", BLACK, video_sha256=world.facts("cat-1")["video_sha256"]
    ),
    "three_way_shows_the_misaligned_clip": lambda world: world.edit("variants", THIRD, **world.file("other.mp4")),
    "text_conditions_show_the_aligned_clip": lambda world: world.edit("variants", CAPTION, **world.file("other.mp4")),
    "removed_sound_is_digital_silence": _edit(SILENT, audio_peak=1e-6),
    "sound_is_audible": _edit(SWAPPED, audio_peak=0.0009),
    "zeroed_frames_are_black": _edit(BLACK, luma_max=2.5),
    "picture_is_not_black": _edit(SILENT, luma_max=0.0),
    "geometry_is_that_of_the_base": _edit(BLACK, height=502),
    "length_is_that_of_the_base": lambda world: world.edit("variants", BLACK, duration_s=10.01 + _slack(world)),
    "silence_lasts_as_long_as_the_sound": lambda world: world.edit(
        "variants", SILENT, audio_duration_s=9.99 - _slack(world)
    ),
    "donor_sound_covers_the_picture": lambda world: world.edit(
        "variants", SWAPPED, audio_duration_s=9.99 - _slack(world) - world.raw["pair"]["slack_s"]
    ),
    "level_was_measured": _edit(NOISY, level_measured=None),
    "level_is_as_stated": _edit(MIXED, level_measured=6.6),
    "levels_are_in_order": _edit(NOISIER, level_measured=0.1),
    "sound_is_not_clipped": _edit(NOISY, audio_peak=1.0),
    "likeness_was_measured": _edit(GREY, base_likeness=None),
    "replaced_stream_is_unlike_the_base": _edit(ROOM, base_likeness=0.2),
    "white_noise_has_its_level": _edit(WHITE, rms_dbfs=-21.0),
    "room_tone_has_its_level": _edit(ROOM, rms_dbfs=-49.0),
    "grey_is_grey": _edit(GREY, luma_max=235.0),
    "still_picture_stands_still": _edit(FROZEN, motion=5.0),
    "pixel_noise_moves": _edit(PIXELS, motion=0.0),
    "frozen_picture_is_the_first_frame": _edit(FROZEN, base_likeness=0.3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(world: World, name: str) -> None:
    world.assert_refused("variants", name, FAULTS[name])


def test_every_promise_has_its_fault(world: World) -> None:
    assert world.promise_names("variants") == list(FAULTS)


@pytest.mark.slow
def test_a_sound_table_passes(world: World) -> None:
    world.write()
    world.check("variants")


FACTLESS = dict.fromkeys((*FILE, *FACTS, "base_video_sha256", "source_audio_sha256", "level_measured", "base_likeness"))


def _dropped(world: World, reason: str) -> None:
    """cat-1 is refused under every condition."""
    keys = world.tables["variants"].filter(pl.col("base_id") == "cat-1")["id"].to_list()
    for key in keys:
        world.edit("variants", key, status="refused", reason=reason, detail="why", **FACTLESS)
    world.metrics["conflicts"] = counts(world.tables["variants"])


@pytest.mark.slow
def test_a_clip_may_be_dropped_from_every_condition(world: World) -> None:
    _dropped(world, "incomplete")
    world.write()
    world.check("variants")


@pytest.mark.parametrize("reason", ["source_missing", "source_changed"])
def test_a_clip_whose_file_is_not_the_aligned_one_is_not_dropped(world: World, reason: str) -> None:
    world.assert_refused("variants", "every_variant_was_made", lambda world: _dropped(world, reason))


@pytest.mark.parametrize("key", [ALIGNED, SWAPPED, SILENT, CAPTION, CONTEXT, NOISY, MIXED, WHITE])
def test_only_conditions_about_the_picture_may_change_it(world: World, key: str) -> None:
    world.assert_refused("variants", "video_packets_are_those_of_the_base", _edit(key, video_sha256="a" * 64))


@pytest.mark.parametrize("key", [BLURRED, GREY, FROZEN, THIRD, LATE])
def test_only_conditions_about_the_sound_may_change_it(world: World, key: str) -> None:
    world.assert_refused("variants", "audio_packets_are_those_of_the_source", _edit(key, audio_sha256="a" * 64))


@pytest.mark.parametrize(
    ("key", "level"), [(NOISY, 0.51), (MIXED, 5.49), (BLURRED, 2.21), (BLURRED, 1.79), (LATE, 0.512), (EARLY, -1.012)]
)
def test_a_level_outside_its_tolerance_is_refused(world: World, key: str, level: float) -> None:
    world.assert_refused("variants", "level_is_as_stated", _edit(key, level_measured=level))


@pytest.mark.parametrize("key", [ALIGNED, SWAPPED, BLACK, CAPTION, CONTEXT, NOISY, MIXED, BLURRED, GREY])
def test_only_removed_audio_may_be_silent(world: World, key: str) -> None:
    world.assert_refused("variants", "sound_is_audible", _edit(key, rms_dbfs=-120.0, audio_peak=0.0))


def test_the_licence_of_the_donor_is_named(world: World) -> None:
    world.assert_refused(
        "variants", "licence_is_that_of_base_and_donor", _edit(SWAPPED, licence="video: licence of dog-1")
    )


def test_three_misaligned_variants_of_which_two_sound_alike_are_refused(world: World) -> None:
    """The right number, but not of distinct classes."""
    alike = _edit("cat-2.misaligned.hammer-2", donor_id="dog-2", audio_class="Dog")
    world.assert_refused("variants", "misaligned_sounds_are_of_distinct_classes", alike)
    world.check("variants", "misaligned_count_is_exact")


@pytest.mark.slow
def test_conditions_that_are_not_configured_are_not_asked_for(world: World) -> None:
    world.raw["conflicts"]["conditions"]["test"] = ["aligned"]
    table = world.tables["variants"]
    world.tables["variants"] = table.filter((table["split"] == "train") | (table["condition"] == "aligned"))
    world.metrics["conflicts"]["test"] = {"in": 4, "ok": 4}
    world.write()
    world.check("variants")
