"""Reads a published clip list: JSON in any of its usual forms, or the names of its media, as one record per entry.

Forms: a list of entries; entries by split, by kind (`aligned`, `misaligned`), by clip or by class; JSON Lines; a folder
of such files, or of media. An entry is an object or a clip's name (`listed_entries`). An entry that can
be read in two ways is refused.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mma_bench.builders.manifests.listed_clips import HINT, cut_of, shown
from mma_bench.builders.manifests.listed_entries import Listed, Place, read_entry
from mma_bench.builders.manifests.listed_fields import HOLDERS, by_role, is_part, plain, split_in
from mma_bench.builders.manifests.listed_json import values_of
from mma_bench.builders.sources.naming import SUFFIXES
from mma_bench.csv_rows import read_text
from mma_bench.errors import ConfigError, DataError
from mma_bench.folders import path_below, walk


def read_list(path: Path, labels: Collection[str], source: str) -> tuple[list[Listed], Counter[str]]:
    """The entries of a file or folder in its order, and how often each field that is not read occurs.

    Args:
        path: A .json or .jsonl file, or a folder that holds some, or else the media.
        labels: The names of all labels, `plain`.
        source: What to call `path` in messages.

    Raises:
        ConfigError: No such file or folder, or neither lists nor media in it.
        DataError: Not JSON; an entry without a clip or that can be read in two ways; names file and entry.
    """
    if not path.exists():
        raise ConfigError(
            f"{path} does not exist", hint="name a JSON file, a folder, or a dataset on the Hub: ORG/NAME"
        )
    if not (path.is_dir() or path.is_file()):
        raise ConfigError(f"{path} is neither a file nor a folder", hint="name a JSON file, or a folder of them")
    inside = [Path(path_below(path, entry)) for entry in walk(path)] if path.is_dir() else []
    # Hidden folders hold what tools keep for themselves, such as the Hub's client.
    seen = sorted(file for file in inside if not any(part.startswith(".") for part in file.parts))
    files = {path / file: f"{source}/{file}" for file in seen} if path.is_dir() else {path: source}
    lists = [file for file in files if file.suffix.lower() in (".json", ".jsonl")]
    media = [] if lists else [file for file in files if file.suffix.lower() in SUFFIXES]
    found: list[Listed] = []
    top = Place("", labels)
    for file in lists:
        words = (*file.relative_to(path).parts[:-1], file.stem) if path.is_dir() else (file.stem,)
        place = replace(top, where=files[file], split=_split_of_path(words, files[file]))
        found += _read_file(file, place, optional=len(lists) > 1)
    for file in media:
        words = (*file.parent.relative_to(path).parts, path.name) if path.is_dir() else ()
        found.append(read_entry(file.name, replace(top, where=files[file], split=_split_of_path(words, files[file]))))
    if not found:
        hint = "name the JSON with the clips, or a folder that holds it"
        if not lists and not media:
            what = "holds neither JSON (.json, .jsonl) nor media" if path.is_dir() else "is not JSON (.json, .jsonl)"
            raise ConfigError(f"{source} {what}", hint=hint)
        raise ConfigError(f"{source} has no entries", hint=hint)
    return found, top.unused


def _split_of_path(words: Sequence[str], where: str) -> str | None:
    """The split that a file's folders and name state."""
    stated = dict.fromkeys(split for word in words if (split := split_in(word)) is not None)
    if len(stated) > 1:
        raise DataError(f"{where}: its path names {' and '.join(stated)}", hint="move or rename the file")
    return next(iter(stated), None)


def _read_file(file: Path, place: Place, *, optional: bool) -> list[Listed]:
    """The entries of a file; if it is `optional`, it need not tell of any clip."""
    try:
        values = list(values_of(read_text(file), place.where))
        if optional and not any(_tells_of_clips(value, place) for _, value in values):
            place.unused[f"all of {place.where}"] += 1
            return []
        return [found for where, value in values for found in _walk(value, replace(place, where=where))]
    except RecursionError:
        raise DataError(f"{place.where} is nested too deeply", hint=HINT) from None


