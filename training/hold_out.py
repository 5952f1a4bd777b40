"""Which clips are held out for validation: of each class a share, or as many as a number of questions needs.

Clips with the same picture or sound are always in the same part. All choices are derived from hashes of the seed and an
id, so that most of them survive when the dataset grows.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import polars as pl

from mma_bench.config import SftParams
from mma_bench.errors import DataError
from mma_bench.files import fingerprint
from mma_bench.schema import Condition

SOUND: Final = pl.col("donor_id").fill_null(pl.col("base_id"))  # the clip that the sound is from


def twins(aligned: pl.DataFrame) -> dict[str, str]:
    """Base id → the first id of its group of clips that share a picture or sound, directly or transitively.

    Args:
        aligned: Columns base_id, video_sha256, audio_sha256; one row per base clip.
    """
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while first[name] != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    seen: dict[tuple[str, str], str] = {}
    for base, *media in aligned.select("base_id", "video_sha256", "audio_sha256").sort("base_id").iter_rows():
        first[base] = base
        for medium in zip(("video", "audio"), media, strict=True):
            low, high = sorted((root(seen.setdefault(medium, base)), root(base)))
            first[high] = low
    return {base: root(base) for base in first}


def held_out(aligned: pl.DataFrame, share: float, seed: int) -> frozenset[str]:
    """Base ids of the validation part: of the n clips of a class, share · n rounded down or up.

    The class's hash decides which, so that over many small classes the total approaches the share. Adding a clip to a
    class moves at most one other clip of that class. Twins count as one clip, of the class of the first.

    Args:
        aligned: Columns base_id, visual_class, video_sha256, audio_sha256; one row per base clip.
        share: 0 to 1.
    """
    first = twins(aligned)
    chosen: set[str] = set()
    for ranked, offset in _ranked(aligned, first, seed):
        chosen.update(ranked[: math.floor(share * len(ranked) + offset)])
    return frozenset(base for base, name in first.items() if name in chosen)


def held_out_for(clips: pl.DataFrame, aligned: pl.DataFrame, params: SftParams) -> frozenset[str]:
    """As `held_out`, for the smallest share with enough clips of each condition for `sft.validation_questions`.

    Clips are held out one after the other, in the order in which a growing share would include them.

    Args:
        clips: Columns condition, base_id, donor_id; the clips that may be used.
        aligned: As in `held_out`.
        params: The namespace `sft`, with `validation_questions`.

    Raises:
        DataError: There are too few clips of a condition; names it.
    """
    first, wanted = twins(aligned), params.validation_clips or 0
    turns = sorted(
        ((number + 1 - offset) / len(ranked), name)
        for ranked, offset in _ranked(aligned, first, params.seed)
        for number, name in enumerate(ranked)
    )

    def bases(count: int) -> frozenset[str]:
        chosen = {name for _, name in turns[:count]}
        return frozenset(base for base, name in first.items() if name in chosen)

    def scarcest(count: int) -> tuple[int, str]:
        """The clips of the condition with the fewest if `count` groups are held out, and its name."""
        out = pl.lit(sorted(bases(count)), pl.List(pl.String()))
        inside = clips.filter(pl.col("base_id").is_in(out) & SOUND.is_in(out))
        of_base = inside.group_by("condition", "base_id").len()
        counted: Counter[str] = Counter()
        for condition, _, clip_count in of_base.iter_rows():
            most = params.donors if condition == Condition.MISALIGNED else None
            counted[condition] += clip_count if most is None else min(clip_count, most)
        return min((counted[name], str(name)) for name in params.conditions)

    count = bisect_left(range(len(turns)), wanted, key=lambda number: scarcest(number)[0])
    there, condition = scarcest(count)
    if there < wanted:
        raise DataError(
            f"sft.validation_questions: {params.validation_questions} needs {wanted} {condition} clips, "
            f"but only {there} can be used",
            hint="use more clips or classes, or set a smaller number",
        )
    return bases(count)


def _ranked(aligned: pl.DataFrame, first: Mapping[str, str], seed: int) -> Iterator[tuple[list[str], float]]:
    """For each class, the first clips of its groups of twins in the order in which they are held out, and the class's
    offset, 0 to 1, which decides whether its share is rounded up or down."""
    class_of = dict(aligned.select("base_id", "visual_class").iter_rows())
    by_class: dict[str, list[str]] = defaultdict(list)
    for name in set(first.values()):
        by_class[class_of[name]].append(name)
    for class_name, names in by_class.items():
        ranked = sorted(names, key=lambda name: fingerprint(seed, "base", name))
        yield ranked, _uniform(fingerprint(seed, "quota", class_name))


def _uniform(digest: str) -> float:
    """A number in [0, 1) from a hex digest."""
    return int(digest[:13], 16) / 16**13
