"""Open answers: a free answer is read into AudioSet's ontology and scored by its distance to the right class.

`ontology_labels.csv` has AudioSet's ontology with its names, which of its entries are among the 527 labels of the data
set, and which class of the benchmark each counts as. It is derived from the ontology of Gemmeke et al., "Audio Set: An
ontology and human-labeled dataset for audio events" (ICASSP 2017), licensed under CC BY-SA 4.0, and is under the same
licence.

An answer is read by the rules of `parse`, with all entries as options. Of several that lie on one path, the most
specific counts (`a dog barking`: Bark); if all count as one class, it is that class; otherwise the answer lists several
things and is unread.

| distance | the answer |
|---|---|
| `exact` | is the right class, by any of its names |
| `narrower` | lies below it, or counts as it |
| `broader` | lies above it |
| `same_tree` | has another class or none, but shares an ancestor with it |
| `other` | shares no ancestor with it |
| `unread` | names nothing in the ontology, or several things |

`exact` and `narrower` are right.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib import resources
from typing import Any, Final, Literal, TypeAlias, get_args

from mma_bench.evaluation.cells import Cell, estimated, labelled, outcomes
from mma_bench.evaluation.parse import statements
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.reading.names import content, singular
from mma_bench.evaluation.reading.text import tokens
from mma_bench.evaluation.synonyms import SYNONYMS

Distance: TypeAlias = Literal["exact", "narrower", "broader", "same_tree", "other", "unread"]
DISTANCES: Final[tuple[Distance, ...]] = get_args(Distance)

_FILE: Final = "ontology_labels.csv"


@dataclass(frozen=True)
class Entry:
    """One entry of the ontology.

    Attributes:
        name: Its own name, e.g. `Canidae, dogs, wolves`.
        parents: Names.
        class_name: The class that it counts as; None if none.
        is_class: Whether it is the entry of that class itself.
        is_label: Whether it is among the 527 labels of AudioSet.
    """

    name: str
    parents: tuple[str, ...]
    class_name: str | None
    is_class: bool
    is_label: bool


@cache
def entries() -> Mapping[str, Entry]:
    """Name → entry, of all 632."""
    text = resources.files("mma_bench.evaluation").joinpath(_FILE).read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    name_of = {row["id"]: row["name"] for row in rows}
    return {
        row["name"]: Entry(
            row["name"],
            tuple(name_of[parent] for parent in row["parents"].split()),
            row["class"] or None,
            row["is_class"] == "1",
            row["is_label"] == "1",
        )
        for row in rows
    }


@cache
def entry_of_class() -> Mapping[str, str]:
    """Class → the name of its entry."""
    return {entry.class_name: name for name, entry in entries().items() if entry.class_name and entry.is_class}


@cache
def above(name: str) -> frozenset[str]:
    """All entries above one, over every path, without itself."""
    return frozenset(ancestor for parent in entries()[name].parents for ancestor in (parent, *above(parent)))


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    """Entry → further names: the parts of its own, and, of a class, its everyday names. Each name has one owner.

    The own name of an entry comes first, then the parts, of which the uppermost entry keeps a shared one, then others.
    """
    taken = {_key(name) for name in entries()}
    found: dict[str, list[str]] = {name: [] for name in entries()}
    parts = [(name, part.strip()) for name in entries() for part in name.split("(")[0].split(",")]
    parts.sort(key=lambda item: len(above(item[0])))
    for owner, part in (*parts, *_everyday()):
        key = _key(part)
        if key and key not in taken and part != "etc.":
            taken.add(key)
            found[owner].append(part)
    return {name: tuple(others) for name, others in found.items()}


def _everyday() -> Iterable[tuple[str, str]]:
    return ((entry_of_class()[name], other) for name, others in SYNONYMS.items() for other in (name, *others))


def _key(name: str) -> tuple[str, ...]:
    return tuple(singular(word) for word in content(tokens(name)))


@lru_cache(maxsize=4096)
def read_open(text: str) -> str | None:
    """The entry of the ontology that an answer names; None if it names none or several things.

    >>> read_open("A dog.")
    'Dog'
    """
    named, denied = statements(text, tuple(entries()), _names())
    left = named - denied
    specific = {name for name in left if not any(name in above(other) for other in left)}
    if len(specific) == 1:
        return specific.pop()
    classes = {entries()[name].class_name for name in specific}
    if len(classes) == 1 and (only := classes.pop()) is not None:
        return entry_of_class()[only]
    return None


def as_answer(entry: str | None) -> str | None:
    """How a prediction records it: the class that the entry counts as, else the entry's name."""
    return None if entry is None else entries()[entry].class_name or entry


def distance(entry: str | None, class_name: str) -> Distance:
    """How far an entry is from a class; for a class outside the ontology, equal or not is all there is."""
    if entry is None:
        return "unread"
    right = entry_of_class().get(class_name)
    if right is None:
        return "exact" if entry == class_name else "other"
    if entry == right:
        return "exact"
    if right in above(entry) or entries()[entry].class_name == class_name:
        return "narrower"
    if entry in above(right):
        return "broader"
    return "same_tree" if above(entry) & above(right) or above(right) & {entry} else "other"


def open_answers(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """A row for each cell of open answers and each distance: the share of answers with its interval."""
    return [
        labelled(cell, {"distance": name, **estimated(outcomes(rows, partial(_is_at, name)))})
        for cell, rows in cells.items()
        if cell[0] == "open_answer"
        for name in DISTANCES
    ]


def _is_at(name: Distance, row: Prediction) -> bool:
    return distance(read_open(row.raw or ""), row.expected) == name
