"""The authors' clip lists as inputs of a build: their clips, pairs and classes (`mma-bench authors import`).

In: the list (`listed`), AudioSet's lists and ontology, this project's curation table. Out, in one folder:

| file | key of params.yaml |
|---|---|
| `clips.csv` | `candidates.manifests.authors` |
| `frozen.csv` | `acquire.manifest` |
| `pairs.csv` | `pair.given` |
| `class_decisions.csv` | `ontology.curation_table`: this project's, with every class of the list kept |
| `import.json` | what was read, and how it differs from this project's reconstruction (`authors_report`) |

Nothing is guessed: an entry that contradicts itself, another one, or AudioSet is refused by its place in the list.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mma_bench.builders.manifests.audioset_segments import AudioSetSegment
from mma_bench.builders.manifests.labels_of_list import Labels
from mma_bench.builders.manifests.listed_clips import HINT, Named
from mma_bench.builders.manifests.listed_entries import Listed
from mma_bench.builders.manifests.listed_places import Places
from mma_bench.errors import DataError


@dataclass(frozen=True)
class ImportedClip:
    """A clip of the list; `node_id` is the label that it gets, which leads to `class_name`."""

    where: str
    clip_id: str
    split: str
    video_id: str
    start_ms: int
    end_ms: int
    node_id: str
    class_name: str


@dataclass(frozen=True)
class ImportedPair:
    """Whose sound a clip gets: a donor of the list ("" if only the class is known), and its class.

    `number` is that in the name of the misaligned clip, if it is named.
    """

    where: str
    base_id: str
    donor_id: str
    donor_class: str
    number: str | None = None


@dataclass
class Imported:
    """A list, read.

    Attributes:
        clips: By id, in the order of the list.
        pairs: By base and donor, or class.
        notes: Kind of note → entries.
    """

    clips: dict[str, ImportedClip] = field(default_factory=dict)
    pairs: dict[tuple[str, str, str], ImportedPair] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)


def imported(
    entries: Sequence[Listed],
    labels: Labels,
    audioset: Mapping[str, Sequence[AudioSetSegment]],
    split: str | None = None,
) -> Imported:
    """Clips and pairs of a list.

    Args:
        entries: See `listed.read_list`.
        labels: What its labels mean; classes that the curation table drops are added to `labels.kept`.
        audioset: Video → its segments in AudioSet.
        split: Of entries that state none.

    Raises:
        DataError: See the module; names file and entry.
    """
    found, places = Imported(), Places.of(entries, audioset)
    # An entry of a misaligned clip may leave its class to the aligned one, wherever that stands.
    ordered = sorted(entries, key=lambda entry: not entry.clip.labels)
    bases = [_add_clip(entry, labels, places, split, found) for entry in ordered]
    _check_videos(found)
    for entry, base in zip(ordered, bases, strict=True):
        for sound in entry.sounds:
            _add_pair(entry.where, base, sound, labels, places, found)
    _merge_pairs(found)
    return found


def _add_clip(
    entry: Listed,
    labels: Labels,
    places: Places,
    split: str | None,
    found: Imported,
) -> ImportedClip:
    if (stated := entry.split or split) is None:
        raise DataError(f"{entry.where}: its split is not stated", hint="pass --split test or --split train")
    clip_id, start_ms, end_ms = places.of_clip(entry.clip, entry.where)
    known = found.clips.get(clip_id)
    meaning = labels.meaning(entry.clip.labels, entry.where)
    if meaning is None and known is not None:
        meaning = known.node_id, known.class_name
    if meaning is None:
        meaning = _class_in_audioset(entry, start_ms, labels, places.audioset)
        found.notes["clips whose class the list does not state; it is that of this project"] += 1
    node_id, class_name = meaning
    clip = ImportedClip(entry.where, clip_id, stated, entry.clip.video_id, start_ms, end_ms, node_id, class_name)
    if known is None:
        found.clips[clip_id] = clip
        return clip
    for what, here, there in (("class", class_name, known.class_name), ("split", stated, known.split)):
        if here != there:
            raise DataError(
                f"{entry.where}: the {what} of {clip_id} is {here}, but {there} in {known.where}", hint=HINT
            )
    if end_ms != known.end_ms:
        raise DataError(
            f"{entry.where}: {clip_id} ends at {end_ms / 1000:g} s, but at {known.end_ms / 1000:g} s in {known.where}",
            hint=HINT,
        )
    if not entry.sounds:
        found.notes["clips listed twice"] += 1
    return known


def _class_in_audioset(
    entry: Listed, start_ms: int, labels: Labels, audioset: Mapping[str, Sequence[AudioSetSegment]]
) -> tuple[str, str]:
    """Node and class that this project's label filter gives a clip without a stated class."""
    for segment in audioset.get(entry.clip.video_id, ()):
        if segment.start_ms == start_ms and segment.class_name is not None:
            node = next(item.node_id for item in labels.classes.classes if item.name == segment.class_name)
            return node, segment.class_name
    raise DataError(
        f"{entry.where}: the class of {entry.clip.video_id} is not stated, and the label filter gives it none",
        hint=HINT,
    )


