"""`CHANGELOG.md` of the dataset: each version's difference from the previous one, with every name that differs."""

from dataclasses import fields
from datetime import date
from typing import Final

from mma_bench.builders.publish.difference import Difference
from mma_bench.builders.publish.manifest import Release

CHANGELOG: Final = "CHANGELOG.md"
_TITLE: Final = (
    "# Changes of the data\n\nVersions are tags. Major: other questions or answers; minor: new rows or bytes; patch: "
    "removals and descriptions.\n"
)
_LISTED: Final = 200  # names per kind; the manifests have all


def entry(version: str, released: date, new: Release, found: Difference | None, last: str | None) -> str:
    """One version's entry; `found` is None for the first."""
    head = f"\n## {version} ({released.isoformat()})\n\n"
    if found is None:
        clips = len(set(new.manifest.select("split", "base_id").iter_rows()))
        return f"{head}First version: {new.manifest.height} rows of {clips} clips.\n"
    lines = [f"A {found.level} change from {last}.\n" if found.level else f"No row differs from {last}.\n"]
    for field in fields(found):
        if names := getattr(found, field.name):
            shown = ", ".join(f"`{name}`" for name in names[:_LISTED])
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            lines.append(f"- {field.name.replace('_', ' ')} ({len(names)}): {shown}{more}")
    return head + "\n".join(lines) + "\n"


def extended(before: str | None, new: str) -> str:
    """The changelog with a new entry above those of `before`, the text of the last version."""
    entries = "" if before is None else "\n## " + before.partition("\n## ")[2]
    return f"{_TITLE}{new}{entries}"
