"""What each annotator judges next: in an order of their own, until enough people have judged a clip."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func

from mma_bench.builders.review.accounts import Annotator
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store, votes
from mma_bench.builders.review.votes import current, own_votes
from mma_bench.files import fingerprint

AHEAD: Final = 50  # clips that a browser gets at once
_PAUSE_S: Final = 180.0  # a longer gap between two votes is a break, not work


@dataclass(frozen=True)
class Queue:
    """The clips that one annotator has yet to judge.

    Attributes:
        ahead: The next items.
        done: How many the annotator has judged.
        left: How many remain, `ahead` included.
        seconds_per_clip: Median of the annotator's latest clips; None before the second.
        last: The item judged last, with the answers given; None before the first.
    """

    ahead: tuple[Item, ...]
    done: int
    left: int
    seconds_per_clip: float | None
    last: tuple[Item, Mapping[str, bool | str]] | None


def shuffled(chosen: Sequence[Item], annotator: str) -> list[Item]:
    """The items in an order of the annotator's own, which stays the same when clips are added and reveals nothing."""
    return sorted(chosen, key=lambda item: fingerprint(annotator, item.id))


def still_wanted(
    item: Item, own: bool | None, others: Mapping[bool, int], needed: int, *, adjudicator: bool, adjudicate: bool
) -> bool:
    """Whether an annotator is asked for an item.

    Args:
        own: The annotator's vote, None if there is none.
        others: How many others passed and failed it.
        needed: How many people judge each clip; controls are for everybody.
        adjudicator: The annotator decides split votes and gets no other clips.
        adjudicate: Whether split votes are adjudicated at all.
    """
    if own is not None:
        return False
    passed, failed = others.get(True, 0), others.get(False, 0)
    if adjudicator:
        return adjudicate and not item.failing and passed + failed == needed and passed > 0 and failed > 0
    return bool(item.failing) or passed + failed < needed


def queue_for(
    store: Store,
    annotator: Annotator,
    chosen: Sequence[Item],
    needed: int,
    *,
    ahead: int = AHEAD,
    adjudicate: bool = False,
) -> Queue:
    """The annotator's queue as it is now, with at most `ahead` items."""
    shown = {item.id: item for item in chosen}
    with store.reading() as connection:
        own = [vote for vote in own_votes(connection, annotator.id) if vote.item in shown]
        counted = current().order_by(None).with_only_columns(votes.c.item, votes.c.passed, func.count())
        counted = counted.where(votes.c.annotator != annotator.id).group_by(votes.c.item, votes.c.passed)
        others: dict[str, dict[bool, int]] = {}
        for item, passed, count in connection.execute(counted):
            others.setdefault(item, {})[passed] = count
    mine = {vote.item: vote for vote in own}
    wanted = [
        item
        for item in chosen
        if still_wanted(
            item,
            mine[item.id].passed if item.id in mine else None,
            others.get(item.id, {}),
            needed,
            adjudicator=annotator.adjudicator,
            adjudicate=adjudicate,
        )
    ]
    last = None
    if own:
        columns = ("object_visible", "audio_pure", "action_dynamic", "passed", "note")
        last = shown[own[-1].item], {column: own[-1]._mapping[column] for column in columns}
    return Queue(
        tuple(shuffled(wanted, annotator.code)[:ahead]), len(own), len(wanted), pace([vote.at for vote in own]), last
    )


def pace(times: Sequence[float]) -> float | None:
    """Median seconds between the latest 30 votes, breaks left out; None with fewer than two.

    Args:
        times: When each vote was cast, in seconds, ascending.
    """
    latest = times[-31:]
    gaps = [later - sooner for sooner, later in itertools.pairwise(latest) if later - sooner < _PAUSE_S]
    return statistics.median(gaps) if gaps else None
