"""What a file holds by its name, and whether its length agrees.

Names; `<id>` is YouTube's, 11 characters, `<t>` a time, and anything may stand before a bracketed id:

    <id>   Y<id>   v<id>   each also with _<start>, _<start>_<end> or _<start>-<end> after it, and with _out at the end
    [<id>]   Some title [<id>]   each also with -[<start>-<end>], -<start>-<end> or _<start>_<end> after it

Times are seconds (30, 30.0, 000030) or, from 1000 on and without a decimal point, milliseconds (30000). This is
unambiguous: no segment of AudioSet starts after 590 s, and none within the first second except at 0. So is the Y or v:
if it is part of the id, the id would otherwise have 10 characters.

A name is a claim that only the length can check. Tools that copy packets begin a cut at the key frame before it, others
leave the whole video under the name of a cut, so a file that is longer than its name says shows another part of the
video by up to the difference (`check_length`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from mma_bench.builders.sources.contracts import Segment
from mma_bench.errors import InvalidInput
from mma_bench.media.probe import probe
from mma_bench.media.timeline import playing_time_s

VERSION: Final = 2  # raise it when the names or the bounds of lengths change
SUFFIXES: Final = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv")  # .flv is found, to be refused by its name
OTHER_VIDEO_SUFFIXES: Final = (".3gp", ".mpeg", ".mpg", ".ogv", ".ts", ".wmv")
EXACT_S: Final = 0.5  # padding of the sound, a rounded last frame
NOTED_S: Final = 1.0  # a tenth of a segment: taken, with a note; beyond it, the file is refused
SEGMENT_S: Final = 10.0  # AudioSet's segments, but for those that a video's end cuts short

_TIME = r"\d{1,9}(?:\.\d{1,9})?"
_ID = "[A-Za-z0-9_-]{11}"
_PLAIN = re.compile(rf"[Yv]?({_ID})(?:_({_TIME})(?:[_-]({_TIME}))?)?(?:_out)?", re.ASCII)
_BRACKETED = re.compile(rf"[^\0\n]*\[({_ID})\](?:-\[({_TIME})-({_TIME})\]|[_-]({_TIME})[_-]({_TIME}))?", re.ASCII)
_REPLACED = re.compile(r"(?P<clip>[^\0\n]+)_repDiff_(?P<label>[^\0\n]+)_(?P<number>\d+)", re.ASCII)
_MILLISECONDS_FROM: Final = 1000


@dataclass(frozen=True)
class Cut:
    """The contents of a file by its name; times in milliseconds of the source video, None if the name has none."""

    video_id: str
    start_ms: int | None = None
    end_ms: int | None = None


def parse_name(name: str) -> Cut | None:
    """Parse a file name; None if it has none of the known forms."""
    stem, dot, suffix = name.rpartition(".")
    if f"{dot}{suffix}".lower() not in SUFFIXES:
        return None
    match = _PLAIN.fullmatch(stem) or _BRACKETED.fullmatch(stem)
    if match is None:
        return None
    video_id, start, end, *others = match.groups()
    if others and start is None:
        start, end = others
    return Cut(video_id, _milliseconds(start), _milliseconds(end))


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    if "." not in text and int(text) >= _MILLISECONDS_FROM:
        return int(text)
    return round(float(text) * 1000)


class Replaced(NamedTuple):
    """What the name of a misaligned clip says: the clip's name, and label and number of the sound."""

    clip: str
    label: str
    number: str


def replaced_sound(stem: str) -> Replaced | None:
    """Read a name that tells of a clip and of the sound that replaced its own; None if it tells of no other sound.

    Args:
        stem: A name without its suffix, such as `Y<id>_repDiff_<Class>_0`, as the paper's authors name such clips.
    """
    match = _REPLACED.fullmatch(stem)
    return None if match is None else Replaced(match["clip"], match["label"], match["number"])


def is_video_name(name: str) -> bool:
    """Whether a file name ends as that of a video, readable or not."""
    return name.lower().endswith(SUFFIXES + OTHER_VIDEO_SUFFIXES)


class Named(Protocol):
    """Something found by its name."""

    @property
    def path(self) -> str:
        """Its path in the folder or shard."""

    @property
    def cut(self) -> Cut:
        """The parsed name."""


Clip = TypeVar("Clip", bound=Named)


