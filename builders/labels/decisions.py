"""The curation table: one hand-made decision for each class-level node of the ontology (see README.md beside it)."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mma_bench.errors import DataError

ACTIONS: Final = ("keep", "absorb", "drop:actionless", "drop:ambiguous", "drop:restricted")
_COLUMNS: Final = ("id", "name", "decision", "class", "reason")
_CLASS_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Decision:
    """One row.

    Attributes:
        where: File and line, for messages.
        node_id: The node, e.g. `/m/01z5f`.
        name: Its name in the ontology.
        action: One of ACTIONS.
        class_name: The class that the node becomes (keep) or joins (absorb); empty if dropped.
        reason: Why.
    """

    where: str
    node_id: str
    name: str
    action: str
    class_name: str
    reason: str


def read_decisions(path: Path) -> list[Decision]:
    """Read the table in its order.

    Raises:
        DataError: A missing file or column, a wrong number of columns, an unknown decision, a node or a class named
            twice, a class that is missing, forbidden or not written as a class name, a node absorbed into no class;
            names file and line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}, line 1: column {missing[0]!r} is missing", hint="restore the table's header")
            decisions = [_decision(row, f"{path}, line {reader.line_num}") for row in reader]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", hint="correct ontology.curation_table in params.yaml") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8 ({error})", hint="save the table as CSV in UTF-8") from None
    _check_whole(path, decisions)
    return decisions


def _decision(row: dict[str | None, str | None], where: str) -> Decision:
    if None in row or None in row.values():
        raise DataError(f"{where}: not as many columns as the header has", hint="correct the row")
    node_id, name, action, class_name, reason = (row[column] or "" for column in _COLUMNS)
    if action not in ACTIONS:
        raise DataError(f"{where}: unknown decision {action!r} for {node_id}", hint=f"use one of {', '.join(ACTIONS)}")
    if action in ("keep", "absorb"):
        if not _CLASS_NAME.fullmatch(class_name):
            raise DataError(
                f"{where}: {action} {node_id} into {class_name!r}, which is not a class name",
                hint="write letters and digits with single underscores, a capital first",
            )
    elif class_name:
        raise DataError(f"{where}: {node_id} is dropped and has the class {class_name!r}", hint="empty one of the two")
    return Decision(where, node_id, name, action, class_name, reason)


def _check_whole(path: Path, decisions: list[Decision]) -> None:
    nodes: dict[str, str] = {}
    kept: dict[str, str] = {}
    for item in decisions:
        if item.node_id in nodes:
            raise DataError(
                f"{item.where}: node {item.node_id} has a row already ({nodes[item.node_id]})",
                hint="remove one of the two",
            )
        nodes[item.node_id] = item.where
        if item.action == "keep":
            if item.class_name in kept:
                raise DataError(
                    f"{item.where}: class {item.class_name} is kept twice (first {kept[item.class_name]})",
                    hint="absorb one of the two nodes into the class instead",
                )
            kept[item.class_name] = item.where
    if not kept:
        raise DataError(f"{path} keeps no class", hint="restore the table")
    for item in decisions:
        if item.action == "absorb" and item.class_name not in kept:
            raise DataError(
                f"{item.where}: {item.node_id} is absorbed into {item.class_name}, which no row keeps",
                hint="keep a node as that class, or correct the name",
            )
