"""Appendix A.1 in code: absorption, mechanical rules, the curation table's last word, and malformed input named."""

import csv
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders import metadata
from mma_bench.builders.labels.decisions import Action, Decision, read_decisions
from mma_bench.builders.ontology import Entry, class_level, class_map, load_ontology
from mma_bench.classes import ClassTable, class_distance, save_classes
from mma_bench.errors import DataError

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "builders/curation/class_decisions.csv"

Items = list[dict[str, Any]]


def entry(node_id: str, *children: str, restrictions: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"id": node_id, "name": node_id.title(), "child_ids": list(children), "restrictions": list(restrictions)}


def written(path: Path, items: Any) -> Path:
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


SMALL: Items = [
    entry("animal", "pets", "wild"),
    entry("pets", "dog", "cat"),
    entry("wild", "canidae", "snake"),
    entry("dog", "bark", "howl"),
    entry("canidae", "howl"),
    entry("cat", "hiss"),
    entry("snake", "hiss"),
    entry("bark", "yip"),
    entry("yip"),
    entry("howl"),
    entry("hiss"),
    entry("noise", "hum", "buzz"),
    entry("hum", restrictions=("blacklist",)),
    entry("buzz"),
]


def decided(action: str, node_id: str, class_name: str = "") -> Decision:
    return Decision(
        where="table, line 2",
        node_id=node_id,
        name=node_id.title(),
        action=action,
        class_name=class_name,
        reason=f"{action} by hand",
    )


DECISIONS = [
    decided("keep", "canidae", "Canidae"),
    decided("absorb", "dog", "Canidae"),
    decided("keep", "cat", "Cat"),
    decided("drop:actionless", "snake"),
    decided("drop:ambiguous", "noise"),
    decided("drop:restricted", "hum"),
]


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Entry]:
    return load_ontology(written(tmp_path / "ontology.json", SMALL))


def test_every_node_has_its_step_and_class(small: dict[str, Entry]) -> None:
    nodes = class_map(small, DECISIONS, 3).nodes
    assert {node_id: (node.step, node.class_name) for node_id, node in nodes.items()} == {
        "animal": ("uncurated", None),
        "pets": ("uncurated", None),
        "wild": ("uncurated", None),
        "dog": ("absorbed", "Canidae"),
        "canidae": ("kept", "Canidae"),
        "cat": ("kept", "Cat"),
        "snake": ("actionless", None),
        "bark": ("depth", "Canidae"),
        "yip": ("depth", "Canidae"),
        "howl": ("depth", "Canidae"),  # below Dog and Canidae, which are one class
        "hiss": ("multi_parent", None),  # below Cat and Snake
        "noise": ("ambiguous", None),
        "hum": ("restricted", None),
        "buzz": ("uncurated", None),
    }
    assert nodes["hiss"].class_nodes == ("cat", "snake")
    assert nodes["hiss"].reason == "leads to Cat and Snake"
    assert nodes["hum"].reason == "marked blacklist in the ontology"
    assert nodes["yip"].reason == "absorbed into Canidae"


def test_classes_have_members_and_a_path(small: dict[str, Entry]) -> None:
    canidae, cat = class_map(small, DECISIONS, 3).classes
    assert canidae.members == ("bark", "canidae", "dog", "howl", "yip")
    assert canidae.path == ("animal", "wild", "canidae")
    assert (cat.name, cat.display_name, cat.members) == ("Cat", "Cat", ("cat",))


def test_an_override_is_recorded(tmp_path: Path) -> None:
    items = [entry("a", "c"), entry("b", "c", "d"), entry("c"), entry("d", restrictions=("abstract",))]
    ontology = load_ontology(written(tmp_path / "ontology.json", items))
    table = class_map(ontology, [decided("keep", "c", "C"), decided("absorb", "d", "C")], 3)
    assert [(item.node_id, item.rule, item.decision) for item in table.overrides] == [
        ("c", "multi_parent", "keep C"),
        ("d", "restricted", "absorb C"),
    ]
    assert {node_id: table.nodes[node_id].class_name for node_id in "abcd"} == {
        "a": None,
        "b": None,
        "c": "C",
        "d": "C",
    }


def remove(items: Items, node_id: str, field: str) -> None:
    del next(item for item in items if item["id"] == node_id)[field]


