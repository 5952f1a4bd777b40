"""A clip as a published list names it: by a file name, a path, an address or an id, and times.

Names are those of `sources.naming`, with or without a suffix, and `<name>_repDiff_<Class>_<number>` for a clip with the
sound of another class, as the authors name their misaligned clips.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mma_bench.builders.manifests.listed_fields import plain
from mma_bench.builders.sources.naming import SUFFIXES, parse_name, replaced_sound
from mma_bench.errors import DataError

HINT: Final = "correct the entry; docs/authors.md lists the fields that are read"

_SOUND_SUFFIXES: Final = (".wav", ".m4a", ".flac", ".mp3", ".aac", ".ogg")
_MILLISECONDS_FROM: Final = 1000  # no segment of AudioSet starts after 590 s, see `sources.naming`

Field = tuple[str, Any]  # name and value, as in the list


@dataclass(frozen=True)
class Named:
    """A clip as a list names it; times in milliseconds, None where the list has none; labels as in the list.

    `video_id` is "" for a sound of which only the class is known.
    """

    video_id: str
    start_ms: int | None = None
    end_ms: int | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cut:
    """What a single name says: a clip, and the label of the sound that replaced its own, if any."""

    clip: Named
    replaced: str | None = None
    bare: bool = False  # nothing but an id

    def is_a_label(self, labels: Collection[str]) -> bool:
        """Whether it may as well be a label: `Church_bell` has as many letters as a video's id.

        Args:
            labels: The names of all labels, `plain`.
        """
        return self.bare and plain(self.clip.video_id) in labels


def cut_of(text: str) -> Cut | None:
    """Parse a clip's name, path or address; None if it is none."""
    if "://" in text:
        parts = urlsplit(text)
        asked = parse_qs(parts.query)
        video = asked.get("v", [PurePosixPath(parts.path).name])[0]
        start = asked.get("t", asked.get("start", [""]))[0].removesuffix("s")
        text = f"{video}_{float(start):.3f}" if re.fullmatch(r"\d+(\.\d+)?", start) else video
    stem = PurePosixPath(text.strip().replace("\\", "/")).name
    for suffix in (*SUFFIXES, *_SOUND_SUFFIXES):
        stem = stem.removesuffix(suffix)
    clip_name, label = replaced_sound(stem) or (stem, None)
    cut = parse_name(f"{clip_name}.mp4")
    if cut is None:
        return None
    clip = Named(cut.video_id, cut.start_ms, cut.end_ms)
    return Cut(clip, label, bare=text == cut.video_id)


def merged(cuts: Sequence[tuple[str, Named]], where: str, starts: set[int], ends: set[int]) -> Named:
    """One clip from all that names it: (field, clip) pairs, and times of other fields, in milliseconds.

    Raises:
        DataError: They contradict each other.
    """
    if len({cut.video_id for _, cut in cuts}) > 1:
        said = " and ".join(f"{name} names {cut.video_id}" for name, cut in cuts)
        raise DataError(f"{where}: {said}; which one is the clip is not known", hint=HINT)
    starts = starts | {cut.start_ms for _, cut in cuts if cut.start_ms is not None}
    ends = ends | {cut.end_ms for _, cut in cuts if cut.end_ms is not None}
    for what, values in (("start", starts), ("end", ends)):
        if len(values) > 1:
            said = " and ".join(f"{value / 1000:g} s" for value in sorted(values))
            raise DataError(f"{where}: the {what} of {cuts[0][1].video_id} is {said}", hint=HINT)
    start, end = next(iter(starts), None), next(iter(ends), None)
    if end is not None and (start is None or end <= start):
        raise DataError(
            f"{where}: {cuts[0][1].video_id} has an end ({end / 1000:g} s) that is not after a start", hint=HINT
        )
    return Named(cuts[0][1].video_id, start, end)


def times(seconds: Sequence[Field], milliseconds: Sequence[Field], where: str) -> set[int]:
    """The times that fields state, in milliseconds; normally one."""
    found = {_milliseconds(value, name, where) for name, value in seconds}
    return found | {round(_number(value, name, where)) for name, value in milliseconds}


def spans(fields: Sequence[Field], where: str) -> Iterator[tuple[int, int]]:
    """Start and end in milliseconds, of fields such as [30, 40] or "30-40"."""
    for name, value in fields:
        parts = re.split(r"\s*[-–,_]\s*", value) if isinstance(value, str) else value
        if not isinstance(parts, list) or len(parts) != 2:
            raise DataError(f"{where}: {name} {value!r} is not a start and an end", hint=HINT)
        yield _milliseconds(parts[0], name, where), _milliseconds(parts[1], name, where)


def _milliseconds(value: Any, name: str, where: str) -> int:
    """Seconds; a whole number from 1000 on is milliseconds."""
    number = _number(value, name, where)
    return round(number if number >= _MILLISECONDS_FROM and number.is_integer() else number * 1000)


def _number(value: Any, name: str, where: str) -> float:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        raise DataError(f"{where}: {name} {value!r} is not a time", hint=HINT)
    return float(text)


def texts(fields: Sequence[Field], what: str, where: str) -> list[str]:
    """The values of fields, each a text or a list of texts, without repetitions."""
    found: dict[str, None] = {}
    for name, value in fields:
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or not item.strip():
                raise DataError(f"{where}: {name} {item!r} is not a {what}", hint=HINT)
            found[item.strip()] = None
    return list(found)
