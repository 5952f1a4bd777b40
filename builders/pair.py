"""Pair: chooses whose sound each aligned clip gets in its misaligned variants (sections 3 and 5.1 of the paper).

In: `aligned.parquet` and the class list. Out: `pairs.parquet`, `donors[split]` rows per clip, from distinct classes; or
the pairs that the list `pair.given` names, as far as their clips are there (`dataset/given_pairs.py`).

Three guarantees, which conflict with each other: donor classes are used near-uniformly (a class's size does not
matter), a clip's pairs depend on the rest of the data as little as possible (adding a clip leaves most pairs unchanged,
so that a new version of the dataset stays comparable), and everything is determined by the seed. Rendezvous hashing
gives the last two: each clip ranks all classes, and all donors of a class, by a hash of (seed, clip, class or donor)
and takes the first. A bound on how often a class may be taken, as in consistent hashing with bounded loads (Mirrokni,
Thorup and Zadimoghaddam, arXiv 1608.01350), gives the first.
"""

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from mma_bench import layout
from mma_bench.builders.dataset.given_pairs import given_donors
from mma_bench.classes import ClassTable, class_distance, load_classes
from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.files import write_json
from mma_bench.pair_list import read_pairs
from mma_bench.schema import ALIGNED, DONATED, PAIRS
from mma_bench.tables import from_rows, read_table, write_table

HEADROOM = 0.25  # a class is used at most this much above its even share; less headroom moves more pairs on growth

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Donors:
    """The clips of one class, as parallel arrays."""

    ids: list[str]
    hashes: Hashes
    audio_s: npt.NDArray[np.float64]
    videos: npt.NDArray[np.str_]


def choose_donors(clips: pl.DataFrame, count: int, *, seed: int, slack_s: float) -> dict[str, list[str]]:
    """Donor ids by base id, `count` from distinct classes other than the base's, for the clips of ONE split.

    Args:
        clips: Columns clip_id, video_id, class_name, video_duration_s, audio_duration_s (seconds).
        count: Donors per clip.
        seed: Another seed gives other pairs.
        slack_s: A donor's sound may end this much before the base's picture.

    Raises:
        DataError: Too few classes, or no class with a long enough donor remains for a clip; names the clip.
    """
    names = sorted(clips["class_name"].unique().to_list())
    if len(names) <= count:
        raise DataError(
            f"{len(names)} classes in {clips.height} clips; {count} donors of distinct other classes need {count + 1}",
            hint="lower pair.donors in params.yaml, or acquire more clips",
        )
    by_class = {name: _donors(clips.filter(pl.col("class_name") == name), seed) for name in names}
    class_hashes = np.array([_hash(seed, "class", name) for name in names], dtype=np.uint64)
    bases = [(_hash(seed, "base", row["clip_id"]), row) for row in clips.iter_rows(named=True)]
    bound = math.ceil((1 + HEADROOM) * clips.height * count / len(names))
    taken = dict.fromkeys(names, 0)
    chosen: dict[str, list[str]] = {}
    # In the order of their hashes, so that a new clip is inserted at a random position and affects few later ones.
    for base_hash, base in sorted(bases, key=lambda item: (item[0], item[1]["clip_id"])):
        order = np.argsort(_mix(class_hashes ^ np.uint64(base_hash)), kind="stable")
        ranked = [names[i] for i in order if names[i] != base["class_name"]]
        # The bound is soft: once every other class is full, the clip's own ranking decides.
        ranked.sort(key=lambda name: taken[name] >= bound)
        donors: list[str] = []
        for name in ranked:
            donor = _best(by_class[name], base_hash, base["video_duration_s"] - slack_s, base["video_id"])
            if donor is not None:
                donors.append(donor)
                taken[name] += 1
                if len(donors) == count:
                    break
        else:
            raise DataError(
                f"clip {base['clip_id']} ({base['video_duration_s']:.2f} s) has {len(donors)} classes with a donor "
                f"long enough, {count} are needed",
                hint="acquire more clips, or raise pair.slack_s in params.yaml",
            )
        chosen[base["clip_id"]] = donors
    return chosen


def pairs(
    aligned: pl.DataFrame, classes: ClassTable, donors: dict[str, int], *, seed: int, slack_s: float
) -> pl.DataFrame:
    """The table of pairs (schema PAIRS) over all splits; a donor is always of its base's split."""
    chosen: dict[str, list[str]] = {}
    for split in sorted(aligned["split"].unique().to_list()):
        clips = aligned.filter(pl.col("split") == split)
        chosen |= choose_donors(clips, donors[split], seed=seed, slack_s=slack_s)
    return table_of(chosen, aligned, classes)


def table_of(chosen: Mapping[str, Sequence[str]], aligned: pl.DataFrame, classes: ClassTable) -> pl.DataFrame:
    """The table of pairs (schema PAIRS): base id → donor ids, best first."""
    class_of = dict(aligned.select("clip_id", "class_name").iter_rows())
    split_of = dict(aligned.select("clip_id", "split").iter_rows())
    rows = [
        {
            "split": split_of[base],
            "base_id": base,
            "donor_id": donor,
            "rank": rank,
            "visual_class": class_of[base],
            "audio_class": class_of[donor],
            "class_distance": class_distance(classes, class_of[base], class_of[donor]),
        }
        for base, donors in chosen.items()
        for rank, donor in enumerate(donors)
    ]
    return from_rows(rows, PAIRS)


