"""The frozen manifest of a released version: which clips are in which split, whatever happens to their videos.

`mma-bench acquire freeze` writes it once; a build whose `acquire.manifest` points to it fetches exactly these clips.
Unavailable clips are missing, not replaced, and no clip moves to another split.
"""

import hashlib
from pathlib import Path
from typing import Final

import polars as pl
from pydantic import ConfigDict

from mma_bench.csv_rows import CsvRow, Filled, read_rows
from mma_bench.errors import DataError
from mma_bench.files import named_file, write_text
from mma_bench.schema import CANDIDATES, Schema, Split

MANIFESTS: Final = Path("manifests")
MANIFEST: Final[Schema] = {"split": pl.String(), **{name: CANDIDATES[name] for name in ("clip_id", "video_id")}}


class _FrozenClip(CsvRow):
    model_config = ConfigDict(extra="forbid")

    split: Split
    clip_id: Filled
    video_id: str


def manifest_of(clips: pl.DataFrame) -> str:
    """The manifest's text: a CSV with a row per clip, sorted.

    Args:
        clips: Has the columns of MANIFEST.
    """
    return clips.select(list(MANIFEST)).sort("split", "clip_id").write_csv()


def read_frozen_manifest(path: Path) -> pl.DataFrame:
    """Schema MANIFEST.

    Raises:
        ConfigError: No such file.
        DataError: See `read_rows`; other columns, an unknown split, or a clip twice.
    """
    named_file(path, "acquire.manifest", "correct the key; `mma-bench acquire freeze` writes a manifest")
    clips = read_rows(path, _FrozenClip, unique=["clip_id"])
    return pl.DataFrame([(clip.split, clip.clip_id, clip.video_id) for clip in clips], schema=MANIFEST, orient="row")


def restrict_to_manifest(selected: pl.DataFrame, manifest: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Those of `selected` (see `acquire.select`) that the manifest lists.

    Raises:
        DataError: A clip of the manifest is not a candidate, or belongs to another split: the ontology, the curation
            table or acquire.splits differ from that version.
    """
    both = manifest.join(selected.select("clip_id", here="split"), on="clip_id", how="left")
    strange = both.filter(pl.col("here").is_null() | (pl.col("here") != pl.col("split")))
    if strange.height:
        row = strange.row(0, named=True)
        where = "not a candidate" if row["here"] is None else f"a candidate for {row['here']}"
        raise DataError(
            f"{path}: {strange.height} of {manifest.height} clips do not match this build; the first, "
            f"{row['clip_id']!r} of {row['split']}, is {where}",
            hint="check out the version that the manifest belongs to",
        )
    return selected.join(manifest.select("clip_id"), on="clip_id", how="semi").sort("split", "clip_id")


def subset_name(clips: pl.DataFrame) -> str:
    """The name of a set of clips: SHA-256 of its manifest, so equal exactly for equal splits."""
    return hashlib.sha256(manifest_of(clips).encode()).hexdigest()


def freeze(clips: pl.DataFrame, path: Path) -> bool:
    """Write the manifest; False if it already exists with the same clips.

    Raises:
        DataError: It exists with other clips. A released version does not change.
    """
    text = manifest_of(clips)
    if path.is_file():
        if path.read_text(encoding="utf-8") == text:
            return False
        raise DataError(f"{path} exists and lists other clips", hint="raise package.version in params.yaml")
    write_text(path, text)
    return True