def add_child(items: Items, node_id: str, child: Any) -> None:
    next(item for item in items if item["id"] == node_id)["child_ids"].append(child)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda items: add_child(items, "cat", "cow"), r"cat \(Cat\) has the unknown child cow"),
        (lambda items: add_child(items, "yip", "dog"), r"a cycle: .*dog \(Dog\).* > .*yip \(Yip\)"),
        (lambda items: add_child(items, "noise", "noise"), r"a cycle: noise"),
        (lambda items: add_child(items, "cat", "hiss"), r"cat \(Cat\) names its child hiss twice"),
        (lambda items: add_child(items, "cat", 7), r"entry 5 \(cat\): field 'child_ids' is missing or of a wrong type"),
        (lambda items: items.append(entry("noise")), r"noise names two roots for one id"),
        (lambda items: items.append(entry("cat")), r"cat is defined twice"),
        (lambda items: remove(items, "cat", "name"), r"entry 5 \(cat\): field 'name' is missing"),
        (lambda items: remove(items, "cat", "id"), r"entry 5 \(no id\): field 'id' is missing"),
        (lambda items: remove(items, "cat", "restrictions"), r"field 'restrictions' is missing"),
        (lambda items: items.append("cow"), r"entry 14 is not an object"),
        (lambda items: items.clear(), r"a list of entries is expected"),
    ],
)
def test_a_malformed_ontology_is_named(tmp_path: Path, damage: Callable[[Items], None], message: str) -> None:
    items = json.loads(json.dumps(SMALL))
    damage(items)
    path = written(tmp_path / "ontology.json", items)
    with pytest.raises(DataError, match=message) as caught:
        load_ontology(path)
    assert str(path) in str(caught.value)


HEADER = ["id", "name", "decision", "class", "reason"]
ROWS = [
    ["dog", "Dog", "absorb", "Canidae", "r"],
    ["canidae", "Canidae", "keep", "Canidae", "r"],
    ["snake", "Snake", "drop:actionless", "", "r"],
]


def test_a_table_is_read_in_its_order(tmp_path: Path) -> None:
    assert [item.node_id for item in read_decisions(table_with(tmp_path, ROWS))] == ["dog", "canidae", "snake"]


def table_with(folder: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["cat", "Cat", "maybe", "", "r"], "line 5, column 'decision': input should be 'keep', .*, not 'maybe'"),
        (["cat", "Cat", "keep", "", "r"], "line 5, column 'class': keep cat into '', which is not a class name"),
        (
            ["cat", "Cat", "keep", "my cat", "r"],
            "line 5, column 'class': keep cat into 'my cat', which is not a class name",
        ),
        (["cat", "Cat", "keep", "Canidae", "r"], r"line 5: class Canidae is kept twice \(first .*line 3\)"),
        (["cat", "Cat", "absorb", "Felidae", "r"], "line 5: cat is absorbed into Felidae, which no row keeps"),
        (
            ["cat", "Cat", "drop:ambiguous", "Cat", "r"],
            "line 5, column 'class': cat is dropped and has the class 'Cat'",
        ),
        (["dog", "Dog", "drop:ambiguous", "", "r"], "line 5: id 'dog' is already in line 2"),
        (["cat", "Cat", "keep", "Cat"], "line 5: 4 columns, the header has"),
        (["cat", "Cat", "keep", "Cat", "r", "more"], "line 5: 6 columns, the header has"),
    ],
)
def test_a_malformed_table_is_named(tmp_path: Path, extra: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_decisions(table_with(tmp_path, [*ROWS, extra]))
    assert "table.csv" in str(caught.value)


def test_a_table_without_classes_or_columns_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="keeps no class"):
        read_decisions(table_with(tmp_path, []))
    with pytest.raises(DataError, match="line 1: column 'decision' is missing"):
        read_decisions(table_with(tmp_path, [], [name for name in HEADER if name != "decision"]))
    with pytest.raises(DataError, match="does not exist"):
        read_decisions(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (decided("drop:ambiguous", "cow"), "line 2: cow is not in the ontology"),
        (
            decided("drop:ambiguous", "buzz").model_copy(update={"name": "Bzz"}),
            "line 2: buzz is 'Buzz' in the ontology",
        ),
        (decided("drop:ambiguous", "yip"), "line 2: yip lies deeper"),
        (decided("drop:restricted", "buzz"), "line 2: buzz is dropped as restricted, but the ontology does not"),
    ],
)
def test_a_table_that_does_not_fit_the_ontology_is_named(
    small: dict[str, Entry], decision: Decision, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        class_map(small, [*DECISIONS, decision], 3)


@st.composite
def ontologies(draw: st.DrawFn) -> dict[str, Entry]:
    """Forests of up to 14 nodes whose nodes have up to three parents, parents first."""
    size = draw(st.integers(1, 14))
    entries = {}
    for number in range(size):
        above = [f"n{other:02}" for other in range(number)]
        parents = draw(st.lists(st.sampled_from(above), max_size=3, unique=True)) if above else []
        entries[f"n{number:02}"] = Entry(f"N{number:02}", tuple(sorted(parents)), ())
    return entries


def all_paths(ontology: dict[str, Entry], node_id: str) -> list[list[str]]:
    parents = ontology[node_id].parents
    return [[*path, node_id] for parent in parents for path in all_paths(ontology, parent)] if parents else [[node_id]]


@given(ontologies(), st.integers(1, 4))
@settings(deadline=None, max_examples=80)
def test_images_are_the_ends_of_all_paths_cut_at_the_depth(ontology: dict[str, Entry], depth: int) -> None:
    expected = {node_id: {path[:depth][-1] for path in all_paths(ontology, node_id)} for node_id in ontology}
    assert class_level(ontology, depth) == expected


@given(ontologies(), st.data())
@settings(deadline=None, max_examples=80)
def test_the_order_of_entries_and_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, ontology: dict[str, Entry], data: st.DataObject
) -> None:
    level = sorted(frozenset().union(*class_level(ontology, 3).values()))
    rows = [decided("keep", level[0], "A")] + [
        decided(action, node_id, "A" if action == "absorb" else "")
        for node_id in level[1:]
        if (action := data.draw(st.sampled_from([*get_args(Action)[1:4], "none"]))) != "none"
    ]
    items = [
        entry(node_id, *(other for other in ontology if node_id in ontology[other].parents)) for node_id in ontology
    ]
    folder = tmp_path_factory.mktemp("order")
    written_tables = []
    for number in range(2):
        read = load_ontology(written(folder / "ontology.json", items))
        save_classes(class_map(read, rows, 3), folder / f"{number}.json")
        written_tables.append((folder / f"{number}.json").read_bytes())
        random.Random(number).shuffle(items)
        random.Random(number).shuffle(rows)
    assert written_tables[0] == written_tables[1]