def _tells_of_clips(value: Any, place: Place) -> bool:
    """Whether a value holds an entry: a clip's name in a list, as a key, or in a field for it."""
    if isinstance(value, list):
        return any(place.named(item) or _tells_of_clips(item, place) for item in value)
    if not isinstance(value, dict):
        return False
    if any(place.named(item) for _, item in by_role(value).get("clip", ())):
        return True
    return any(
        _tells_of_clips(item, place)
        or (place.named(key) and (place.labelled(item) or (isinstance(item, dict) and bool(by_role(item)))))
        for key, item in value.items()
    )


def _walk(value: Any, place: Place) -> Iterator[Listed]:
    """The entries of a value, whatever of the forms it has."""
    if place.clip is not None and isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        yield read_entry({"donors" if all(map(place.named, value)) else "labels": value}, place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            here = replace(place, where=f"{place.where}, entry {number}")
            found = list(_walk(item, here))
            if not found:
                raise DataError(f"{here.where}: no clip is named", hint=HINT)
            yield from found
    elif isinstance(value, str):
        yield read_entry({"label": value} if place.clip is not None else value, place)
    elif not isinstance(value, dict):
        raise DataError(f"{place.where}: {shown(value)} is not an entry", hint=HINT)
    elif _is_entry(value, place):
        yield read_entry(value, place)
    else:
        yield from _walk_keys(value, place)


def _is_entry(value: Mapping[str, Any], place: Place) -> bool:
    """Whether an object is an entry, and not one of entries by split, clip or class.

    Raises:
        DataError: It has an entry's fields, but none that names the clip.
    """
    roles = by_role(value)
    if place.clip is not None:
        return bool(roles)
    if _are_parts(value, place):
        return False
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


def _are_parts(value: Mapping[str, Any], place: Place) -> bool:
    """Whether an object is parts of the list, all under names that could be an entry's fields: {"aligned": ["…"],
    "misaligned": ["…"]}.

    Raises:
        DataError: It may as well be one entry.
    """
    if len(value) < 2 or not all(_is_part(key) and isinstance(item, list | dict) for key, item in value.items()):
        return False
    if all(_is_one(item) and place.named(item[0]) for item in value.values()):
        sounds = [cut_of(item[0]) for _, item in by_role(value).get("donor", ())]
        if any(cut is None or cut.replaced is None for cut in sounds):
            raise DataError(
                f"{place.where}: {' and '.join(map(repr, value))} may be one clip with its sound, or a clip each",
                hint="name one of them donor, if it is the sound",
            )
    return True


def _is_part(key: str) -> bool:
    return is_part(key) or plain(key) in HOLDERS


def _is_one(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)


def _walk_keys(value: Mapping[str, Any], place: Place) -> Iterator[Listed]:
    """The entries of an object whose keys are no fields: splits, kinds, clips or classes."""
    parts = {key for key, item in value.items() if _is_part(key) and isinstance(item, list | dict)}
    for key, item in value.items():
        here = replace(place, where=f"{place.where}, {key!r}")
        if key in parts:
            split = split_in(key)
            if split is not None and place.split not in (None, split):
                raise DataError(f"{here.where}: {split} inside of {place.split}", hint=HINT)
            yield from _walk(item, replace(here, split=split or place.split))
        elif parts:  # what stands beside the parts is about the list: {"name": "…", "data": […]}
            if place.named(item) or _tells_of_clips({key: item}, place):
                raise DataError(f"{here.where}: holds clips, but is no part of the list by its name", hint=HINT)
            place.unused[key] += 1
        elif place.named(key):
            found = list(_walk(item, replace(here, clip=key)))
            if not found:
                raise DataError(
                    f"{here.where}: {shown(item)} is neither a label nor has it a field that is read", hint=HINT
                )
            yield from found
        elif isinstance(item, list | dict) and place.label is None:
            yield from _walk(item, replace(here, label=key))
        elif isinstance(item, list | dict | str):
            raise DataError(f"{here.where}: neither a split, a clip, a class nor a field that is read", hint=HINT)
        else:
            place.unused[key] += 1
