"""Stage `ontology`: AudioSet's ontology, pruned to the benchmark's classes (appendix A.1).

In: ontology.json and the curation table. Out: data/classes.json (`mma_bench.classes`): the class list, which label
counts as which class, and for every other node the rule that dropped it and why.

Mechanical rules first: nodes below the maximum depth are absorbed into their ancestor there; nodes marked restricted
and nodes reached by several paths are dropped. The rest needs human judgement: the curation table drops actionless and
ambiguous nodes, merges overlapping nodes, and names the classes. It also takes precedence where it keeps a node that a
mechanical rule drops; each such case is recorded.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from mma_bench import layout
from mma_bench.builders.labels.decisions import Decision, read_decisions
from mma_bench.classes import ClassTable, LabelClass, Node, Override, Step, save_classes
from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.tables import read_json

_FIELDS: Final = {"id": str, "name": str, "child_ids": list, "restrictions": list}


@dataclass(frozen=True)
class Entry:
    """One entry of ontology.json, with its parents."""

    name: str
    parents: tuple[str, ...]
    restrictions: tuple[str, ...]


def load_ontology(path: Path) -> dict[str, Entry]:
    """Read ontology.json: entries by id, every parent before its children.

    Raises:
        DataError: Not a list of entries, a missing or wrong field, an id defined twice, an unknown child, a child
            listed twice, a cycle; names the entry.
    """
    items = _checked_items(path, read_json(path))
    parents: dict[str, list[str]] = {node_id: [] for node_id in items}
    for node_id, item in items.items():
        for child in item["child_ids"]:
            if child not in items:
                raise _malformed(path, f"{node_id} ({item['name']}) has the unknown child {child}")
            if node_id in parents[child]:
                raise _malformed(path, f"{node_id} ({item['name']}) names its child {child} twice")
            parents[child].append(node_id)
    try:
        order = list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        ring = " > ".join(f"{node_id} ({items[node_id]['name']})" for node_id in error.args[1])
        raise _malformed(path, f"a cycle: {ring}") from None
    return {
        node_id: Entry(
            name=items[node_id]["name"],
            parents=tuple(sorted(parents[node_id])),
            restrictions=tuple(items[node_id]["restrictions"]),
        )
        for node_id in order
    }


def _checked_items(path: Path, raw: Any) -> dict[str, Any]:
    """The entries by id, in the file's order, with their fields checked."""
    if not isinstance(raw, list) or not raw:
        raise _malformed(path, "a list of entries is expected")
    for number, item in enumerate(raw):
        if not isinstance(item, dict):
            raise _malformed(path, f"entry {number} is not an object")
        for field, kind in _FIELDS.items():
            value = item.get(field)
            texts = value if isinstance(value, list) else [value]
            if not isinstance(value, kind) or not all(isinstance(text, str) and text for text in texts):
                shown = f"entry {number} ({item.get('id', 'no id')})"
                raise _malformed(path, f"{shown}: field {field!r} is missing or of a wrong type")
    children = {child for item in raw for child in item["child_ids"]}
    items: dict[str, Any] = {}
    for item in raw:
        if (first := items.setdefault(item["id"], item)) is not item:
            fault = "is defined twice" if item["id"] in children else "names two roots for one id"
            raise _malformed(path, f"{item['id']} {fault}: {first['name']} and {item['name']}")
    return items


def _malformed(path: Path, problem: str) -> DataError:
    return DataError(f"{path}: {problem}", hint="use the official ontology.json, which the stage `metadata` fetches")


def class_level(ontology: Mapping[str, Entry], max_depth: int) -> dict[str, frozenset[str]]:
    """Absorption by depth: each node's images, one per path from a root, cut at `max_depth` nodes (a root has depth 1).

    A node has several images if paths reach it through different nodes of that depth, or at a smaller depth.
    """
    cuts: dict[str, set[tuple[int, str]]] = {}  # (depth on a path, image on that path)
    for node_id, entry in ontology.items():
        cuts[node_id] = {(1, node_id)} if not entry.parents else set()
        for parent in entry.parents:
            cuts[node_id] |= {
                (depth + 1, node_id) if depth < max_depth else (depth, image) for depth, image in cuts[parent]
            }
    return {node_id: frozenset(image for _, image in pairs) for node_id, pairs in cuts.items()}


