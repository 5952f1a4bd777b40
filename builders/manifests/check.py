"""What the label filter will make of a manifest, before a build: kept and dropped clips by reason, and unknown labels.

In: the manifest, and data/classes.json. Out: lines for the terminal; `mma-bench candidates check` prints them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import polars as pl

from mma_bench.builders.candidates import decide, rule_of
from mma_bench.builders.labels.manifests import LABEL_MAP, ManifestClip, read_manifest
from mma_bench.classes import ClassTable

_EXAMPLES: Final = 3
_WHY: Final = {
    "cross_tree": "labels of events without a common root",
    "multi_class": "labels of several classes",
    "removed_restricted": "its label is restricted or abstract in the ontology",
    "removed_multi_parent": "its label has several parents in the ontology",
    "removed_actionless": "its label has no visible action or object",
    "removed_ambiguous": "its label is broad or overlaps with others",
    "removed_uncurated": "its label is not in the curation table",
}


def check(path: Path, classes: ClassTable) -> tuple[list[str], int]:
    """The report on a manifest, as lines, and the number of unknown labels.

    Raises:
        DataError: The manifest cannot be read; names file and line.
    """
    clips = read_manifest(path)
    unknown = [clip for clip in clips if not classes.nodes.keys() >= set(clip.label_ids)]
    usable = [clip for clip in clips if classes.nodes.keys() >= set(clip.label_ids)]
    label_sets = pl.DataFrame(
        {"label_ids": [list(clip.label_ids) for clip in usable]}, schema={"label_ids": pl.List(pl.String)}
    )
    decided = decide(label_sets, rule_of(classes)).select("reason", "class_name").rows() if usable else []
    lines = []
    for split in dict.fromkeys(clip.split for clip in clips):
        chosen = [(clip, *row) for clip, row in zip(usable, decided, strict=True) if clip.split == split]
        kept = Counter(class_name for _, reason, class_name in chosen if not reason)
        whole = sum(clip.split == split for clip in clips)
        lines.append(f"{split}: {kept.total()} of {whole} clips are kept")
        if kept:
            counts = ", ".join(f"{name} {count}" for name, count in sorted(kept.items()))
            lines.append(f"  {len(kept)} of {len(classes.names)} classes: {counts}")
        for reason, count in sorted(Counter(reason for _, reason, _ in chosen if reason).items()):
            examples = [clip for clip, its_reason, _ in chosen if its_reason == reason][:_EXAMPLES]
            shown = "; ".join(f"{clip.clip_id} ({_names(clip, classes)})" for clip in examples)
            lines.append(f"  {reason} {count}: {_WHY[reason]}, e.g. {shown}")
    labels = _unknown_labels(unknown, classes)
    if labels:
        lines.append(f"not counted: {len(unknown)} clips with {len(labels)} unknown labels")
        lines += _nearest(labels, classes)
    return lines, len(labels)


def _names(clip: ManifestClip, classes: ClassTable) -> str:
    return ", ".join(classes.nodes[label_id].name for label_id in clip.label_ids)


def _unknown_labels(clips: Sequence[ManifestClip], classes: ClassTable) -> dict[str, ManifestClip]:
    """Label → the first clip that has it."""
    found: dict[str, ManifestClip] = {}
    for clip in clips:
        for label in clip.label_ids:
            if label not in classes.nodes:
                found.setdefault(label, clip)
    return found


def _nearest(labels: dict[str, ManifestClip], classes: ClassTable) -> Iterator[str]:
    # A name may list several, "Violin, fiddle": each counts, and so does the whole.
    names = {part.strip(): node_id for node_id, node in classes.nodes.items() for part in node.name.lower().split(",")}
    names |= {node.name.lower(): node_id for node_id, node in classes.nodes.items()}
    for label, clip in labels.items():
        ids = list(dict.fromkeys(names[name] for name in get_close_matches(label.lower(), names)))
        ids += [] if ids else get_close_matches(label, list(classes.nodes), cutoff=0.8)
        near = ", ".join(f"{classes.nodes[node_id].name} ({node_id})" for node_id in ids)
        said = f"nearest: {near}" if near else f"none of AudioSet's is near; map it in {LABEL_MAP}"
        yield f"  {label!r} ({clip.where}); {said}"
