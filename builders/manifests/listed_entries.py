"""Reads one entry of a published list: an object whose fields tell of a clip and its sounds, or a clip's name."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from mma_bench.builders.manifests.listed_clips import HINT, Field, Named, cut_of, merged, shown, spans, texts, times
from mma_bench.builders.manifests.listed_fields import OF_DONOR, Role, by_role, plain, split_in, unused
from mma_bench.builders.sources.naming import Replaced
from mma_bench.errors import DataError

Roles: TypeAlias = Mapping[Role, list[Field]]


@dataclass(frozen=True)
class Listed:
    """An entry.

    Attributes:
        where: File and place in it, for messages.
        split: As stated in the entry or around it; None if it is not.
        clip: Whose picture it is.
        sounds: Whose sound, if it is not the clip's own; more than one if the entry lists all donors of a clip.
    """

    where: str
    split: str | None
    clip: Named
    sounds: tuple[Named, ...] = ()


@dataclass(frozen=True)
class Place:
    """What is known from where an entry stands; `labels`, all plain names, and `unused` are those of the whole list."""

    where: str
    labels: Collection[str]
    split: str | None = None
    clip: str | None = None
    label: str | None = None
    unused: Counter[str] = field(default_factory=Counter)

    def named(self, value: object) -> bool:
        """Whether a value names a clip."""
        cut = cut_of(value)
        return cut is not None and not cut.is_a_label(self.labels)

    def labelled(self, value: object) -> bool:
        """Whether a value is a label."""
        return isinstance(value, str) and plain(value) in self.labels


def read_entry(value: str | Mapping[str, Any], place: Place) -> Listed:
    fields = {"clip": value} if isinstance(value, str) else dict(value)
    if place.clip is not None and "clip" not in by_role(fields):
        fields["clip"] = place.clip
    place.unused.update(unused(fields))
    roles = by_role(fields)
    clip, replaced = _clip(roles, place)
    sounds = _sounds(roles, place, clip)
    if replaced is not None and len(sounds) > 1:
        raise DataError(f"{place.where}: its name gives one sound, its fields {len(sounds)}", hint=HINT)
    if replaced is not None:
        known = sounds[0] if sounds else Named("")
        labels = tuple(dict.fromkeys((*known.labels, replaced.label)))
        sounds = [replace(known, labels=labels, number=replaced.number)]
    return Listed(place.where, _split(roles, place), clip, tuple(sounds))


def _clip(roles: Roles, place: Place) -> tuple[Named, Replaced | None]:
    """The clip of an entry, and what its name says of another sound."""
    fields = [(name, item) for name, value in roles.get("clip", ()) for item in _items(value)]
    cuts = [(name, cut) for name, item in fields if (cut := cut_of(item)) is not None]
    if len({cut.clip.video_id for _, cut in cuts}) > 1:  # {"id": "…", "name": "Church_bell"}
        cuts = [(name, cut) for name, cut in cuts if not cut.is_a_label(place.labels)]
    if not cuts:
        said = ", ".join(f"{name} {shown(item)}" for name, item in fields)
        raise DataError(f"{place.where}: {said} does not name a video of YouTube", hint=HINT)
    starts = times(roles.get("start", ()), roles.get("start_ms", ()), place.where)
    ends = times(roles.get("end", ()), roles.get("end_ms", ()), place.where)
    for first, last in spans(roles.get("span", ()), place.where):
        starts.add(first)
        ends.add(last)
    clip = merged([(name, cut.clip) for name, cut in cuts], place.where, starts, ends)
    labels = texts(roles.get("label", ()), "label", place.where) + ([place.label] if place.label else [])
    replaced = {(cut.replaced.label, cut.replaced.number): cut.replaced for _, cut in cuts if cut.replaced is not None}
    if len(replaced) > 1:
        raise DataError(f"{place.where}: its names give {len(replaced)} sounds", hint=HINT)
    return replace(clip, labels=tuple(dict.fromkeys(labels))), next(iter(replaced.values()), None)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _sounds(roles: Roles, place: Place, base: Named) -> list[Named]:
    """The donors of an entry; of those that only have a class, the class."""
    given = [(name, item) for name, value in roles.get("donor", ()) for item in _items(value)]
    labels = texts(roles.get("donor_label", ()), "label", place.where)
    if not given:
        return [Named("", labels=(label,)) for label in labels]
    if len(labels) not in (0, 1, len(given)) or (len(labels) == 1 and len(given) > 1):
        raise DataError(f"{place.where}: {len(given)} sounds, but {len(labels)} labels of sounds", hint=HINT)
    starts = times(roles.get("donor_start", ()), roles.get("donor_start_ms", ()), place.where)
    ends = times(roles.get("donor_end", ()), roles.get("donor_end_ms", ()), place.where)
    if len(given) > 1 and (starts or ends):
        raise DataError(f"{place.where}: {len(given)} sounds, but one time", hint=HINT)
    sounds = [_sound(name, item, place, base, starts, ends) for name, item in given]
    stated = labels if len(labels) == len(given) else [None] * len(given)
    return [
        sound if label is None else replace(sound, labels=tuple(dict.fromkeys((*sound.labels, label))))
        for sound, label in zip(sounds, stated, strict=True)
    ]


def _sound(name: str, item: Any, place: Place, base: Named, starts: set[int], ends: set[int]) -> Named:
    if isinstance(item, dict):
        return _sound_of_object(item, place, starts, ends)
    cut = cut_of(item)
    states_id = plain(name).endswith("id")
    if place.labelled(item) and (cut is None or (cut.is_a_label(place.labels) and not states_id)):
        return Named("", labels=(str(item),))
    if cut is None:
        raise DataError(f"{place.where}: {name} {shown(item)} names neither a video of YouTube nor a label", hint=HINT)
    if cut.replaced is not None:  # the misaligned clip itself: its name tells the class, not whose sound it is
        merged([("the entry", base), (name, cut.clip)], place.where, set(), set())
        return Named("", labels=(cut.replaced.label,), number=cut.replaced.number)
    return merged([(name, cut.clip)], place.where, starts, ends)


def _sound_of_object(item: Mapping[str, Any], place: Place, starts: set[int], ends: set[int]) -> Named:
    """A donor as an object, whose fields may be called as a clip's or as a donor's."""
    place.unused.update(unused(item))
    inner = by_role(item)
    both = {role: [*inner.get(role, ()), *inner.get(of_donor, ())] for role, of_donor in OF_DONOR.items()}
    if not both["clip"]:
        return Named("", labels=tuple(texts(both["label"], "label", place.where)))
    sound, replaced = _clip({**both, "span": inner.get("span", [])}, replace(place, label=None))
    if replaced is not None:
        raise DataError(f"{place.where}: a misaligned clip cannot be a donor", hint=HINT)
    return replace(merged([("the donor", sound)], place.where, starts, ends), labels=sound.labels)


def _split(roles: Roles, place: Place) -> str | None:
    stated = {split_in(text) or text for text in texts(roles.get("split", ()), "split", place.where)}
    stated |= {place.split} if place.split is not None else set()
    if len(stated) > 1:
        raise DataError(f"{place.where}: of {' and of '.join(sorted(stated))}", hint=HINT)
    split = stated.pop() if stated else None
    if split not in (None, "test", "train"):
        raise DataError(f"{place.where}: {split!r} is not a split", hint="name test or train")
    return split
