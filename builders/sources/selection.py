"""The candidates selected by the parameters."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.errors import ConfigError, DataError
from mma_bench.frozen import read_frozen_manifest, restrict_to_manifest


def select(
    candidates: pl.DataFrame, splits: Mapping[Literal["test", "train"], Sequence[str]], limit: int | None
) -> pl.DataFrame:
    """The candidates to fetch, with the column `split`, sorted by split and clip id.

    Args:
        candidates: Schema CANDIDATES.
        splits: Split → the subsets that feed it.
        limit: At most this many per split: those whose ids have the smallest hashes, so that a limit samples the whole
            list, and a larger limit takes the same clips and more. None takes all.

    Raises:
        ConfigError: No subset is named, one has no candidates, or one is named twice.
        DataError: Two of the candidates have the same clip id.
    """
    present = sorted(candidates["subset"].unique())
    split_of: dict[str, str] = {}
    for split, subsets in splits.items():
        for subset in subsets:
            if subset not in present:
                raise ConfigError(
                    f"acquire.splits.{split} names {subset!r}, which has no candidates",
                    hint=f"name any of: {', '.join(present)}",
                )
            if subset in split_of:
                raise ConfigError(
                    f"acquire.splits names {subset!r} for {split_of[subset]} and again for {split}",
                    hint="use each subset once, for one split",
                )
            split_of[subset] = split
    if not split_of:
        raise ConfigError("acquire.splits names no subset", hint=f"name any of: {', '.join(present)}")
    chosen = candidates.filter(pl.col("subset").is_in(list(split_of))).with_columns(
        split=pl.col("subset").replace_strict(split_of, return_dtype=pl.String())
    )
    twice = chosen.filter(pl.col("clip_id").is_duplicated())
    if twice.height:
        raise DataError(f"{layout.CANDIDATES}: clip {twice['clip_id'][0]!r} is in two of the chosen subsets, or twice")
    if limit is not None:
        ranks = [hashlib.sha256(clip_id.encode()).hexdigest() for clip_id in chosen["clip_id"]]
        order = pl.col("rank").rank("ordinal").over("split")
        chosen = chosen.with_columns(rank=pl.Series(ranks, dtype=pl.String())).filter(order <= limit).drop("rank")
    return chosen.sort("split", "clip_id")


def chosen(params: Params, candidates: pl.DataFrame) -> pl.DataFrame:
    """The clips selected by the parameters: those of a frozen manifest, or the result of `select`."""
    rule = params.acquire
    selected = select(candidates, rule.splits, rule.limit)
    if rule.manifest is None:
        return selected
    path = Path(rule.manifest)
    return restrict_to_manifest(selected, read_frozen_manifest(path), path)
