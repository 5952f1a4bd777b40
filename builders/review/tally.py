"""The votes that count, kept in memory and brought up to date by the rows that were added since.

A request for the next clips must not cost more when there are more clips or votes. The table of votes only grows, so
reading its new rows is enough, also when several servers share the database.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, select

from mma_bench.builders.review.store import votes

# Where several can write at once, a row may become visible after one with a higher serial: the latest are read again.
_OVERLAP: Final = 1000


@dataclass
class Person:
    """What one annotator has judged.

    Attributes:
        judged: Item → serial, whether it passed, and when (Unix time in seconds), in the order of voting.
        judged_and_full: How many of these need no further vote of anybody.
    """

    judged: dict[int, tuple[int, bool, float]] = field(default_factory=dict)
    judged_and_full: int = 0


class Tally:
    """The current votes on a review set.

    Args:
        ids: The items' ids; items are numbers from here on, in this order.
        controls: The numbers of those that are for everybody.
        needed: How many people judge each other clip.
    """

    def __init__(self, ids: Sequence[str], controls: Iterable[int], needed: int) -> None:
        self.needed = needed
        self.full: set[int] = set()  # clips with enough votes
        self.split: set[int] = set()  # of these, those on which people disagree and no further person has voted
        self.withdrawals = 0
        self._numbers = {name: number for number, name in enumerate(ids)}
        self._controls = frozenset(controls)
        self._people: dict[int, Person] = {}
        self._votes: dict[int, dict[int, bool]] = {}  # item → annotator → whether it passed
        self._latest: dict[tuple[int, int], int] = {}  # annotator, item → serial
        self._seen = 0

    def update(self, connection: Connection) -> None:
        """Read the rows that were added since."""
        columns = (votes.c.serial, votes.c.annotator, votes.c.item, votes.c.withdrawn, votes.c.passed, votes.c.at)
        begin = self._seen - (0 if connection.dialect.name == "sqlite" else _OVERLAP)
        fresh = select(*columns).where(votes.c.serial > begin).order_by(votes.c.serial)
        for serial, annotator, name, withdrawn, passed, at in connection.execute(fresh):
            self._seen = max(self._seen, serial)
            item = self._numbers.get(name)
            if item is not None and serial > self._latest.get((annotator, item), 0):
                self._latest[annotator, item] = serial
                self._put(annotator, item, None if withdrawn else (serial, passed, at))

    def person(self, annotator: int) -> Person:
        """What an annotator, by the number of the account, has judged."""
        return self._people.setdefault(annotator, Person())

    def _put(self, annotator: int, item: int, vote: tuple[int, bool, float] | None) -> None:
        """Replace an annotator's vote on an item, or take it back."""
        cast = self._votes.setdefault(item, {})
        was_full = item in self.full
        person = self.person(annotator)
        if person.judged.pop(item, None) is not None:
            person.judged_and_full -= was_full
            del cast[annotator]
        if vote is None:
            self.withdrawals += 1
        else:
            cast[annotator] = vote[1]
            person.judged[item] = vote
            person.judged_and_full += was_full
        is_full = len(cast) >= self.needed and item not in self._controls
        if is_full != was_full:
            (self.full.add if is_full else self.full.discard)(item)
            for each in cast:
                self.person(each).judged_and_full += 1 if is_full else -1
        is_split = is_full and len(cast) == self.needed and len(set(cast.values())) == 2
        (self.split.add if is_split else self.split.discard)(item)
