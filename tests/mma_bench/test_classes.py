"""The class table: distances in the ontology, and the file that carries it."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mma_bench.classes import ClassTable, LabelClass, Node, Override, class_distance, load_classes, save_classes
from mma_bench.errors import DataError

PARENTS: dict[str, tuple[str, ...]] = {
    "animal": (),
    "pets": ("animal",),
    "dog": ("pets",),
    "cat": ("pets",),
    "music": (),
    "instrument": ("music",),
    "things": (),
    "bell": ("instrument", "things"),
    "yip": ("dog",),
}
CLASSES = {"Dog": "dog", "Cat": "cat", "Bell": "bell", "Things": "things"}


def table() -> ClassTable:
    nodes = {
        node_id: Node(node_id, parents, 1, (node_id,), "kept", "", None) for node_id, parents in sorted(PARENTS.items())
    }
    classes = tuple(
        LabelClass(name, node_id, node_id, (node_id,), (node_id,)) for name, node_id in sorted(CLASSES.items())
    )
    return ClassTable(classes, nodes, (Override("bell", "bell", "multi_parent", "keep Bell", "why"),))


@pytest.mark.parametrize(
    ("a", "b", "edges"),
    [
        ("Dog", "Cat", 2),  # over pets
        ("Bell", "Things", 1),  # one of its two parents
        ("Dog", "Things", 4),  # pets, animal, the virtual root, things
        ("Dog", "Bell", 5),  # the shorter way to Bell, by things
    ],
)
def test_the_distance_of_two_classes_is_the_shortest_way_over_a_common_ancestor(a: str, b: str, edges: int) -> None:
    assert class_distance(table(), a, b) == class_distance(table(), b, a) == edges


def test_only_a_class_and_itself_have_no_distance() -> None:
    for a, b in itertools.product(CLASSES, CLASSES):
        assert (class_distance(table(), a, b) == 0) == (a == b)


@pytest.mark.parametrize(("a", "b"), [("Dog", "Cow"), ("Cow", "Dog")])
def test_an_unknown_class_is_named(a: str, b: str) -> None:
    with pytest.raises(DataError, match="'Cow' is not a class"):
        class_distance(table(), a, b)


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    save_classes(table(), tmp_path / "classes.json")
    assert load_classes(tmp_path / "classes.json") == table()


@pytest.mark.parametrize("damage", ["classes", "nodes", "step"])
def test_a_file_of_another_form_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "classes.json"
    save_classes(table(), path)
    raw = json.loads(path.read_text())
    if damage == "step":
        del raw["nodes"]["dog"]["step"]
    else:
        del raw[damage]
    path.write_text(json.dumps(raw))
    with pytest.raises(DataError, match=r"classes\.json is not in the format"):
        load_classes(path)


def test_importing_the_module_loads_nothing_heavy() -> None:
    script = "import sys, mma_bench.classes; print(sorted({'polars', 'numpy', 'pydantic', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