def _check_videos(found: Imported) -> None:
    """Refuse a video in both splits."""
    first: dict[str, ImportedClip] = {}
    for clip in found.clips.values():
        other = first.setdefault(clip.video_id, clip)
        if other.split != clip.split:
            raise DataError(
                f"{clip.where}: video {clip.video_id} is in {clip.split}, but in {other.split} in {other.where}",
                hint=HINT,
            )


def _add_pair(
    where: str,
    base: ImportedClip,
    sound: Named,
    labels: Labels,
    places: Places,
    found: Imported,
) -> None:
    meaning = labels.meaning(sound.labels, where)
    class_name = "" if meaning is None else meaning[1]
    donor: ImportedClip | None = None
    if sound.video_id:
        donor_id, _, end_ms = places.of_clip(sound, where)
        if donor_id == base.clip_id and sound.number is None:  # the clip's own sound: an aligned entry that says so
            return
        if sound.video_id == base.video_id:
            raise DataError(f"{where}: donor {donor_id} is of the same video as {base.clip_id}", hint=HINT)
        donor = found.clips.get(donor_id)
        if donor is not None and end_ms != donor.end_ms:
            raise DataError(
                f"{where}: donor {donor_id} ends at {end_ms / 1000:g} s, but at {donor.end_ms / 1000:g} s in "
                f"{donor.where}",
                hint=HINT,
            )
        if donor is None and not class_name:
            raise DataError(f"{where}: donor {donor_id} is not in the list, and its class is not stated", hint=HINT)
        if donor is None:
            found.notes["donors that are not in the list; a clip of their class is taken"] += 1
    elif class_name == base.class_name and sound.number is None:
        return  # an aligned entry that states the class of both senses
    if donor is not None and class_name not in ("", donor.class_name):
        raise DataError(
            f"{where}: donor {donor.clip_id} is {class_name}, but {donor.class_name} in {donor.where}", hint=HINT
        )
    if donor is not None and donor.split != base.split:
        raise DataError(
            f"{where}: donor {donor.clip_id} is in {donor.split}, {base.clip_id} in {base.split}", hint=HINT
        )
    pair = ImportedPair(
        where,
        base.clip_id,
        "" if donor is None else donor.clip_id,
        class_name if donor is None else donor.class_name,
        sound.number,
    )
    if pair.donor_class == base.class_name:
        raise DataError(f"{where}: the sound has the class of the picture, {base.class_name}", hint=HINT)
    key = (pair.base_id, pair.donor_id, pair.donor_class)
    if (known := found.pairs.setdefault(key, pair)) is not pair:
        same = pair.number is None or pair.number == known.number
        found.notes["pairs listed twice" if same else "misaligned clips of the same class as another; one is made"] += 1


def _merge_pairs(found: Imported) -> None:
    """Leave out a pair that only names the class, if another one names a donor of that class for the same clip."""
    named = {(pair.base_id, pair.donor_class) for pair in found.pairs.values() if pair.donor_id}
    for key, pair in list(found.pairs.items()):
        if not pair.donor_id and (pair.base_id, pair.donor_class) in named:
            found.notes["pairs listed twice"] += 1
            del found.pairs[key]
