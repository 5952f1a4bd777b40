"""Finds leaks between the splits: a shared source video or sound, or a near-duplicate picture."""

import numpy as np
import numpy.typing as npt
import polars as pl

from mma_bench.schema import Split

HASH_BITS = 64
_BLOCK = 1 << 22  # pairs compared at once: 32 MB of 64-bit words


def shared_with(clips: pl.DataFrame, key: str) -> pl.Series:
    """For each row (columns split, clip_id, `key`): a clip of the other split with the same `key`, null if none."""
    there = clips.group_by(key, "split").agg(pl.col("clip_id").min().alias("twin"))
    return (
        clips.select(key, "split")
        .with_row_index("row")
        .join(there, on=key, how="left")
        .group_by("row")
        .agg(pl.col("twin").filter(pl.col("split") != pl.col("split_right")).min())
        .sort("row")["twin"]
    )


def nearest_pictures(clips: pl.DataFrame) -> pl.DataFrame:
    """For each row (columns split, clip_id, phash): the most similar picture of the other split.

    Returns:
        `nearest_bits`, bits in which the two perceptual hashes differ, 0 to 64, and `nearest_clip`, its clip; 64 and
        null if the other split is empty. A row whose hash is not 16 hex digits gets 0 and itself, so that it never
        passes as different from all others.
    """
    known = clips["phash"].fill_null("").str.contains("^[0-9a-f]{16}$").to_numpy()
    is_test = (clips["split"] == str(Split.TEST)).to_numpy()
    texts = clips["phash"].to_list()
    hashes = np.array([int(text, 16) if ok else 0 for text, ok in zip(texts, known, strict=True)], dtype=np.uint64)
    bits = np.where(known, HASH_BITS, 0)
    nearest = np.where(known, -1, np.arange(clips.height))
    test, train = np.flatnonzero(known & is_test), np.flatnonzero(known & ~is_test)
    for mine, other in ((test, train), (train, test)):
        if mine.size and other.size:
            bits[mine], found = _nearest(hashes[mine], hashes[other])
            nearest[mine] = other[found]
    ids = clips["clip_id"].to_list()
    return pl.DataFrame(
        {"nearest_bits": bits, "nearest_clip": [ids[row] if row >= 0 else None for row in nearest]},
        schema={"nearest_bits": pl.Int64(), "nearest_clip": pl.String()},
    )


def _nearest(
    mine: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hamming distance to the nearest of `other`, and its index, for each of `mine`; both not empty."""
    distances, indices = np.empty(mine.size, np.int64), np.empty(mine.size, np.int64)
    step = max(1, _BLOCK // other.size)
    for start in range(0, mine.size, step):
        differing = np.bitwise_count(mine[start : start + step, None] ^ other)
        found = differing.argmin(axis=1)
        indices[start : start + step] = found
        distances[start : start + step] = np.take_along_axis(differing, found[:, None], axis=1)[:, 0]
    return distances, indices
