"""Ids of clips and videos: which ones this build knows, which ones can be right, and which one may have been meant."""

import re
from collections.abc import Collection
from contextlib import suppress
from difflib import get_close_matches
from typing import Final

from mma_bench import layout
from mma_bench.errors import ConfigError, DataError
from mma_bench.schema import ACQUIRED, CANDIDATES
from mma_bench.tables import read_table

_VIDEO: Final = r"[A-Za-z0-9_-]{11}"
_ID: Final = re.compile(rf"(?P<video>{_VIDEO})(?:_(?P<start>\d+))?", re.ASCII)
_LISTED: Final = re.compile(rf"Y({_VIDEO}(?:_\d+)?)", re.ASCII)
_FILE: Final = re.compile(r"(.+)\.[A-Za-z0-9]{2,4}", re.ASCII)
_LEAST_START_MS: Final = 1000  # the lists' starts are whole seconds, so a smaller one but 0 is given in seconds


def known_ids() -> set[str]:
    """The clips and videos of the candidates and of what was acquired; none of a table that is not there."""
    found: set[str] = set()
    for path, schema in ((layout.CANDIDATES, CANDIDATES), (layout.ACQUIRED, ACQUIRED)):
        with suppress(DataError):  # a removal does not wait for a table to be mended
            table = read_table(path, schema, without=[name for name in schema if name not in ("clip_id", "video_id")])
            found |= {*table["clip_id"], *table["video_id"]}
    return found


def refuse_implausible(given: str) -> None:
    """Do nothing if the text has the form of a clip's or a video's id.

    Raises:
        ConfigError: It has not; the hint says what may have been meant.
    """
    match = _ID.fullmatch(given)
    start = match["start"] if match else None
    if match and (start is None or int(start) == 0 or int(start) >= _LEAST_START_MS):
        return
    said = f"{given[:80]!r} is no id of a clip or a video, and nothing here has it"
    if match:
        hint = f"a clip's id ends with its start in milliseconds: {match['video']}_{int(start or 0) * 1000}"
    elif listed := _LISTED.fullmatch(given):
        hint = f"leave out the 'Y' that lists put before it: {listed[1]}"
    elif (file := _FILE.fullmatch(given)) and _ID.fullmatch(file[1]):
        hint = f"give the id, no file name: {file[1]}"
    else:
        hint = (
            "a video's id has 11 letters, digits, '-' or '_', and a clip's adds its start in milliseconds, as in "
            "aBcDeFgHiJk_30000; another id, of a version before this one, can be added to the list by hand"
        )
    raise ConfigError(said, hint=hint)


def near_ids(given: str, known: Collection[str]) -> list[str]:
    """At most three known ids that the given one resembles, upper and lower case taken as the same; nearest first."""
    is_clip = "_" in given[11:]
    by_form: dict[str, list[str]] = {}
    for each in sorted(known):
        if ("_" in each[11:]) == is_clip:
            by_form.setdefault(each.casefold(), []).append(each)
    near = get_close_matches(given.casefold(), by_form, n=3, cutoff=0.8)
    return [each for form in near for each in by_form[form]][:3]
