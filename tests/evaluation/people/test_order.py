"""Everybody has an order of their own: balanced, with a clip's prompts as far apart as can be."""

from collections import Counter
from itertools import pairwise, product

import pytest

from mma_bench.evaluation.people.order import in_order
from mma_bench.evaluation.people.study import Item


def items(bases: int, conditions: tuple[str, ...]) -> list[Item]:
    return [
        Item(f"{base}-{condition}-{question}", "", "", str(base), str(base), condition, "f", question, (), "", "", "")
        for base, condition, question in product(range(bases), conditions, ("visual", "audio"))
    ]


@pytest.mark.parametrize("bases", [1, 7, 8, 20])
@pytest.mark.parametrize("conditions", [("aligned",), ("aligned", "misaligned"), ("a", "b", "c")])
def test_the_prompts_about_a_clip_are_as_far_apart_as_there_are_clips(bases: int, conditions: tuple[str, ...]) -> None:
    asked = items(bases, conditions)
    for person in ("a-1", "a-2"):
        order = in_order(asked, person)
        assert sorted(item.id for item in order) == sorted(item.id for item in asked)
        last: dict[str, int] = {}
        for place, item in enumerate(order):
            assert place - last.get(item.base, place - bases) == bases
            last[item.base] = place


def test_each_kind_of_prompt_comes_once_in_every_block() -> None:
    order = in_order(items(20, ("aligned", "misaligned")), "a-1")
    for begin in range(0, len(order), 4):
        assert Counter(item.cell for item in order[begin : begin + 4]).most_common(1)[0][1] == 1


def test_people_have_different_orders_that_do_not_change() -> None:
    asked = items(20, ("aligned", "misaligned"))
    first, second = (in_order(asked, person) for person in ("a-1", "a-2"))
    assert first != second
    assert in_order(asked[::-1], "a-1") == first
    followed = Counter((one.cell, two.cell) for one, two in pairwise(first))
    assert len(followed) > 8  # no kind foretells the next


def test_clips_with_several_prompts_of_a_kind_and_single_controls_are_all_asked() -> None:
    steps = [Item(f"step-{level}", "", "", "0", "0", "degraded", "f", "audio", (), "", "", "") for level in range(5)]
    control = Item("control", "", "", "x", "x", "aligned", "f", "visual", (), "", "", "", True)
    order = in_order([*items(4, ("aligned",)), *steps, control], "a-1")
    assert len({item.id for item in order}) == len(order) == 14
