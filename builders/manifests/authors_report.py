"""How a published list compares with the paper's counts and with this project's reconstruction."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mma_bench.builders.manifests.audioset_segments import AudioSetSegment
from mma_bench.builders.manifests.authors import Imported, ImportedClip
from mma_bench.builders.manifests.labels_of_list import Labels

# The paper, section 3 (test) and section 5.1 (train): clips and classes.
PAPER: Final[Mapping[str, tuple[int, int]]] = {"test": (658, 49), "train": (1207, 58)}
_EXAMPLES: Final = 5


def compare(
    found: Imported, labels: Labels, audioset: Mapping[str, Sequence[AudioSetSegment]], unused: Counter[str]
) -> dict[str, Any]:
    """The content of `import.json`."""
    theirs = {clip.class_name for clip in found.clips.values()} | {pair.donor_class for pair in found.pairs.values()}
    ours = set(labels.classes.names)
    fates = {clip_id: _fate(clip, audioset) for clip_id, clip in found.clips.items()}
    return {
        "splits": {split: _split(split, found, audioset) for split in PAPER},
        "classes": {
            "only_in_the_list": sorted(theirs - ours),
            "only_in_this_project": sorted(ours - theirs),
            "kept_for_this_list": dict(sorted(labels.kept.items())),
            "labels_read_as": dict(sorted(labels.read_as.items())),
        },
        "label_filter": {
            fate: {"clips": len(clips), "examples": clips[:_EXAMPLES]} for fate, clips in sorted(_by(fates).items())
        },
        "pairs": {
            "pairs": len(found.pairs),
            "bases": len({pair.base_id for pair in found.pairs.values()}),
            "with_a_donor": sum(bool(pair.donor_id) for pair in found.pairs.values()),
            "with_a_class_only": sum(not pair.donor_id for pair in found.pairs.values()),
        },
        "notes": dict(sorted(found.notes.items())),
        "fields_not_read": dict(sorted(unused.items())),
    }


def _split(split: str, found: Imported, audioset: Mapping[str, Sequence[AudioSetSegment]]) -> dict[str, Any]:
    clips = [clip for clip in found.clips.values() if clip.split == split]
    counts = Counter(clip.class_name for clip in clips)
    subsets = Counter(segment.subset if (segment := _segment(clip, audioset)) else "none" for clip in clips)
    paper_clips, paper_classes = PAPER[split]
    return {
        "clips": len(clips),
        "paper_clips": paper_clips,
        "classes": len(counts),
        "paper_classes": paper_classes,
        "clips_by_class": dict(sorted(counts.items())),
        "clips_by_audioset_list": dict(sorted(subsets.items())),
    }


def _segment(clip: ImportedClip, audioset: Mapping[str, Sequence[AudioSetSegment]]) -> AudioSetSegment | None:
    return next((each for each in audioset.get(clip.video_id, ()) if each.start_ms == clip.start_ms), None)


def _fate(clip: ImportedClip, audioset: Mapping[str, Sequence[AudioSetSegment]]) -> str:
    """What this project's label filter makes of a clip of the list."""
    segment = _segment(clip, audioset)
    if segment is None:
        return "not a segment of AudioSet"
    if segment.class_name is None:
        return f"dropped: {segment.reason}"
    return "same class" if segment.class_name == clip.class_name else "another class"


def _by(fates: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for clip_id, fate in fates.items():
        found.setdefault(fate, []).append(clip_id)
    return found


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report for the terminal."""
    for split, counts in report["splits"].items():
        yield (
            f"{split}: {counts['clips']} clips of {counts['classes']} classes "
            f"(paper: {counts['paper_clips']:,} of {counts['paper_classes']})"
        )
    pairs = report["pairs"]
    yield (
        f"pairs: {pairs['pairs']} of {pairs['bases']} clips; {pairs['with_a_donor']} name the donor, "
        f"{pairs['with_a_class_only']} its class only"
    )
    for key, said in (
        ("only_in_the_list", "classes that only the list has"),
        ("only_in_this_project", "classes that only this project has"),
    ):
        if names := report["classes"][key]:
            yield f"{said}: {', '.join(names)}"
    if names := report["classes"]["labels_read_as"]:
        yield f"labels that count as a class: {', '.join(f'{label} → {name}' for label, name in names.items())}"
    for fate, clips in report["label_filter"].items():
        yield f"this project's label filter, {fate}: {clips['clips']} clips, e.g. {', '.join(clips['examples'][:3])}"
    for note, count in report["notes"].items():
        yield f"{note}: {count}"
    if fields := report["fields_not_read"]:
        yield f"fields that are not read: {', '.join(map(_printable, fields))}"


def _printable(name: str) -> str:
    """A field's name for the terminal, which control characters would change."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in name)