@pytest.fixture(scope="module")
def official() -> dict[str, Entry]:
    return load_ontology(metadata.locate()["ontology.json"])


@pytest.fixture(scope="module")
def classes(official: dict[str, Entry]) -> ClassTable:
    return class_map(official, read_decisions(TABLE), 3)


def test_audioset_has_61_classes(classes: ClassTable) -> None:
    assert len(classes.names) == len(set(classes.names)) == 61
    assert list(classes.names) == sorted(classes.names)
    assert {"Accordion", "Brass_instrument", "Canidae", "Frying_food", "Vehicle"} <= set(classes.names)


@pytest.mark.parametrize(
    ("label", "class_name"),
    [
        ("Yip", "Canidae"),
        ("Dog", "Canidae"),
        ("French horn", "Brass_instrument"),
        ("Caw", "Bird"),
        ("Helicopter", "Vehicle"),
    ],
)
def test_labels_that_the_paper_names_count_as_its_classes(classes: ClassTable, label: str, class_name: str) -> None:
    assert [node.class_name for node in classes.nodes.values() if node.name == label] == [class_name]


def test_the_mechanical_rules_agree_with_the_table(official: dict[str, Entry], classes: ClassTable) -> None:
    decisions = {item.node_id: item for item in read_decisions(TABLE)}
    restricted = {node_id for node_id in decisions if official[node_id].restrictions}
    assert restricted == {node_id for node_id, item in decisions.items() if item.action == "drop:restricted"}
    said = {node_id for node_id, item in decisions.items() if item.reason == "several parents in the ontology"}
    dropped = {node_id for node_id, item in decisions.items() if item.action.startswith("drop")}
    found = {node_id for node_id in dropped if classes.nodes[node_id].step == "multi_parent"}
    assert found == said
    assert Counter(item.decision for item in classes.overrides) == {
        "absorb Vehicle": 5,
        "absorb Fire": 1,
        "keep Bell": 1,
        "keep Clapping": 1,
    }


def test_every_dropped_node_has_a_step_and_a_reason(classes: ClassTable) -> None:
    assert len(classes.nodes) == 632
    assert all(node.reason and node.step for node in classes.nodes.values())
    uncurated = {node.name for node in classes.nodes.values() if node.step == "uncurated"}
    assert "Yawn" in uncurated
    assert len(uncurated) == 12


def test_distances_of_audioset_classes(classes: ClassTable) -> None:
    assert class_distance(classes, "Cat", "Horse") == 4
    assert class_distance(classes, "Bird", "Canidae") == 2
    assert class_distance(classes, "Bell", "Vehicle") == 2
    assert class_distance(classes, "Cat", "Accordion") == 6
