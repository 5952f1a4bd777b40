"""The curation table: one hand-made decision for each class-level node of the ontology (see the README.md next to
it).
"""

import re
from importlib.resources.abc import Traversable
from typing import Final, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from mma_bench.csv_rows import CsvRow, read_rows
from mma_bench.errors import DataError

Action: TypeAlias = Literal["keep", "absorb", "drop:actionless", "drop:ambiguous", "drop:restricted"]
_CLASS_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")


class Decision(CsvRow):
    """One row.

    Attributes:
        where: File and line, for messages.
        node_id: The node, e.g. `/m/01z5f`.
        name: Its name in the ontology.
        action: What becomes of it.
        class_name: The class that the node becomes (keep) or joins (absorb); empty if dropped.
        reason: Why.
    """

    node_id: str = Field(validation_alias="id")
    name: str
    action: Action = Field(validation_alias="decision")
    class_name: str = Field(validation_alias="class")
    reason: str

    @field_validator("class_name")
    @classmethod
    def _fits_the_action(cls, class_name: str, info: ValidationInfo) -> str:
        action, node_id = info.data.get("action", ""), info.data["node_id"]
        if action.startswith("drop") and class_name:
            raise ValueError(f"{node_id} is dropped and has the class {class_name!r}; empty one of the two")
        if action in ("keep", "absorb") and not _CLASS_NAME.fullmatch(class_name):
            raise ValueError(
                f"{action} {node_id} into {class_name!r}, which is not a class name: letters and digits with single "
                "underscores, a capital first"
            )
        return class_name


def read_decisions(path: Traversable) -> list[Decision]:
    """Read the table in its order.

    Raises:
        DataError: See `read_rows`; an unknown decision, a node or a class named twice, a class that is missing,
            not allowed or not written as a class name, a node absorbed into no class; names file and line.
    """
    decisions = read_rows(path, Decision, unique=["node_id"], hint="correct ontology.curation_table in params.yaml")
    kept: dict[str, str] = {}
    for item in decisions:
        if item.action == "keep" and item.class_name in kept:
            raise DataError(
                f"{item.where}: class {item.class_name} is kept twice (first {kept[item.class_name]})",
                hint="absorb one of the two nodes into the class instead",
            )
        if item.action == "keep":
            kept[item.class_name] = item.where
    if not kept:
        raise DataError(f"{path} keeps no class", hint="restore the table")
    for item in decisions:
        if item.action == "absorb" and item.class_name not in kept:
            raise DataError(
                f"{item.where}: {item.node_id} is absorbed into {item.class_name}, which no row keeps",
                hint="keep a node as that class, or correct the name",
            )
    return decisions