def class_map(ontology: Mapping[str, Entry], decisions: Sequence[Decision], max_depth: int) -> ClassTable:
    """Apply appendix A.1: what becomes of every node, and the remaining classes.

    Raises:
        DataError: The curation table does not fit the ontology: unknown id, different name, a node below class level,
            `drop:restricted` for a node that is not restricted; names row and node.
    """
    images = class_level(ontology, max_depth)
    of_class_level = frozenset().union(*images.values())
    _check_fit(ontology, decisions, of_class_level)
    decided = {decision.node_id: decision for decision in decisions}
    class_nodes = {item.class_name: item.node_id for item in decisions if item.action == "keep"}
    joined = {
        item.node_id: class_nodes[item.class_name] if item.action == "absorb" else item.node_id for item in decisions
    }
    targets = {
        node_id: tuple(sorted({joined.get(image, image) for image in found})) for node_id, found in images.items()
    }
    several = _several_paths(ontology)
    paths = _shortest_paths(ontology)
    settled = {
        node_id: _settle(ontology[node_id], decided.get(node_id), node_id in several) for node_id in of_class_level
    }
    nodes = {}
    for node_id, entry in ontology.items():
        last = targets[node_id]
        step, reason = settled.get(node_id) or _settle_deep(ontology, settled, last)
        if len(last) > 1 and step in ("depth", "absorbed"):
            step, reason = "multi_parent", "leads to " + " and ".join(sorted(ontology[target].name for target in last))
        kept = decided.get(last[0]) if len(last) == 1 else None
        nodes[node_id] = Node(
            name=entry.name,
            parents=entry.parents,
            depth=len(paths[node_id]),
            class_nodes=last,
            step=step,
            reason=reason,
            class_name=kept.class_name if kept is not None and kept.action == "keep" else None,
        )
    classes = tuple(
        LabelClass(
            name=name,
            node_id=node_id,
            display_name=ontology[node_id].name,
            path=paths[node_id],
            members=tuple(sorted(other for other, node in nodes.items() if node.class_name == name)),
        )
        for name, node_id in sorted(class_nodes.items())
    )
    return ClassTable(classes=classes, nodes=nodes, overrides=_overrides(ontology, decisions, several))


def _check_fit(ontology: Mapping[str, Entry], decisions: Sequence[Decision], of_class_level: frozenset[str]) -> None:
    for item in decisions:
        entry = ontology.get(item.node_id)
        if entry is None:
            problem = "is not in the ontology"
        elif entry.name != item.name:
            problem = f"is {entry.name!r} in the ontology, not {item.name!r}"
        elif item.node_id not in of_class_level:
            problem = "lies deeper than the maximum depth on every path, so it is absorbed and needs no decision"
        elif item.action == "drop:restricted" and not entry.restrictions:
            problem = "is dropped as restricted, but the ontology does not restrict it"
        else:
            continue
        raise DataError(f"{item.where}: {item.node_id} {problem}", hint="correct the row of the curation table")


def _settle(entry: Entry, decision: Decision | None, several_paths: bool) -> tuple[Step, str]:
    """The step that decides a class-level node, and the reason; the curation table may override the first two."""
    if decision is not None and decision.action == "keep":
        return "kept", decision.reason
    if decision is not None and decision.action == "absorb":
        return "absorbed", decision.reason
    if entry.restrictions:
        return "restricted", f"marked {' and '.join(entry.restrictions)} in the ontology"
    if several_paths:
        return "multi_parent", "several parents in the ontology"
    if decision is None:
        return "uncurated", "not in the curation table"
    return ("actionless" if decision.action == "drop:actionless" else "ambiguous"), decision.reason


def _settle_deep(
    ontology: Mapping[str, Entry], settled: Mapping[str, tuple[Step, str]], targets: Sequence[str]
) -> tuple[Step, str]:
    """The same for a node below the maximum depth, which follows the node that it is absorbed into."""
    fates = [
        ontology[target].name + ("" if settled[target][0] == "kept" else f", dropped: {settled[target][1]}")
        for target in targets
    ]
    return "depth", "absorbed into " + "; ".join(fates)


def _overrides(
    ontology: Mapping[str, Entry], decisions: Sequence[Decision], several: frozenset[str]
) -> tuple[Override, ...]:
    """The rows that keep or absorb a node that a mechanical rule drops."""
    found = []
    for item in decisions:
        restricted = bool(ontology[item.node_id].restrictions)
        if item.action in ("keep", "absorb") and (restricted or item.node_id in several):
            rule: Step = "restricted" if restricted else "multi_parent"
            found.append(Override(item.node_id, item.name, rule, f"{item.action} {item.class_name}", item.reason))
    return tuple(sorted(found, key=lambda item: item.node_id))


def _several_paths(ontology: Mapping[str, Entry]) -> frozenset[str]:
    """Nodes reached by more than one path from a root: they or a node above them have several parents."""
    several: set[str] = set()
    for node_id, entry in ontology.items():
        if len(entry.parents) > 1 or any(parent in several for parent in entry.parents):
            several.add(node_id)
    return frozenset(several)


def _shortest_paths(ontology: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
    """A path from a root to each node, both included: the shortest, ties broken by name."""
    paths: dict[str, tuple[str, ...]] = {}
    for node_id, entry in ontology.items():
        above = [paths[parent] for parent in entry.parents] or [()]
        best = min(above, key=lambda path: (len(path), [ontology[step].name for step in path], path))
        paths[node_id] = (*best, node_id)
    return paths


def main(params: Params) -> None:
    """Run the stage."""
    ontology = load_ontology(layout.ONTOLOGY)
    decisions = read_decisions(Path(params.ontology.curation_table))
    classes = class_map(ontology, decisions, params.ontology.max_depth)
    save_classes(classes, layout.CLASSES)
    steps = Counter(node.step for node in classes.nodes.values())
    print(f"ontology: {len(ontology)} nodes, " + ", ".join(f"{count} {step}" for step, count in sorted(steps.items())))
