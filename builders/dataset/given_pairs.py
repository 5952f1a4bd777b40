"""Pairs that a list gives, kept as they are as far as its clips are there (`pair.given`).

A clip that is not in the aligned set is missing, not replaced: a pair whose base or donor is missing is left out and
counted. Only where the list names a class and no clip is a donor of that class chosen, by hash, as `pair` chooses one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from mma_bench.errors import DataError
from mma_bench.files import fingerprint
from mma_bench.pair_list import GivenPair

LEFT_OUT: Final = ("base_missing", "donor_missing", "donor_too_short")
UNKNOWN: Final = "unknown"  # in the place of the split, of a pair whose clips are both missing
_HINT: Final = "correct the row in the file that pair.given names"

Clip = Mapping[str, Any]


def given_donors(
    clips: pl.DataFrame, listed: Iterable[GivenPair], *, seed: int, slack_s: float
) -> tuple[dict[str, list[str]], dict[str, Counter[str]]]:
    """Donor ids by base id, in the order of the list, and by split how many pairs were left out for which reason.

    Each pair is kept or counted once: under the split of its base, else of its donor, else under UNKNOWN.

    Args:
        clips: Columns clip_id, split, video_id, class_name, video_duration_s, audio_duration_s (seconds), of all
            splits.
        listed: The pairs.
        seed: For the choice among the donors of a class.
        slack_s: A donor's sound may end this much before the base's picture.

    Raises:
        DataError: A donor is of the other split, of the base's class or video, or not of the class that the list
            states; names file and line.
    """
    by_id: dict[str, Clip] = {row["clip_id"]: row for row in clips.iter_rows(named=True)}
    by_class: dict[tuple[str, str], list[Clip]] = {}
    for row in by_id.values():
        by_class.setdefault((row["split"], row["class_name"]), []).append(row)
    chosen: dict[str, list[str]] = {}
    left_out: dict[str, Counter[str]] = {split: Counter() for split in (*clips["split"].unique(), UNKNOWN)}
    for pair in listed:
        base: Clip | None = by_id.get(pair.base_id)
        donor: Clip | None = by_id.get(pair.donor_id)
        if base is None:
            left_out[UNKNOWN if donor is None else donor["split"]]["base_missing"] += 1
            continue
        taken = chosen.setdefault(pair.base_id, [])
        if not pair.donor_id:
            donor = _of_class(base, by_class.get((base["split"], pair.donor_class), ()), taken, seed, slack_s)
        if donor is None:
            left_out[base["split"]]["donor_missing"] += 1
            continue
        _check(pair, base, donor, taken)
        if not _is_long_enough(base, donor, slack_s):
            left_out[base["split"]]["donor_too_short"] += 1
            continue
        taken.append(donor["clip_id"])
    return {base: donors for base, donors in chosen.items() if donors}, left_out


def _of_class(base: Clip, clips: Sequence[Clip], taken: Sequence[str], seed: int, slack_s: float) -> Clip | None:
    usable = [
        clip
        for clip in clips
        if clip["video_id"] != base["video_id"]
        and clip["clip_id"] not in taken
        and _is_long_enough(base, clip, slack_s)
    ]
    return min(usable, key=lambda clip: fingerprint(seed, "donor", base["clip_id"], clip["clip_id"]), default=None)


def _is_long_enough(base: Clip, donor: Clip, slack_s: float) -> bool:
    return bool(donor["audio_duration_s"] >= base["video_duration_s"] - slack_s)


def _check(pair: GivenPair, base: Clip, donor: Clip, taken: Sequence[str]) -> None:
    said = f"{pair.where}: donor {donor['clip_id']}"
    if donor["split"] != base["split"]:
        raise DataError(f"{said} is in {donor['split']}, base {pair.base_id} in {base['split']}", hint=_HINT)
    if donor["class_name"] == base["class_name"]:
        raise DataError(f"{said} has the class of base {pair.base_id}, {base['class_name']}", hint=_HINT)
    if donor["video_id"] == base["video_id"]:
        raise DataError(f"{said} is of the same video as base {pair.base_id}", hint=_HINT)
    if pair.donor_class and donor["class_name"] != pair.donor_class:
        raise DataError(f"{said} is {donor['class_name']} here, the list says {pair.donor_class}", hint=_HINT)
    if donor["clip_id"] in taken:
        raise DataError(f"{said} is given twice for {pair.base_id}", hint=_HINT)
