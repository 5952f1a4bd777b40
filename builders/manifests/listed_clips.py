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
from mma_bench.builders.sources.naming import SUFFIXES, Replaced, parse_name, replaced_sound
from mma_bench.errors import DataError

HINT: Final = "correct the entry; docs/authors.md lists the fields that are read"

_SOUND_SUFFIXES: Final = (".wav", ".m4a", ".flac", ".mp3", ".aac", ".ogg")
_MILLISECONDS_FROM: Final = 1000  # no segment of AudioSet starts after 590 s, see `sources.naming`
_LONGEST_MS: Final = 24 * 3_600_000  # no video is longer
_SHOWN: Final = 80  # characters of a value in a message
# As players take it: 90, 90s, 1m30s, 1h2m3s.
_MOMENT: Final = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,6}(?:\.\d{1,3})?)s?)?", re.ASCII)

Field = tuple[str, Any]  # name and value, as in the list


@dataclass(frozen=True)
class Named:
    """A clip as a list names it; times in milliseconds, None where the list has none; labels as in the list.

    `video_id` is "" for a sound of which only the class is known; `number` is then that of the misaligned clip's name.
    """

    video_id: str
    start_ms: int | None = None
    end_ms: int | None = None
    labels: tuple[str, ...] = ()
    number: str | None = None


@dataclass(frozen=True)
class Cut:
    """What a single name says: a clip, and what replaced its own sound, if anything did."""

    clip: Named
    replaced: Replaced | None = None
    bare: bool = False  # nothing but an id

    def is_a_label(self, labels: Collection[str]) -> bool:
        """Whether it may as well be a label: `Church_bell` has as many letters as a video's id.

        Args:
            labels: The names of all labels, `plain`.
        """
        return self.bare and plain(self.clip.video_id) in labels


def cut_of(value: object) -> Cut | None:
    """Parse a clip's name, path or address; None if it is none, or has a time that cannot be read."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    if "://" in text:
        address = _in_address(text)
        if address is None:
            return None
        text = address
    stem = PurePosixPath(text.replace("\\", "/")).name
    for suffix in (*SUFFIXES, *_SOUND_SUFFIXES):
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
    replaced = replaced_sound(stem)
    cut = parse_name(f"{stem if replaced is None else replaced.clip}.mp4")
    if cut is None:
        return None
    clip = Named(cut.video_id, cut.start_ms, cut.end_ms)
    return Cut(clip, replaced, bare=text == cut.video_id)


def _in_address(text: str) -> str | None:
    """The name of the clip that an address shows, with the times that it states."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    asked = {**parse_qs(parts.fragment), **parse_qs(parts.query)}
    video = asked.get("v", [PurePosixPath(parts.path).name])[0]
    stated = [asked[name][0] for name in ("t", "start", "time_continue") if name in asked][:1]
    stated += asked.get("end", [])[:1] if stated else []
    found = [_MOMENT.fullmatch(each) for each in stated]
    times = []
    for match in found:
        if match is None or not match[0]:
            return None
        times.append(3600 * int(match[1] or 0) + 60 * int(match[2] or 0) + float(match[3] or 0))
    return "_".join([video, *(f"{seconds:.3f}" for seconds in times)])


def shown(value: object) -> str:
    """A value of the list in a message, with what is too long cut off."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


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
    return found | {_in_a_video(round(_number(value, name, where)), value, name, where) for name, value in milliseconds}


def spans(fields: Sequence[Field], where: str) -> Iterator[tuple[int, int]]:
    """Start and end in milliseconds, of fields such as [30, 40] or "30-40"."""
    for name, value in fields:
        parts = re.split(r"\s*[-–,_]\s*", value) if isinstance(value, str) else value
        if not isinstance(parts, list) or len(parts) != 2:
            raise DataError(f"{where}: {name} {shown(value)} is not a start and an end", hint=HINT)
        yield _milliseconds(parts[0], name, where), _milliseconds(parts[1], name, where)


def _milliseconds(value: Any, name: str, where: str) -> int:
    """Seconds; a whole number from 1000 on is milliseconds."""
    number = _number(value, name, where)
    if number >= _MILLISECONDS_FROM and not number.is_integer():
        raise DataError(f"{where}: {name} {shown(value)} may be seconds or milliseconds", hint=HINT)
    return _in_a_video(round(number if number >= _MILLISECONDS_FROM else number * 1000), value, name, where)


def _in_a_video(milliseconds: int, value: Any, name: str, where: str) -> int:
    if milliseconds > _LONGEST_MS:
        raise DataError(f"{where}: {name} {shown(value)} is not a time in a video", hint=HINT)
    return milliseconds


def _number(value: Any, name: str, where: str) -> float:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        raise DataError(f"{where}: {name} {shown(value)} is not a time", hint=HINT)
    return float(text)


def texts(fields: Sequence[Field], what: str, where: str) -> list[str]:
    """The values of fields, each a text or a list of texts, without repetitions."""
    found: dict[str, None] = {}
    for name, value in fields:
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or not item.strip():
                raise DataError(f"{where}: {name} {shown(item)} is not a {what}", hint=HINT)
            found[item.strip()] = None
    return list(found)
