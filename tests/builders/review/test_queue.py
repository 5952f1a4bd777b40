"""What each annotator judges: in their own order, enough votes per clip, controls for all, split votes for a third."""

import secrets
import tempfile
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.queue import Queues, pace, shuffled
from mma_bench.builders.review.review_set import Item, put
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import Vote, own_votes, record
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator


def items(count: int) -> list[Item]:
    return [Item(f"{number:032x}", f"clip{number}", "Cat", f"{number}.mp4") for number in range(count)]


def cast(store: Store, who: Annotator, item: Item, *, passed: bool | None) -> None:
    """A vote, or the withdrawal of one."""
    answers = {"object_visible": True, "audio_pure": passed, "action_dynamic": True, "passed": passed}
    answers = answers if passed is not None else {}
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
    ahead = Queues(store, review_set, 2).of(people[2]).ahead
    assert clip not in ahead
    assert control in ahead
    assert clip in Queues(store, review_set, 3).of(people[2]).ahead
    first = Queues(store, review_set, 3).of(people[0])
    assert clip not in first.ahead
    assert (first.done, first.left) == (2, 12)
    assert len(Queues(store, review_set, 3).of(people[0], ahead=5).ahead) == 5


def test_adjudicators_get_split_votes_alone_and_only_if_asked_for(store: Store, review_set: list[Item]) -> None:
    first, second = (accounts.add_annotator(store, name, "password") for name in ("a", "b"))
    third = accounts.add_annotator(store, "c", "password", adjudicator=True)
    clips = [item for item in review_set if not item.failing]
    for item, votes in zip(clips, ((True, True), (True, False), (False, False)), strict=False):
        for who, passed in zip((first, second), votes, strict=True):
            cast(store, who, item, passed=passed)
    cast(store, first, clips[3], passed=True)
    assert Queues(store, review_set, 2).of(third).ahead == ()
    assert Queues(store, review_set, 2, adjudicate=True).of(third).ahead == (clips[1],)


def test_pace_leaves_out_breaks() -> None:
    assert pace([]) is None
    assert pace([5.0]) is None
    assert pace([0, 10, 20, 4000, 4012]) == 10
    assert pace([float(10 * n) for n in range(50)] + [493.0 + 3 * n for n in range(31)]) == pytest.approx(3)


def plainly(
    latest: dict[tuple[int, int], bool | None], chosen: list[Item], who: Annotator, needed: int, *, adjudicate: bool
) -> list[Item]:
    """The rules without memory: `latest` has annotator, item → passed, None if withdrawn."""
    wanted = []
    for place, item in enumerate(chosen):
        cast = {person: passed for (person, at), passed in latest.items() if at == place and passed is not None}
        if who.id in cast:
            continue
        if who.adjudicator:
            split = len(cast) == needed and len(set(cast.values())) == 2
            is_wanted = adjudicate and not item.failing and split
        else:
            is_wanted = bool(item.failing) or len(cast) < needed
        if is_wanted:
            wanted.append(item)
    return shuffled(wanted, who.code)


_VOTES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([True, False, None])), max_size=40)


@settings(deadline=None, max_examples=60)
@given(_VOTES, st.integers(1, 3), st.booleans())
def test_queues_follow_the_rules_after_any_votes_and_withdrawals(
    cast_votes: list[tuple[int, int, bool | None]], needed: int, adjudicate: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/review.db")
        chosen = [*items(5), replace(items(6)[5], failing=("audio_pure",))]
        put(store, chosen)
        people = [
            accounts.add_annotator(store, f"p{number}", "password", adjudicator=number == 3) for number in range(4)
        ]
        queues = Queues(store, chosen, needed, adjudicate=adjudicate)
        latest: dict[tuple[int, int], bool | None] = {}
        for number, place, passed in cast_votes:
            cast(store, people[number], chosen[place], passed=passed)
            latest[people[number].id, place] = passed
            for who in people:
                queue = queues.of(who, ahead=3)
                wanted = plainly(latest, chosen, who, needed, adjudicate=adjudicate)
                with store.reading() as connection:
                    own = own_votes(connection, who.id)
                assert list(queue.ahead) == wanted[:3]
                assert (queue.left, queue.done) == (len(wanted), len(own))
                assert [item.id for item, _ in queue.latest] == [vote.item for vote in own[-5:]]
                assert [given["passed"] for _, given in queue.latest] == [vote.passed for vote in own[-5:]]
        store.close()


def test_a_server_sees_the_votes_that_another_one_records(store: Store, review_set: list[Item]) -> None:
    who = accounts.add_annotator(store, "a", "password")
    queues = Queues(store, review_set, 2)
    assert queues.of(who).done == 0
    other = Store(f"sqlite:///{store.file}")
    cast(other, who, review_set[0], passed=True)
    other.close()
    assert queues.of(who).done == 1


def test_a_queue_looks_at_few_of_many_clips(store: Store) -> None:
    class Watched(list[Item]):
        looked = 0

        def __getitem__(self, place: Any) -> Any:
            Watched.looked += 1
            return super().__getitem__(place)

    chosen = Watched(items(3000))
    put(store, chosen)
    who, other = (accounts.add_annotator(store, name, "password") for name in "ab")
    queues = Queues(store, chosen, 1)
    for item in queues.of(who, ahead=20).ahead:
        cast(store, other, item, passed=True)
    Watched.looked = 0
    assert queues.of(who, ahead=20).left == 2980
    assert Watched.looked <= 20
