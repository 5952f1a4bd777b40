"""Every promise about pairs, broken on purpose."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mma_bench.validation.pairs import pair_counts
from tests.validation.world import World


def _short_donor(world: World) -> None:
    """cat-1's donor is dog-1; its sound ends a little earlier than the slack allows."""
    world.edit("aligned", "dog-1", audio_duration_s=10.0 - world.raw["pair"]["slack_s"] - 0.01)


FAULTS: dict[str, Callable[[World], None]] = {
    "every_clip_has_its_donors": lambda world: world.drop("pairs", "cat-1"),
    "donors_are_of_distinct_classes": lambda world: world.edit("pairs", "cat-2", audio_class="Dog"),
    "ranks_run_from_0": lambda world: world.edit("pairs", "cat-1", rank=1),
    "counts_add_up": lambda world: world.metrics["pair"]["test"].update(pairs=5),
    "base_is_aligned_and_of_its_class": lambda world: world.edit("pairs", "cat-1", visual_class="Bell"),
    "donor_is_aligned_and_of_its_class": lambda world: world.edit("pairs", "cat-1", donor_id="dog-2"),
    "donor_is_another_clip": lambda world: world.edit("pairs", "cat-1", donor_id="cat-1"),
    "donor_is_of_another_video": lambda world: world.edit("aligned", "dog-1", video_id="video-cat-1"),
    "donor_is_of_another_class": lambda world: world.edit("pairs", "cat-1", audio_class="Cat"),
    "donor_is_long_enough": _short_donor,
    "distance_is_that_of_the_ontology": lambda world: world.edit("pairs", "cat-1", class_distance=3),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(world: World, name: str) -> None:
    world.assert_refused("pairs", name, FAULTS[name])


def test_every_promise_has_its_fault(world: World) -> None:
    assert world.promise_names("pairs") == list(FAULTS)


def test_a_sound_table_passes(world: World) -> None:
    world.write()
    world.check("pairs")


def test_one_donor_too_many_is_refused(world: World) -> None:
    world.assert_refused(
        "pairs",
        "every_clip_has_its_donors",
        lambda world: world.double("pairs", "cat-1", donor_id="bell-1", audio_class="Bell", rank=1),
    )


@pytest.fixture
def given(world: World) -> World:
    """A list of pairs: cat-1 with dog-1, bell-1 with any cat; the others have none."""
    world.raw["pair"]["given"] = "pairs.csv"
    Path("pairs.csv").write_text("base_id,donor_id,donor_class\ncat-1,dog-1,\nbell-1,,Cat\n")
    world.tables["pairs"] = world.tables["pairs"].filter(pl.col("base_id").is_in(["cat-1", "bell-1"]))
    world.metrics["pair"] = {"test": {"bases": 2, "pairs": 2}}
    return world


def test_given_pairs_need_not_be_as_many_as_set(given: World) -> None:
    given.write()
    given.check("pairs")
    assert "every_clip_has_its_donors" not in given.promise_names("pairs")


def test_a_pair_that_is_not_given_is_refused(given: World) -> None:
    Path("pairs.csv").write_text("base_id,donor_id,donor_class\ncat-1,dog-1,\nbell-1,,Dog\n")
    given.assert_refused("pairs", "pair_is_given", lambda _: None)


def test_pairs_of_no_split_and_splits_without_pairs_count_as_none() -> None:
    metric = {"unknown": {"bases": 0, "pairs": 0, "base_missing": 2}, "test": {"bases": 1, "pairs": 1}}
    table = pl.DataFrame({"split": ["test"], "base_id": ["cat"]})
    facts = pair_counts(metric, table)
    assert facts.filter(pl.col("reported").ne_missing(pl.col("counted"))).is_empty()
