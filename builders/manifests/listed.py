"""Reads a published clip list: JSON in any of its usual forms, or the names of its media, as one record per entry.

Forms: a list of entries; entries by split, by kind (`aligned`, `misaligned`), by clip or by class; JSON Lines; a folder
of such files, or of media. An entry is an object (`listed_fields`) or a clip's name (`listed_clips`). An entry that can
be read in two ways is refused.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from mma_bench.builders.manifests.listed_clips import HINT, Field, Named, cut_of, merged, spans, texts, times
from mma_bench.builders.manifests.listed_fields import HOLDERS, Role, by_role, is_part, plain, split_in, unused
from mma_bench.builders.sources.naming import SUFFIXES
from mma_bench.csv_rows import read_text
from mma_bench.errors import ConfigError, DataError
from mma_bench.folders import path_below, walk

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
class _Place:
    """What is known from where an entry stands; `labels` and `unused` are those of the whole list."""

    where: str
    labels: Collection[str]
    split: str | None = None
    clip: str | None = None
    label: str | None = None
    unused: Counter[str] = field(default_factory=Counter)

    def named(self, text: object) -> bool:
        """Whether a text names a clip."""
        cut = cut_of(text) if isinstance(text, str) else None
        return cut is not None and not cut.is_a_label(self.labels)


def read_list(path: Path, labels: Collection[str], shown: str) -> tuple[list[Listed], Counter[str]]:
    """The entries of a file or folder in its order, and how often each field that is not read occurs.

    Args:
        path: A .json or .jsonl file, or a folder that holds some, or else the media.
        labels: The names of all labels, `plain`.
        shown: What to call `path` in messages.

    Raises:
        ConfigError: No such file or folder, or neither lists nor media in it.
        DataError: Not JSON; an entry without a clip or that can be read in two ways; names file and entry.
    """
    if not path.exists():
        raise ConfigError(
            f"{path} does not exist", hint="name a JSON file, a folder, or a dataset on the Hub: ORG/NAME"
        )
    inside = [Path(path_below(path, entry)) for entry in walk(path)] if path.is_dir() else []
    # Hidden folders hold what tools keep for themselves, such as the Hub's client.
    seen = sorted(file for file in inside if not any(part.startswith(".") for part in file.parts))
    files = {path / file: f"{shown}/{file}" for file in seen} if path.is_dir() else {path: shown}
    lists = [file for file in files if file.suffix.lower() in (".json", ".jsonl")]
    media = [] if lists else [file for file in files if file.suffix.lower() in SUFFIXES]
    found: list[Listed] = []
    top = _Place("", labels)
    for file in lists:
        found += _read_file(file, replace(top, where=files[file], split=split_in(file.stem)))
    for file in media:
        found.append(_entry(file.name, replace(top, where=files[file], split=split_in(file.parent.name))))
    if not found:
        hint = "name the JSON with the clips, or a folder that holds it"
        if not lists and not media:
            what = "holds neither JSON (.json, .jsonl) nor media" if path.is_dir() else "is not JSON (.json, .jsonl)"
            raise ConfigError(f"{shown} {what}", hint=hint)
        raise ConfigError(f"{shown} has no entries", hint=hint)
    return found, top.unused


def _read_file(file: Path, place: _Place) -> Iterator[Listed]:
    text = read_text(file)
    if file.suffix.lower() == ".json":
        yield from _walk(_parsed(text, place.where), place)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            where = f"{place.where}, line {number}"
            yield from _walk(_parsed(line, where), replace(place, where=where))


def _parsed(text: str, where: str) -> Any:
    def checked(pairs: list[Field]) -> dict[str, Any]:
        # JSON readers keep the last of two equal keys without a word.
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise DataError(f"{where}: key {twice[0]!r} occurs twice in one object", hint=HINT)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=checked)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}", hint="fetch the file again") from None


def _walk(value: Any, place: _Place) -> Iterator[Listed]:
    """The entries of a value, whatever of the forms it has."""
    if place.clip is not None and isinstance(value, list) and all(isinstance(item, str) for item in value):
        yield _entry({"donors" if all(map(place.named, value)) else "labels": value}, place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            here = replace(place, where=f"{place.where}, entry {number}")
            found = list(_walk(item, here))
            if not found:
                raise DataError(f"{here.where}: no clip is named", hint=HINT)
            yield from found
    elif isinstance(value, str):
        yield _entry({"label": value} if place.clip is not None else value, place)
    elif not isinstance(value, dict):
        raise DataError(f"{place.where}: {value!r} is not an entry", hint=HINT)
    elif _is_entry(value, place):
        yield _entry(value, place)
    else:
        yield from _walk_keys(value, place)


def _is_entry(value: Mapping[str, Any], place: _Place) -> bool:
    """Whether an object is an entry, and not one of entries by split, clip or class.

    Raises:
        DataError: It has an entry's fields, but none that names the clip.
    """
    roles = by_role(value)
    if place.clip is not None:
        return bool(roles)
    # A field of this name that holds objects or several texts is a list of entries: {"videos": […]}.
    single = [item[0] if _is_one(item) else item for _, item in roles.get("clip", ())]
    single = [item for item in single if not isinstance(item, list | dict)]
    if any(map(place.named, single)):
        return True
    if any(plain(key) in HOLDERS and isinstance(item, list | dict) for key, item in value.items()):
        return False  # what stands beside the entries is about the list: {"name": "…", "data": […]}
    if single:
        return True
    if roles.keys() - {"clip", "donor"}:
        raise DataError(f"{place.where}: no field names the clip; its fields are {', '.join(value)}", hint=HINT)
    return False


def _is_one(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)


def _walk_keys(value: Mapping[str, Any], place: _Place) -> Iterator[Listed]:
    """The entries of an object whose keys are no fields: splits, kinds, clips or classes."""
    inner = {key: item for key, item in value.items() if isinstance(item, list | dict | str)}
    holders = {key: item for key, item in inner.items() if plain(key) in HOLDERS and not isinstance(item, str)}
    for key, item in (holders or inner).items():
        here = replace(place, where=f"{place.where}, {key!r}")
        if key in holders or is_part(key):
            split = None if key in holders else split_in(key)
            if split is not None and place.split not in (None, split):
                raise DataError(f"{here.where}: {split} inside of {place.split}", hint=HINT)
            yield from _walk(item, replace(here, split=split or place.split))
        elif place.named(key):
            yield from _walk(item, replace(here, clip=key))
        elif isinstance(item, list | dict) and place.label is None:
            yield from _walk(item, replace(here, label=key))
        else:
            raise DataError(f"{here.where}: neither a split, a clip, a class nor a field that is read", hint=HINT)


def _entry(value: str | Mapping[str, Any], place: _Place) -> Listed:
    fields = {"clip": value} if isinstance(value, str) else dict(value)
    if place.clip is not None and "clip" not in by_role(fields):
        fields["clip"] = place.clip
    place.unused.update(unused(fields))
    roles = by_role(fields)
    clip, replaced = _clip(roles, place)
    sounds = _sounds(roles, place)
    if replaced and len(sounds) > 1:
        raise DataError(f"{place.where}: its name gives one sound, its fields {len(sounds)}", hint=HINT)
    if replaced:
        known = sounds[0] if sounds else Named("")
        sounds = [replace(known, labels=tuple(dict.fromkeys((*known.labels, *replaced))))]
    return Listed(place.where, _split(roles, place), clip, tuple(sounds))


def _clip(roles: Roles, place: _Place) -> tuple[Named, list[str]]:
    """The clip of an entry, and the label of its sound if its name gives another one."""
    fields = [(name, item) for name, value in roles.get("clip", ()) for item in _items(value)]
    cuts = [(name, cut) for name, item in fields if (cut := cut_of(str(item))) is not None]
    if len({cut.clip.video_id for _, cut in cuts}) > 1:  # {"id": "…", "name": "Church_bell"}
        cuts = [(name, cut) for name, cut in cuts if not cut.is_a_label(place.labels)]
    if not cuts:
        said = ", ".join(f"{name} {item!r}" for name, item in fields)
        raise DataError(f"{place.where}: {said} does not name a video of YouTube", hint=HINT)
    starts = times(roles.get("start", ()), roles.get("start_ms", ()), place.where)
    ends = times(roles.get("end", ()), roles.get("end_ms", ()), place.where)
    for first, last in spans(roles.get("span", ()), place.where):
        starts.add(first)
        ends.add(last)
    clip = merged([(name, cut.clip) for name, cut in cuts], place.where, starts, ends)
    labels = texts(roles.get("label", ()), "label", place.where) + ([place.label] if place.label else [])
    replaced = dict.fromkeys(cut.replaced for _, cut in cuts if cut.replaced is not None)
    return replace(clip, labels=tuple(dict.fromkeys(labels))), list(replaced)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _sounds(roles: Roles, place: _Place) -> list[Named]:
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
    sounds = [_sound(name, item, place, starts, ends) for name, item in given]
    stated = labels if len(labels) == len(given) else [None] * len(given)
    return [
        sound if label is None else replace(sound, labels=tuple(dict.fromkeys((*sound.labels, label))))
        for sound, label in zip(sounds, stated, strict=True)
    ]


def _sound(name: str, item: Any, place: _Place, starts: set[int], ends: set[int]) -> Named:
    if isinstance(item, dict):
        inner = by_role(item)
        clip = [*inner.pop("clip", []), *inner.pop("donor", [])]
        label = [*inner.pop("label", []), *inner.pop("donor_label", [])]
        if not clip:
            return Named("", labels=tuple(texts(label, "label", place.where)))
        return _clip({**inner, "clip": clip, "label": label}, replace(place, label=None))[0]
    cut = cut_of(str(item))
    states_id = plain(name).endswith("id")
    if plain(str(item)) in place.labels and (cut is None or (cut.is_a_label(place.labels) and not states_id)):
        return Named("", labels=(str(item),))
    if cut is None:
        raise DataError(f"{place.where}: {name} {item!r} names neither a video of YouTube nor a label", hint=HINT)
    if cut.replaced is not None:  # the misaligned clip itself: its name tells the class, not whose sound it is
        return Named("", labels=(cut.replaced,))
    return merged([(name, cut.clip)], place.where, starts, ends)


def _split(roles: Roles, place: _Place) -> str | None:
    stated = {split_in(text) or text for text in texts(roles.get("split", ()), "split", place.where)}
    stated |= {place.split} if place.split is not None else set()
    if len(stated) > 1:
        raise DataError(f"{place.where}: of {' and of '.join(sorted(stated))}", hint=HINT)
    split = stated.pop() if stated else None
    if split not in (None, "test", "train"):
        raise DataError(f"{place.where}: {split!r} is not a split", hint="name test or train")
    return split
