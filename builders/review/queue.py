"""What each annotator judges next: in an order of their own, until enough people have judged a clip."""

import itertools
import statistics
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store, votes
from mma_bench.builders.review.tally import Person, Tally
from mma_bench.files import fingerprint
from mma_bench.web.accounts import Annotator

AHEAD: Final = 50  # clips that a browser gets at once
_LATEST: Final = 31  # votes from which the pace is taken
_LISTED: Final = 5  # votes that the page lists and undoes
_ANSWERS: Final = ("object_visible", "audio_pure", "action_dynamic", "passed", "note")
_PAUSE_S: Final = 180.0  # a longer gap between two votes is a break, not work


@dataclass(frozen=True)
class Queue:
    """The clips that one annotator has yet to judge.

    Attributes:
        ahead: The next items.
        done: How many the annotator has judged.
        left: How many remain, `ahead` included.
        seconds_per_clip: Median of the annotator's latest clips; None before the second.
        latest: The items judged last, with the answers given, the last one at the end.
    """

    ahead: tuple[Item, ...]
    done: int
    left: int
    seconds_per_clip: float | None
    latest: tuple[tuple[Item, Mapping[str, bool | str]], ...]


def shuffled(chosen: Sequence[Item], annotator: str) -> list[Item]:
    """The items in an order of the annotator's own, which stays the same when clips are added and reveals nothing."""
    return sorted(chosen, key=lambda item: fingerprint(annotator, item.id))


class Queues:
    """Everybody's queues. A request costs the same however many clips and votes there are, except an annotator's first,
    which puts the clips in their order.

    An annotator is asked for a clip that they have not judged, until `needed` people have; a control is for everybody.
    An adjudicator gets split votes alone.

    Args:
        store: With the votes.
        chosen: The review set.
        needed: How many people judge each clip.
        adjudicate: Whether split votes are adjudicated at all.
    """

    def __init__(self, store: Store, chosen: Sequence[Item], needed: int, *, adjudicate: bool = False) -> None:
        self._store, self._chosen, self._adjudicate = store, chosen, adjudicate
        controls = (number for number, item in enumerate(chosen) if item.failing)
        self._tally = Tally([item.id for item in chosen], controls, needed)
        self._orders: dict[str, array[int]] = {}  # by the annotator's code
        self._begin: dict[str, tuple[int, int]] = {}  # where the first open clip of that order may be; see `_open`
        self._lock = threading.Lock()

    def of(self, annotator: Annotator, *, ahead: int = AHEAD) -> Queue:
        """The annotator's queue as it is now, with at most `ahead` items."""
        with self._lock, self._store.reading() as connection:
            self._tally.update(connection)
            person = self._tally.person(annotator.id)
            if annotator.adjudicator:
                wanted = (self._tally.split - person.judged.keys()) if self._adjudicate else set()
                left = len(wanted)
                places = sorted(wanted, key=lambda number: fingerprint(annotator.code, self._chosen[number].id))
                found = places[:ahead]
            else:
                found = list(itertools.islice(self._open(annotator.code, person), ahead))
                full = self._tally.full
                left = len(self._chosen) - len(person.judged) - len(full) + person.judged_and_full
            times = [at for _, _, at in itertools.islice(reversed(person.judged.values()), _LATEST)]
            return Queue(
                ahead=tuple(self._chosen[number] for number in found),
                done=len(person.judged),
                left=left,
                seconds_per_clip=pace(times[::-1]),
                latest=self._listed(connection, person),
            )

    def _open(self, code: str, person: Person) -> Iterator[int]:
        """The clips that an annotator is asked for, in their order.

        Those before the first open one stay closed until a vote is withdrawn, so they are passed over once.
        """
        if code not in self._orders:
            places = {item.id: number for number, item in enumerate(self._chosen)}
            self._orders[code] = array("L", (places[item.id] for item in shuffled(self._chosen, code)))
        order, full = self._orders[code], self._tally.full
        begin, withdrawals = self._begin.get(code, (0, 0))
        if withdrawals != self._tally.withdrawals:
            begin = 0
        while begin < len(order) and (order[begin] in person.judged or order[begin] in full):
            begin += 1
        self._begin[code] = begin, self._tally.withdrawals
        for number in itertools.islice(order, begin, None):
            if number not in person.judged and number not in full:
                yield number

    def _listed(self, connection: Connection, person: Person) -> tuple[tuple[Item, Mapping[str, bool | str]], ...]:
        numbers = list(itertools.islice(reversed(person.judged), _LISTED))[::-1]
        serials = [person.judged[number][0] for number in numbers]
        columns = (votes.c[name] for name in _ANSWERS)
        rows = connection.execute(select(*columns).where(votes.c.serial.in_(serials)).order_by(votes.c.serial))
        return tuple((self._chosen[number], row._asdict()) for number, row in zip(numbers, rows, strict=True))


def pace(times: Sequence[float]) -> float | None:
    """Median seconds between the latest 30 votes, breaks left out; None with fewer than two.

    Args:
        times: When each vote was cast, in seconds, ascending.
    """
    latest = times[-_LATEST:]
    gaps = [later - sooner for sooner, later in itertools.pairwise(latest) if later - sooner < _PAUSE_S]
    return statistics.median(gaps) if gaps else None
