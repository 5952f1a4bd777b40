"""Further names of the classes, for parsing answers; the tables ship with the package.

- `synonyms.json`: AudioSet's names for the class and for the sounds that count as it. Generated from the build's class
  list by `python -m mma_bench.evaluation.synonyms data/classes.json`.
- `everyday_names.csv`: everyday names; written by hand. A row without a class is a phrase that contains a class name
  but is none of the classes: `fire alarm`.
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
    """Names by class: the ontology's names of its node and members, plus each part of a list and each parenthetical."""
    return {
        label_class.name: sorted({part for member in label_class.members for part in _parts(table.nodes[member].name)})
        for label_class in table.classes
    }


def _parts(name: str) -> set[str]:
    """`Canidae, dogs, wolves` → all of it, `Canidae`, `dogs`, `wolves`; `Roaring cats (lions, tigers)` likewise.

    A one-word parenthetical, as in `Chopping (food)`, gives the context of the sound and is not a name.
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
OTHER_THINGS: Final[Sequence[str]] = _other_things  # not a class


if __name__ == "__main__":
    write_json(Path(__file__).with_name(_FILE), names_of(load_classes(Path(sys.argv[1]))))