def best_first(found: Sequence[Clip], segment: Segment) -> list[Clip]:
    """Candidates for the segment: by start and end, by start, as the full 10 s of a shorter segment, by id alone; each
    sorted by path.
    """
    start_ms, end_ms = round(segment.start_s * 1000), round(segment.end_s * 1000)
    full_ms = max(end_ms, start_ms + round(SEGMENT_S * 1000))
    wanted = [(start_ms, end_ms), (start_ms, None), (start_ms, full_ms), (None, None)]
    matching = [clip for clip in found if (clip.cut.start_ms, clip.cut.end_ms) in wanted]
    return sorted(matching, key=lambda clip: (wanted.index((clip.cut.start_ms, clip.cut.end_ms)), clip.path))


def check_length(clip: Path, cut: Cut, segment: Segment, shown: str) -> str:
    """Compare the length of a file with what its name says.

    Args:
        clip: The file.
        cut: Its name, parsed. Without an end, the file should last as long as the segment, or 10 s.
        segment: The segment that it is to be.
        shown: The file's name in messages.

    Returns:
        "" if it is as long, within 0.5 s; else a note: it is longer by up to 1 s, or shorter.

    Raises:
        InvalidInput: `not_a_cut` if it is longer by more and its name has no start, `longer_than_named` if it has one;
            or why it cannot be read.
    """
    try:
        probe(clip)
        seconds = playing_time_s(clip)
    except InvalidInput as error:
        error.subject = shown
        raise
    wanted_s = segment.end_s - segment.start_s
    due_s = max(wanted_s, SEGMENT_S)
    if cut.start_ms is not None and cut.end_ms is not None:
        due_s = (cut.end_ms - cut.start_ms) / 1000
    if seconds > due_s + NOTED_S and cut.start_ms is None:
        raise InvalidInput(
            "not_a_cut",
            f"{shown} lasts {seconds:.1f} s instead of {due_s:g} s and its name has no start, so where to cut is not "
            "known",
        )
    if seconds > due_s + NOTED_S:
        raise InvalidInput(
            "longer_than_named",
            f"{shown} lasts {seconds:.1f} s instead of {due_s:g} s, so where in the video it begins is not known",
        )
    if seconds > due_s + EXACT_S:
        return f"{shown} lasts {seconds - due_s:.1f} s longer than {due_s:g} s and may begin that much early"
    if seconds < wanted_s - EXACT_S:
        return f"{shown} lasts {seconds:.1f} s of {wanted_s:g} s"
    if seconds > wanted_s + EXACT_S:
        return f"{shown} lasts {seconds:.1f} s, the segment {wanted_s:g} s"
    return ""


def first_usable(
    found: Sequence[Clip], copy: Callable[[Clip], str], into: Path, full_path: Callable[[Clip], str]
) -> tuple[Clip, str, dict[str, str]]:
    """Copy the first of the candidates that can be used, preferably one without a note.

    Args:
        found: At least one, best first.
        copy: Copies a candidate to `into` and returns a note, or "".
        into: Removed after a candidate that is not taken.
        full_path: A candidate's path from the current folder.

    Returns:
        The copied candidate; a note: its own, and which others were refused or not taken; the reason of each that was
        refused, by its full path.

    Raises:
        InvalidInput: None can be used: the first one's reason, with the problems of all; `refused` in its result.
        ClipError: Others, of `copy`, at once.
    """
    refused: list[InvalidInput] = []
    reasons: dict[str, str] = {}
    usable = list(found)
    noted: Clip | None = None
    for clip in found:
        try:
            note = copy(clip)
        except InvalidInput as error:
            into.unlink(missing_ok=True)
            refused.append(error)
            reasons[full_path(clip)] = error.reason
            usable.remove(clip)
            continue
        if not note or usable == [clip]:
            return clip, _told(clip, note, usable, refused), reasons
        into.unlink()
        noted = noted or clip
    if noted is None:
        details = [refused[0].detail, *(str(error) for error in refused[1:])]
        raise InvalidInput(refused[0].reason, "; ".join(details), result={"refused": reasons})
    return noted, _told(noted, copy(noted), usable, refused), reasons


def _told(clip: Named, note: str, usable: Sequence[Named], refused: Sequence[InvalidInput]) -> str:
    rest = ", ".join(repr(other.path) for other in usable if other is not clip)
    taken = f"took {clip.path!r}, not {rest}" if rest else ""
    return "; ".join(filter(None, [taken, note, *(f"refused {error}" for error in refused)]))
