"""Which node of AudioSet's ontology a label of a published list means, and which class that is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from mma_bench.builders.manifests.listed_clips import HINT, shown
from mma_bench.builders.manifests.listed_fields import plain
from mma_bench.classes import ClassTable
from mma_bench.errors import DataError


@dataclass(frozen=True)
class Labels:
    """The labels that a list may use.

    Attributes:
        classes: Of this project's curation table.
        named: Four readings of a label, the surest first: as an id, a class's name, a node's name, a part of a node's
            name; each as plain name → nodes.
        kept: Node → class name: classes of the list that the curation table drops, in the order of their first use.
        read_as: Label of the list → class, where the two differ.
    """

    classes: ClassTable
    named: Sequence[dict[str, set[str]]]
    kept: dict[str, str] = field(default_factory=dict)
    read_as: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, classes: ClassTable) -> "Labels":
        ids = {plain(node_id): {node_id} for node_id in classes.nodes}
        names: dict[str, set[str]] = defaultdict(set)
        parts: dict[str, set[str]] = defaultdict(set)
        for node_id, node in classes.nodes.items():
            names[plain(node.name)].add(node_id)
            for part in node.name.split(","):
                if plain(part) != "etc":
                    parts[plain(part)].add(node_id)
        own = {plain(item.name): {item.node_id} for item in classes.classes}
        return cls(classes, (ids, own, dict(names), dict(parts)))

    @property
    def plain_names(self) -> frozenset[str]:
        """The plain names of all labels, but for ids."""
        return frozenset(name for reading in self.named[1:] for name in reading)

    def node(self, label: str, where: str) -> str:
        """The node that a label means.

        Raises:
            DataError: None does, or several that are not of one class; names the entry and the nearest labels.
        """
        # `plain` leaves letters out that AudioSet's names do not have.
        readings = () if any(sign.isalnum() and not sign.isascii() for sign in label) else self.named
        for reading in readings:
            nodes = sorted(reading.get(plain(label), ()))
            if not nodes:
                continue
            found = {self.classes.nodes[node].class_name for node in nodes}
            if len(nodes) == 1 or (len(found) == 1 and None not in found):
                return nodes[0]
            said = " or ".join(f"{self.classes.nodes[node].name} ({node})" for node in nodes)
            raise DataError(f"{where}: label {label!r} may be {said}", hint="name the label by its id")
        near = get_close_matches(plain(label), sorted(self.plain_names), n=3)
        said = f"; nearest: {', '.join(near)}" if near else ""
        raise DataError(f"{where}: label {shown(label)} is not in AudioSet's ontology{said}", hint=HINT)

    def meaning(self, labels: Sequence[str], where: str) -> tuple[str, str] | None:
        """Node and class of a clip with these labels, of which one may be an ancestor of another; None without labels.

        A node that the curation table drops becomes a class of its own, called as the list calls it.

        Raises:
            DataError: As `node`, or they are of several classes.
        """
        # AudioSet's own lists have several ids in one text.
        single = [part for label in labels for part in (label.split(",") if label.startswith("/") else [label])]
        nodes = {self.node(label, where): label for label in single}
        above = {upper for node in nodes for upper in self.classes.ancestors[node]}
        lowest = {node: label for node, label in nodes.items() if node not in above}
        of_class = {self._class_of(node, label, where): node for node, label in lowest.items()}
        if len(of_class) > 1:
            raise DataError(f"{where}: labels of several classes: {', '.join(sorted(of_class))}", hint=HINT)
        for name, node in of_class.items():
            if plain(lowest[node]) != plain(name):
                self.read_as[lowest[node]] = name
            return node, name
        return None

    def _can_be_kept(self, node_id: str, label: str, where: str) -> str:
        """The class-level node of a label.

        Raises:
            DataError: It cannot be a class beside the others.
        """
        node = self.classes.nodes[node_id]
        if len(node.class_nodes) != 1:
            tops = " and ".join(self.classes.nodes[top].name for top in node.class_nodes)
            raise DataError(
                f"{where}: label {label!r} is no class of its own: in the ontology it belongs to {tops}",
                hint="give the clips a label of class level, or leave them out",
            )
        top = node.class_nodes[0]
        for item in self.classes.classes:
            if top in self.classes.ancestors[item.node_id] or item.node_id in self.classes.ancestors[top]:
                raise DataError(
                    f"{where}: label {label!r} and class {item.name} lie one above the other in the ontology, so a "
                    "clip of the lower one would be of both",
                    hint="give the clips the label of one of the two, or leave them out",
                )
        return top

    def _class_of(self, node_id: str, label: str, where: str) -> str:
        node = self.classes.nodes[node_id]
        if node.class_name is not None:
            return node.class_name
        top = self._can_be_kept(node_id, label, where)
        if top in self.kept:
            return self.kept[top]
        stated = top == node_id and plain(label) != plain(node_id)  # else the ontology's name
        name = label if stated else self.classes.nodes[top].name
        words = plain(name.split(",")[0])
        if self._is_shared(words, top):  # "Inside, small room" and "Inside, public space"
            words = plain(name)
        words = words[:1].upper() + words[1:]
        for other, called in self.kept.items():
            if called == words:
                both = " and ".join(f"{self.classes.nodes[each].name} ({each})" for each in (other, top))
                raise DataError(f"{where}: {both} would both be class {words}", hint="name one by its id in the list")
        self.kept[top] = words
        return words

    def _is_shared(self, words: str, node_id: str) -> bool:
        """Whether another node's name begins with these plain words too, or a class is called so."""
        taken = self.named[1].get(words, set()) - {node_id}
        begins = {each for each, node in self.classes.nodes.items() if plain(node.name.split(",")[0]) == words}
        return bool(taken or begins - {node_id})
