"""What each annotator judges: in their own order, enough votes per clip, controls for all, split votes for a third."""

import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.review import accounts
from mma_bench.builders.review.accounts import Annotator
from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.queue import pace, queue_for, shuffled
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import Vote, record


def items(count: int) -> list[Item]:
    return [Item(f"{number:032x}", f"clip{number}", "Cat", f"{number}.mp4") for number in range(count)]


def cast(store: Store, who: Annotator, item: Item, *, passed: bool) -> None:
    answers = {"object_visible": True, "audio_pure": passed, "action_dynamic": True, "passed": passed}
    vote = Vote(vote_id=secrets.token_hex(8), item=item.id, guideline_version=VERSION, **answers)
    record(store, who, vote, offered=frozenset({item.id}))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 60), st.integers(0, 20))
def test_orders_differ_between_people_and_survive_new_clips(count: int, more: int) -> None:
    order = [item.id for item in shuffled(items(count), "a-1")]
    grown = [item.id for item in shuffled(items(count + more), "a-1")]
    assert [item for item in grown if item in order] == order
    if count >= 20:
        assert order != [item.id for item in shuffled(items(count), "a-2")]
        assert order != sorted(order)


def test_a_clip_is_offered_until_enough_people_judged_it_and_controls_to_everybody(
    store: Store, review_set: list[Item]
) -> None:
    people = [accounts.add_annotator(store, f"p{number}", "password") for number in range(3)]
    clip = next(item for item in review_set if not item.failing)
    control = next(item for item in review_set if item.failing)
    for who in people[:2]:
        cast(store, who, clip, passed=True)
        cast(store, who, control, passed=False)
    ahead = queue_for(store, people[2], review_set, 2).ahead
    assert clip not in ahead
    assert control in ahead
    assert clip in queue_for(store, people[2], review_set, 3).ahead
    first = queue_for(store, people[0], review_set, 3)
    assert clip not in first.ahead
    assert (first.done, first.left) == (2, 12)
    assert len(queue_for(store, people[0], review_set, 3, ahead=5).ahead) == 5


def test_adjudicators_get_split_votes_alone_and_only_if_asked_for(store: Store, review_set: list[Item]) -> None:
    first, second = (accounts.add_annotator(store, name, "password") for name in ("a", "b"))
    third = accounts.add_annotator(store, "c", "password", adjudicator=True)
    clips = [item for item in review_set if not item.failing]
    for item, votes in zip(clips, ((True, True), (True, False), (False, False)), strict=False):
        for who, passed in zip((first, second), votes, strict=True):
            cast(store, who, item, passed=passed)
    cast(store, first, clips[3], passed=True)
    assert queue_for(store, third, review_set, 2).ahead == ()
    assert queue_for(store, third, review_set, 2, adjudicate=True).ahead == (clips[1],)


def test_pace_leaves_out_breaks() -> None:
    assert pace([]) is None
    assert pace([5.0]) is None
    assert pace([0, 10, 20, 4000, 4012]) == 10
    assert pace([float(10 * n) for n in range(50)] + [493.0 + 3 * n for n in range(31)]) == pytest.approx(3)
