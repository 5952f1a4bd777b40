"""The class list and the outcome for every other node of the ontology: `data/classes.json` as frozen records.

Written by the stage `ontology`; read by the label filter, the pairing, the gates and the report. A node is an entry
of AudioSet's ontology, whose id is the label id of the segment lists. A class-level node is one that remains after
everything below the maximum depth is absorbed (appendix A.1); 61 of them are classes, the others were dropped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mma_bench.errors import ConfigError, DataError
from mma_bench.files import fingerprint, write_json

# The rule of appendix A.1 that decided a node. `depth` and `absorbed` point to another node, the others are final.
Step: TypeAlias = Literal[
    "kept",  # a class
    "depth",  # deeper than the maximum depth: absorbed into its ancestor there
    "absorbed",  # absorbed into a class by the curation table
    "restricted",  # dropped: marked blacklist or abstract in the ontology
    "multi_parent",  # dropped: reached by several paths
    "actionless",  # dropped by the curation table: no visible action or object
    "ambiguous",  # dropped by the curation table: broad, overlapping, or a sound without its source
    "uncurated",  # dropped: not in the curation table, because no published segment carries it
]


@dataclass(frozen=True)
class Node:
    """One entry of the ontology.

    Attributes:
        name: The ontology's own name, e.g. `Canidae, dogs, wolves`.
        parents: Ids, sorted; empty for a root.
        depth: Nodes on the shortest path from a root, both ends counted: a root has 1.
        class_nodes: The class-level nodes that a clip with this label belongs to, sorted; more than one if several
            paths reach different ones.
        step: The rule that decided it.
        reason: Readable explanation.
        class_name: The class it counts as, or None if dropped or mapped to several nodes.
    """

    name: str
    parents: tuple[str, ...]
    depth: int
    class_nodes: tuple[str, ...]
    step: Step
    reason: str
    class_name: str | None


@dataclass(frozen=True)
class LabelClass:
    """One of the benchmark's classes.

    Attributes:
        name: As written in answers and options, e.g. `Brass_instrument`.
        node_id: Its class-level node.
        display_name: The ontology's name of that node.
        path: Node ids from a root down to the node; the shortest path, ties broken by name.
        members: Ids of all nodes that count as this class, its own included, sorted.
    """

    name: str
    node_id: str
    display_name: str
    path: tuple[str, ...]
    members: tuple[str, ...]


@dataclass(frozen=True)
class Override:
    """A node dropped by a mechanical rule but kept or absorbed by the curation table."""

    node_id: str
    name: str
    rule: Step
    decision: str
    reason: str


@dataclass(frozen=True)
class ClassTable:
    """All of `classes.json`. Classes are sorted by name, nodes by id."""

    classes: tuple[LabelClass, ...]
    nodes: Mapping[str, Node]
    overrides: tuple[Override, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The class names, sorted."""
        return tuple(item.name for item in self.classes)

    @cached_property
    def ancestors(self) -> Mapping[str, frozenset[str]]:
        """All nodes above each node, over every path."""
        return {node_id: frozenset(_climb(self.nodes, node_id)) - {node_id, _ABOVE_ROOTS} for node_id in self.nodes}

    @cached_property
    def distances(self) -> Mapping[tuple[str, str], int]:
        """The lookup table of `class_distance`, for every pair of classes."""
        climbs = {item.name: _climb(self.nodes, item.node_id) for item in self.classes}
        return {
            (a, b): min(up + climbs[b][node] for node, up in climbs[a].items() if node in climbs[b])
            for a in self.names
            for b in self.names
        }


_ABOVE_ROOTS = ""  # the virtual root; no label id is empty


def _climb(nodes: Mapping[str, Node], node_id: str) -> dict[str, int]:
    """Fewest edges from a node to itself (0), to each ancestor, and to the virtual root above all roots."""
    edges: dict[str, int] = {}
    level, climbed = [node_id], 0
    while level:
        edges |= dict.fromkeys(level, climbed)
        above = {parent for node in level if node != _ABOVE_ROOTS for parent in nodes[node].parents or (_ABOVE_ROOTS,)}
        level, climbed = sorted(above - edges.keys()), climbed + 1
    return edges


def class_distance(classes: ClassTable, a: str, b: str) -> int:
    """Edges between two classes in the ontology, up to a common ancestor and down again, 0 for a class and itself.

    The roots count as children of one virtual root. If several paths reach a class, the shortest is used.

    Raises:
        DataError: No such class; names it.
    """
    try:
        return classes.distances[a, b]
    except KeyError:
        unknown = a if a not in classes.names else b
        raise DataError(f"{unknown!r} is not a class of the class list", hint="rebuild with `dvc repro`") from None


def save_classes(classes: ClassTable, path: Path) -> None:
    """Write `classes.json` atomically; equal tables give equal bytes."""
    nodes = {node_id: asdict(classes.nodes[node_id]) for node_id in sorted(classes.nodes)}
    overrides = [asdict(item) for item in classes.overrides]
    write_json(path, {"classes": [asdict(item) for item in classes.classes], "nodes": nodes, "overrides": overrides})


def load_classes(path: Path) -> ClassTable:
    """Read `classes.json`.

    Raises:
        DataError: It is missing, not JSON, or not in this format.
    """
    from mma_bench.tables import read_json  # polars comes with it

    raw = read_json(path)
    try:
        return ClassTable(
            classes=tuple(LabelClass(**_frozen(item)) for item in raw["classes"]),
            nodes={node_id: Node(**_frozen(item)) for node_id, item in raw["nodes"].items()},
            overrides=tuple(Override(**item) for item in raw["overrides"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not in the format of this version ({error!r})", hint="delete it and run `dvc repro`"
        ) from None


def _frozen(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}


def chosen_classes(known: Iterable[str], chosen: Sequence[str] | float | None, seed: int) -> list[str]:
    """The classes to tune on, sorted: all (null), those listed, or a share of them by hash, at least one.

    Raises:
        ConfigError: A listed class is not in the dataset; names it.
    """
    names = sorted(set(known))
    if chosen is None:
        return names
    if isinstance(chosen, float | int):
        ranked = sorted(names, key=lambda name: fingerprint(seed, "class", name))
        return sorted(ranked[: max(1, round(chosen * len(names)))])
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        raise ConfigError(
            f"sft.classes: the train split has no class {unknown[0]!r}", hint=f"choose among {', '.join(names)}"
        )
    return sorted(set(chosen))
