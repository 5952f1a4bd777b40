"""Every promise about verdicts, broken on purpose."""

from collections.abc import Callable

import polars as pl
import pytest

from mma_bench.schema import CHECKS, VERDICTS
from tests.validation.world import World, counts

FAULTS: dict[str, Callable[[World], None]] = {
    "every_good_clip_is_judged": lambda world: world.drop("verdicts", "cat-1"),
    "nothing_else_is_judged": lambda world: world.double("verdicts", "cat-1", clip_id="dog-9"),
    "counts_add_up": lambda world: world.metrics["judge"]["test"].update(audio_unimodal=2),
    "verdict_is_unique": lambda world: world.double("verdicts", "cat-1"),
    "clip_was_judged_for_its_class": lambda world: world.edit("verdicts", "cat-1", class_name="Dog"),
    "status_is_known": lambda world: world.edit("verdicts", "cat-1", status="retry"),
    "every_check_is_answered": lambda world: world.edit("verdicts", "cat-1", audio_crossmodal_pass=None),
    "answer_follows_the_rule": lambda world: world.edit("verdicts", "cat-1", visual_unimodal_score=0.1),
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


@pytest.mark.slow
def test_a_clip_that_could_not_be_judged_needs_no_answers(world: World) -> None:
    none = dict.fromkeys(
        f"{sense}_{kind}_{what}"
        for sense in ("visual", "audio")
        for kind in ("unimodal", "crossmodal")
        for what in ("score", "pass", "answer")
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


class TestInWords:
    """A judge that is asked in words passes a check by what it said, or by the probability of "Yes"."""

    @pytest.fixture
    def spoken(self, world: World) -> World:
        world.raw["judge"] = {
            **{"name": "omni", "model": "qwen2.5-omni-7b", "settings": {}, "frames": 20, "decide_by": "answer"},
            **{"visual_threshold": 0.5, "audio_threshold": 0.5, "processes": 1},
        }
        for clip in world.tables["verdicts"]["clip_id"]:
            world.edit("verdicts", clip, **{f"{check}_answer": "Yes, it is." for check in CHECKS})
        world.edit("verdicts", "cat-9", audio_unimodal_answer="No.")
        return world

    @pytest.mark.parametrize("decide_by", ["answer", "probability"])
    def test_a_sound_table_passes(self, spoken: World, decide_by: str) -> None:
        spoken.raw["judge"]["decide_by"] = decide_by
        spoken.write()
        spoken.check("verdicts")

    @pytest.mark.parametrize("words", ["No.", "The cat is visible.", "Yesterday", "", None])
    def test_a_pass_without_a_yes_is_refused(self, spoken: World, words: str | None) -> None:
        spoken.assert_refused(
            "verdicts",
            "answer_follows_the_rule",
            lambda world: world.edit("verdicts", "cat-1", visual_crossmodal_answer=words),
        )

    def test_a_yes_that_did_not_count_is_refused(self, spoken: World) -> None:
        spoken.assert_refused(
            "verdicts",
            "answer_follows_the_rule",
            lambda world: world.edit("verdicts", "cat-9", audio_unimodal_answer="yes"),
        )


@pytest.fixture
def unjudged(world: World) -> World:
    """No judge: every clip passes, without scores."""
    world.raw["judge"] = {"name": "none", "checked_by": "others"}
    empty = [f"{check}_{part}" for check in CHECKS for part in ("score", "pass", "answer")]
    table = world.tables["verdicts"].filter(pl.col("status") == "ok")
    world.tables["verdicts"] = table.with_columns(
        *(pl.lit(None, VERDICTS[name]).alias(name) for name in (*empty, "judge_revision", "prompt_sha256")),
        judge=pl.lit("none (checked by others)"),
    )
    kept = table["clip_id"].to_list()
    world.tables["normalised"] = world.tables["normalised"].filter(
        pl.col("clip_id").is_in(kept) | (pl.col("status") != "ok")
    )
    world.metrics["judge"] = counts(world.tables["verdicts"])
    return world


def test_without_a_judge_every_clip_passes_unchecked(unjudged: World) -> None:
    unjudged.write()
    unjudged.check("verdicts")


def test_without_a_judge_a_score_or_a_rejection_is_refused(unjudged: World) -> None:
    name = "every_clip_passes_unchecked"
    unjudged.assert_refused("verdicts", name, lambda world: world.edit("verdicts", "cat-1", visual_unimodal_score=0.5))