def _donors(clips: pl.DataFrame, seed: int) -> Donors:
    ids = sorted(clips["clip_id"].to_list())
    clips = clips.sort("clip_id")
    return Donors(
        ids=ids,
        hashes=np.array([_hash(seed, "donor", clip_id) for clip_id in ids], dtype=np.uint64),
        audio_s=clips["audio_duration_s"].to_numpy(),
        videos=clips["video_id"].to_numpy().astype(np.str_),
    )


def _best(donors: Donors, base_hash: int, needed_s: float, video_id: str) -> str | None:
    """The donor that this base ranks first among those that are long enough and not from the base's own video."""
    weights = _mix(donors.hashes ^ np.uint64(base_hash))
    usable = (donors.audio_s >= needed_s) & (donors.videos != video_id)
    if not usable.any():
        return None
    return donors.ids[int(np.argmax(np.where(usable, weights, 0)))]


def _hash(*parts: object) -> int:
    """A 64-bit hash that depends only on `parts` (Python's own hash differs between processes)."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest(), "little")


def _mix(values: Hashes) -> Hashes:
    """SplitMix64's finaliser: spreads the XOR of two hashes evenly over 64 bits (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def main(params: Params) -> None:
    """Run the stage."""
    aligned = read_table(layout.ALIGNED, ALIGNED)
    rule, classes = params.pair, load_classes(layout.CLASSES)
    left_out: Mapping[str, Mapping[str, int]] = {}
    if rule.given is None:
        classes_of = aligned.group_by("split").agg(pl.col("class_name").n_unique())
        _refuse_unpaired(params, aligned, {split for split, count in classes_of.iter_rows() if count > 1})
        donors = {str(split): count for split, count in rule.donors.items()}
        table = pairs(aligned, classes, donors, seed=rule.seed, slack_s=rule.slack_s)
    else:
        listed = read_pairs(Path(rule.given))
        chosen, left_out = given_donors(aligned, listed, seed=rule.seed, slack_s=rule.slack_s)
        table = table_of(chosen, aligned, classes)
        _report(rule.given, len(listed), table, left_out)
        _refuse_unpaired(params, aligned, set(table["split"]))
    write_table(table, layout.PAIRS, PAIRS, sort_by=["split", "base_id", "rank"])
    write_json(
        layout.metrics("pair"),
        {
            split: {**_counts(table.filter(pl.col("split") == split)), **left_out.get(split, {})}
            for split in sorted({*table["split"], *(split for split, counts in left_out.items() if counts)})
        },
    )


def _counts(rows: pl.DataFrame) -> dict[str, float]:
    counts: dict[str, float] = {
        "bases": rows["base_id"].n_unique(),
        "pairs": rows.height,
        "donor_classes": rows["audio_class"].n_unique(),
    }
    if rows.is_empty():
        return counts
    return counts | {"mean_class_distance": round(float(np.mean(rows["class_distance"].to_numpy())), 3)}


def _refuse_unpaired(params: Params, aligned: pl.DataFrame, paired: Collection[str]) -> None:
    """Do nothing if each split that has a condition with a donor is in `paired`.

    Raises:
        DataError: One is not.
    """
    for split, conditions in params.conditions().items():
        if split in paired or not set(conditions) & set(DONATED):
            continue
        clips = aligned.filter(pl.col("split") == split)
        count, names = clips.height, clips["class_name"].n_unique()
        there = f"{count} aligned clip{'s' if count != 1 else ''} of {names} class{'es' if names != 1 else ''}"
        given = "" if params.pair.given is None else f", and both clips of none of the pairs of {params.pair.given}"
        only = params.package.licences
        limit = (
            f"package.licences allows only {', '.join(only)}: {layout.DROPPED} lists the clips under other terms, so "
            "allow more licences, or "
            if only
            else ""
        )
        raise DataError(
            f"no pair is left in split {split}: it has {there}{given}",
            hint=f"{limit}acquire more clips, of two classes at least; {layout.metrics('acquire')} counts those that "
            f"acquire.tombstones took away. Or build without this split: acquire.splits.{split}: []",
        )


def _report(given: str, listed: int, table: pl.DataFrame, left_out: Mapping[str, Mapping[str, int]]) -> None:
    """Say how many of the given pairs are there.

    Raises:
        DataError: None is.
    """
    reasons: Counter[str] = Counter()
    for counts in left_out.values():
        reasons.update(counts)
    said = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in sorted(reasons.items()))
    print(f"pair: {table.height} of {listed} pairs of {given} are kept{f'; {said}' if said else ''}", file=sys.stderr)
    if table.is_empty():
        raise DataError(
            f"none of the {listed} pairs of {given} has both its clips in {layout.ALIGNED}",
            hint="check that pair.given belongs to the list of clips that is built, or set it to null",
        )
