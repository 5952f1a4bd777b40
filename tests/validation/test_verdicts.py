"""Every promise about verdicts, broken on purpose."""

from collections.abc import Callable

import pytest

from tests.validation.world import World

FAULTS: dict[str, Callable[[World], None]] = {
    "every_good_clip_is_judged": lambda world: world.drop("verdicts", "cat-1"),
    "nothing_else_is_judged": lambda world: world.double("verdicts", "cat-1", clip_id="dog-9"),
    "counts_add_up": lambda world: world.metrics["judge"]["test"].update(audio_unimodal=2),
    "verdict_is_unique": lambda world: world.double("verdicts", "cat-1"),
    "clip_was_judged_for_its_class": lambda world: world.edit("verdicts", "cat-1", class_name="Dog"),
    "status_is_known": lambda world: world.edit("verdicts", "cat-1", status="retry"),
    "every_check_is_answered": lambda world: world.edit("verdicts", "cat-1", audio_crossmodal_pass=None),
    "passed_clip_passes_all_four_checks": lambda world: world.edit("verdicts", "cat-1", audio_crossmodal_pass=False),
    "rejected_clip_names_the_check_that_failed": lambda world: world.edit(
        "verdicts", "cat-9", reason="visual_unimodal"
    ),
    "visual_unimodal_score_is_a_score": lambda world: world.edit("verdicts", "cat-1", visual_unimodal_score=1.01),
    "audio_unimodal_score_is_a_score": lambda world: world.edit("verdicts", "cat-1", audio_unimodal_score=-0.01),
    "visual_crossmodal_score_is_a_score": lambda world: world.edit("verdicts", "cat-1", visual_crossmodal_score=2.0),
    "audio_crossmodal_score_is_a_score": lambda world: world.edit("verdicts", "cat-1", audio_crossmodal_score=None),
    "one_judge_for_all": lambda world: world.edit("verdicts", "cat-1", judge_revision="another"),
    "prompt_is_on_record": lambda world: world.edit("verdicts", "cat-1", prompt_sha256=""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(world: World, name: str) -> None:
    world.assert_refused("verdicts", name, FAULTS[name])


def test_every_promise_has_its_fault(world: World) -> None:
    assert world.promise_names("verdicts") == list(FAULTS)


def test_a_sound_table_passes(world: World) -> None:
    world.write()
    world.check("verdicts")


def test_a_clip_that_could_not_be_judged_needs_no_answers(world: World) -> None:
    none = dict.fromkeys(
        f"{sense}_{kind}_{what}"
        for sense in ("visual", "audio")
        for kind in ("unimodal", "crossmodal")
        for what in ("score", "pass")
    )
    world.edit("verdicts", "cat-9", status="refused", reason="corrupt_stream", **none, judge=None, prompt_sha256=None)
    world.metrics["judge"]["test"] = {"in": 5, "corrupt_stream": 1, "ok": 4}
    world.write()
    world.check("verdicts")


@pytest.mark.parametrize("check", ["visual_unimodal", "audio_unimodal", "visual_crossmodal", "audio_crossmodal"])
def test_any_failed_check_keeps_a_clip_from_passing(world: World, check: str) -> None:
    world.assert_refused(
        "verdicts",
        "passed_clip_passes_all_four_checks",
        lambda world: world.edit("verdicts", "cat-1", **{f"{check}_pass": False}),
    )
