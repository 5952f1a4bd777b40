"""Writes the files that a build of an imported list reads; see `authors` for which is which."""

import csv
import io
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench.builders.manifests.authors import Imported
from mma_bench.builders.manifests.labels_of_list import Labels
from mma_bench.csv_rows import read_text
from mma_bench.errors import DataError
from mma_bench.files import write_json, write_text
from mma_bench.frozen import MANIFEST, manifest_of

REASON: Final = "in the authors' list"


def write(out: Path, found: Imported, labels: Labels, table: Traversable, report: Mapping[str, Any]) -> None:
    """Write the five files.

    Args:
        out: The folder.
        found: Clips and pairs.
        labels: With the classes to keep.
        table: This project's curation table.
        report: See `authors_report.compare`.
    """
    clips = sorted(found.clips.values(), key=lambda clip: (clip.split, clip.clip_id))
    write_text(
        out / "clips.csv",
        _csv(
            ("clip_id", "split", "label_ids", "video", "start_s", "end_s"),
            (
                (clip.clip_id, clip.split, clip.node_id, clip.video_id, _s(clip.start_ms), _s(clip.end_ms))
                for clip in clips
            ),
        ),
    )
    rows = [(clip.split, clip.clip_id, clip.video_id) for clip in clips]
    write_text(out / "frozen.csv", manifest_of(pl.DataFrame(rows, schema=MANIFEST, orient="row")))
    pairs = ((pair.base_id, pair.donor_id, pair.donor_class) for pair in found.pairs.values())
    write_text(out / "pairs.csv", _csv(("base_id", "donor_id", "donor_class"), pairs))
    write_text(out / "class_decisions.csv", curation(read_text(table), labels))
    write_json(out / "import.json", report)


def curation(text: str, labels: Labels) -> str:
    """The curation table with every class of the list kept.

    Raises:
        DataError: A class is called as another one that is kept.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header, rows = list(reader.fieldnames or ()), list(reader)
    taken = {row["class"]: row["id"] for row in rows if row["decision"] == "keep"}
    by_id = {row["id"]: row for row in rows}
    for node_id, name in labels.kept.items():
        if name in taken:
            raise DataError(
                f"class {name} of the list is {labels.classes.nodes[node_id].name} ({node_id}), but {taken[name]} here",
                hint="name the label by its id in the list",
            )
        node = labels.classes.nodes[node_id]
        row = by_id.get(node_id)
        if row is None:
            row = dict.fromkeys(header, "") | {"path": node.name, "id": node_id, "name": node.name}
            row["depth"] = str(node.depth)
            rows.append(row)
        row |= {"decision": "keep", "class": name, "reason": REASON}
    return _csv(header, ([row[name] for name in header] for row in rows))


def _csv(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()


def _s(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"
