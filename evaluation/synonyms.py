"""Further names of the classes, for reading answers; the tables travel with the package.

- `synonyms.json`: what AudioSet's ontology calls the class and the sounds that count as it. It is written from the
  build's class list by `python -m mma_bench.evaluation.synonyms data/classes.json`.
- `everyday_names.csv`: what people call it; written by hand. A row without a class names a thing that is none of the
  classes, though a class's name is in it: `fire alarm`.
"""

import csv
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from mma_bench.classes import ClassTable, load_classes
from mma_bench.files import write_json

_FILE: Final = "synonyms.json"
_EVERYDAY: Final = "everyday_names.csv"
_ASIDE = re.compile(r"\(.*?\)")


def names_of(table: ClassTable) -> dict[str, list[str]]:
    """Names by class: the ontology's names of its node and members, parts of a list of names, and asides each alone."""
    return {
        label_class.name: sorted({part for member in label_class.members for part in _parts(table.nodes[member].name)})
        for label_class in table.classes
    }


def _parts(name: str) -> set[str]:
    """`Canidae, dogs, wolves` → all of it, `Canidae`, `dogs`, `wolves`; `Roaring cats (lions, tigers)` likewise.

    An aside of one word, such as `Chopping (food)`, tells where the sound belongs and is not a name of it.
    """
    aside = [word for match in _ASIDE.findall(name) if "," in match for word in match.strip("()").split(",")]
    plain = _ASIDE.sub("", name)
    return {part.strip() for part in (name, *plain.split(","), *aside) if part.strip() not in ("", "etc.")}


def _tables() -> tuple[dict[str, list[str]], list[str]]:
    folder = resources.files("mma_bench.evaluation")
    names: dict[str, list[str]] = json.loads(folder.joinpath(_FILE).read_text("utf-8"))
    no_class: list[str] = []
    for row in csv.DictReader(folder.joinpath(_EVERYDAY).read_text("utf-8").splitlines()):
        (names[row["class"]] if row["class"] else no_class).append(row["name"])
    return names, no_class


_names, _other_things = _tables()
SYNONYMS: Final[Mapping[str, list[str]]] = _names
OTHER_THINGS: Final[Sequence[str]] = _other_things  # of no class


if __name__ == "__main__":
    write_json(Path(__file__).with_name(_FILE), names_of(load_classes(Path(sys.argv[1]))))
