"""Removal requests: a removed clip is never published, neither as picture nor as sound."""

from collections.abc import Collection
from pathlib import Path

import polars as pl

from mma_bench import layout
from mma_bench.builders.sources.tombstones import read_tombstones
from mma_bench.config import load_params
from mma_bench.errors import DataError


def occurrences(manifest: pl.DataFrame, aligned: pl.DataFrame, removed: Collection[str]) -> pl.DataFrame:
    """The rows of a manifest whose base or donor must be removed.

    Args:
        manifest: Schema `manifest.SCHEMA`.
        aligned: Schema ALIGNED: maps clips to videos.
        removed: Ids of clips, or of source videos, all of whose clips are removed.
    """
    of_videos = aligned.filter(pl.col("video_id").is_in(list(removed)))["clip_id"].to_list()
    gone = [*removed, *of_videos]
    return manifest.filter(pl.col("base_id").is_in(gone) | pl.col("donor_id").is_in(gone))


def refuse_removed(manifest: pl.DataFrame, aligned: pl.DataFrame, removed: Collection[str]) -> None:
    """Check that no row holds a removed clip.

    Raises:
        DataError: At least one does; gives the first and the count.
    """
    found = occurrences(manifest, aligned, removed)
    if found.height:
        raise DataError(
            f"{found.height} rows hold a clip that must be removed, such as {found['id'][0]}",
            hint="run `dvc repro` to build the dataset without it, then publish that",
        )


def removed_ids() -> set[str]:
    """Ids of clips and videos that must never be published: the tombstones of the project in the current folder.

    Raises:
        ConfigError: params.yaml, or the list of tombstones that it names, does not exist.
        DataError: The list cannot be read.
    """
    return set(read_tombstones(Path(load_params(layout.PARAMS).acquire.tombstones)))
