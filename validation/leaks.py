"""Finds leaks between the splits: a shared source video or sound, or a near-duplicate picture."""

import numpy as np
import polars as pl

from mma_bench.near_hashes import HASH_BITS, nearest_within
from mma_bench.schema import Split


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


def nearest_pictures(clips: pl.DataFrame, bits: int) -> pl.DataFrame:
    """For each row (columns split, clip_id, phash): the most similar picture of the other split, if it is similar.

    Args:
        clips: The rows.
        bits: Perceptual hashes that differ in at most this many bits, 0 to 64, are similar.

    Returns:
        `nearest_bits`, bits in which the two perceptual hashes differ, 0 to 64, and `nearest_clip`, its clip; 64 and
        null if none of the other split is similar. A row whose hash is not 16 hex digits gets 0 and itself, so that it
        never passes as different from all others.
    """
    known = clips["phash"].fill_null("").str.contains("^[0-9a-f]{16}$").to_numpy()
    is_test = (clips["split"] == str(Split.TEST)).to_numpy()
    texts = clips["phash"].to_list()
    hashes = np.array([int(text, 16) if ok else 0 for text, ok in zip(texts, known, strict=True)], dtype=np.uint64)
    differing = np.where(known, HASH_BITS, 0)
    nearest = np.where(known, -1, np.arange(clips.height))
    test, train = np.flatnonzero(known & is_test), np.flatnonzero(known & ~is_test)
    for mine, others in ((test, train), (train, test)):
        differing[mine], found = nearest_within(hashes[mine], hashes[others], bits)
        nearest[mine[found >= 0]] = others[found[found >= 0]]
    ids = clips["clip_id"].to_list()
    return pl.DataFrame(
        {"nearest_bits": differing, "nearest_clip": [ids[row] if row >= 0 else None for row in nearest]},
        schema={"nearest_bits": pl.Int64(), "nearest_clip": pl.String()},
    )
