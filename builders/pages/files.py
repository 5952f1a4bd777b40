"""Where every file of a folder of clips ended: used in the dataset, or dropped by one stage for one reason."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

_EXAMPLES: Final = 3
# In the order of the build. A stage that is not here has not dropped a file.
_SAID: Final = {
    "used": "used",
    "acquire": "refused by acquire",
    "normalise": "refused by normalise",
    "judge": "rejected by the judge",
    "verify": "dropped by verify",
    "conflicts": "dropped by conflicts",
    "another_file_taken": "not needed, since another file of the clip was taken",
    "not_wanted": "of segments that this build does not use",
    "unknown_name": "with a name of no known form",
    "misaligned_by_name": "misaligned by its name",
    "not_a_video": "of other kinds than video",
    "link": "links, not followed",
}


@dataclass(frozen=True)
class Group:
    """The files that ended in the same way.

    Attributes:
        end: A key of `_SAID`.
        reason: The split if they are used, else why not, or "".
        examples: The first few paths, escaped.
    """

    end: str
    reason: str
    files: int
    examples: tuple[str, ...]

    @property
    def said(self) -> str:
        """What became of them, in words."""
        return _SAID[self.end]


def clip_ends(
    normalised: pl.DataFrame,
    verdicts: pl.DataFrame,
    dropped: pl.DataFrame,
    aligned: pl.DataFrame,
    variants: pl.DataFrame,
) -> dict[str, tuple[str, str]]:
    """Clip → where it ended after `acquire`, and why or in which split.

    Args:
        normalised, verdicts, aligned, variants: As their schemas.
        dropped: Columns clip_id and reason, of the clips that `verify` dropped beside others; those that are neither
            here nor aligned were dropped by the reviews.
    """
    ends: dict[str, tuple[str, str]] = {}
    for stage, table in (("normalise", normalised), ("judge", verdicts)):
        for clip_id, status, reason in table.select("clip_id", "status", "reason").iter_rows():
            if status != "ok":
                ends[clip_id] = stage, reason
    passed = verdicts.filter(pl.col("status") == "ok")["clip_id"]
    ends |= dict.fromkeys(passed, ("verify", "reviews"))
    ends |= {clip_id: ("verify", reason) for clip_id, reason in dropped.select("clip_id", "reason").iter_rows()}
    refused = variants.filter(pl.col("status") != "ok").sort("id").unique("base_id", keep="first", maintain_order=True)
    why = dict(refused.select("base_id", "reason").iter_rows())
    used = set(variants.filter(pl.col("status") == "ok")["base_id"])
    for clip_id, split in aligned.select("clip_id", "split").iter_rows():
        ends[clip_id] = ("used", split) if clip_id in used else ("conflicts", why.get(clip_id, ""))
    return ends


def groups(files: pl.DataFrame, ends: Mapping[str, tuple[str, str]]) -> list[Group]:
    """The files by how they ended, in the order of the build; every file is in exactly one group.

    Args:
        files: Schema FILES.
        ends: Of every clip that was acquired.
    """
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path, clip_id, status, reason in files.select("path", "clip_id", "status", "reason").iter_rows():
        if status == "ok":
            found[ends[clip_id]].append(path)
        elif status == "unused":
            found[reason, ""].append(path)
        else:
            found["acquire", reason].append(path)
    order = list(_SAID)
    return [
        Group(end, reason, len(paths), tuple(repr(path) for path in sorted(paths)[:_EXAMPLES]))
        for (end, reason), paths in sorted(
            found.items(), key=lambda item: (order.index(item[0][0]), -len(item[1]), item[0][1])
        )
    ]


def sentence(found: Sequence[Group]) -> str:
    """`Of 60 files: 31 used, 9 refused by acquire, …`; the numbers add up."""
    counts = _totals(found)
    return f"Of {sum(counts.values()):,} files: " + ", ".join(f"{n:,} {_SAID[end]}" for end, n in counts.items()) + "."


def _totals(found: Iterable[Group]) -> dict[str, int]:
    counts: dict[str, int] = {"used": 0}
    for group in found:
        counts[group.end] = counts.get(group.end, 0) + group.files
    return counts
