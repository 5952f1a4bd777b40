"""Every promise about candidates, broken on purpose."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.validation.world import World


def _class_above_another(world: World) -> None:
    """Meow becomes a class below Cat."""
    cat = world.classes.classes[1]
    meow = replace(cat, name="Meow", node_id="/m/meow", members=("/m/meow",))
    nodes = {**world.classes.nodes, "/m/meow": replace(world.classes.nodes["/m/meow"], step="kept", class_name="Meow")}
    world.classes = replace(world.classes, classes=(*world.classes.classes, meow), nodes=nodes)


def _dropped_class(world: World) -> None:
    cat = replace(world.classes.nodes["/m/cat"], step="ambiguous")
    world.classes = replace(world.classes, nodes={**world.classes.nodes, "/m/cat": cat})


def _ancestor_pair(world: World) -> None:
    world.edit("label_sets", "/m/thing,/m/cat", leaves=["/m/cat", "/m/thing"])


FAULTS: dict[str, Callable[[World], None]] = {
    "subset_is_known": lambda world: world.edit("candidates", "cat-1", subset="somewhere"),
    "clip_is_unique": lambda world: world.double("candidates", "cat-1"),
    "id_is_safe_as_a_file_name": lambda world: world.edit("candidates", "cat-1", clip_id="../cat-1"),
    "segment_ends_after_it_starts": lambda world: world.edit("candidates", "cat-1", start_s=10.0),
    "segment_is_not_too_long": lambda world: world.edit("candidates", "cat-1", end_s=12.5),
    "labels_are_kept": lambda world: world.edit("candidates", "cat-1", label_ids=[]),
    "label_is_given_once": lambda world: world.edit("candidates", "cat-1", label_ids=["/m/cat", "/m/cat"]),
    "class_is_kept": lambda world: world.edit("candidates", "cat-1", class_name="Hum"),
    "label_is_single": lambda world: world.edit("candidates", "cat-1", label_ids=["/m/cat", "/m/dog"]),
    "leaves_hold_no_ancestor_pair": _ancestor_pair,
    "source_video_is_on_one_side": lambda world: world.edit("candidates", "cat-1", video_id="video-dog-2"),
    "no_class_is_above_another": _class_above_another,
    "class_survived_the_pruning": _dropped_class,
    "funnel_adds_up": lambda world: world.funnel["sample_eval"].update(segments=10),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(world: World, name: str) -> None:
    world.assert_refused("candidates", name, FAULTS[name])


def test_every_promise_has_its_fault(world: World) -> None:
    assert world.promise_names("candidates") == list(FAULTS)


def test_a_sound_table_passes(world: World) -> None:
    world.write()
    world.check("candidates")


def test_a_manifest_may_have_a_subset_that_no_split_uses(world: World) -> None:
    """A build of test clips alone leaves the manifest's train clips out."""
    world.raw["acquire"]["splits"] = {"test": ["sample_eval"]}
    world.write()
    world.check("candidates", "subset_is_known", "source_video_is_on_one_side")


@pytest.mark.parametrize(
    ("label_ids", "stray"),
    [
        (["/m/cat"], None),
        (["/m/thing", "/m/cat", "/m/meow"], None),  # Meow counts as Cat, and what is above them does not count
        (["/m/meow"], None),
        (["/m/thing"], "/m/thing (Thing)"),
        (["/m/cat", "/m/dog"], "/m/dog (Dog)"),
        (["/m/cat", "/m/thing", "/m/hum"], "/m/hum (Hum)"),
        (["/m/cat", "/m/unheard"], "/m/unheard (not in the ontology)"),
    ],
)
def test_a_stray_label_is_one_that_is_neither_of_the_class_nor_above_another(
    world: World, label_ids: list[str], stray: str | None
) -> None:
    from mma_bench.validation.candidates import stray_label

    assert stray_label(label_ids, "Cat", world.classes) == stray


@pytest.mark.parametrize("count", ["cross_tree", "multi_class", "candidates"])
def test_each_count_of_the_funnel_is_that_of_the_tables(world: World, count: str) -> None:
    """Moved from one count to another, so that the sum still holds."""

    def fault(world: World) -> None:
        funnel = world.funnel["sample_eval"]
        other = "multi_class" if count == "cross_tree" else "cross_tree"
        funnel[count] += 1
        funnel[other] -= 1

    world.assert_refused("candidates", "funnel_adds_up", fault)
