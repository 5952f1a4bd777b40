"""Further names of the classes: what AudioSet's ontology calls the class and the sounds that count as it.

The table travels with the package, so that answers can be parsed without a build. It is written from the build's class
list by `python -m mma_bench.evaluation.synonyms data/classes.json`.
"""

import json
import re
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from mma_bench.classes import ClassTable, load_classes
from mma_bench.files import write_json

_FILE: Final = "synonyms.json"
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


def _load() -> Mapping[str, list[str]]:
    loaded: Mapping[str, list[str]] = json.loads(
        resources.files("mma_bench.evaluation").joinpath(_FILE).read_text("utf-8")
    )
    return loaded


SYNONYMS: Final[Mapping[str, list[str]]] = _load()


if __name__ == "__main__":
    write_json(Path(__file__).with_name(_FILE), names_of(load_classes(Path(sys.argv[1]))))
