"""The frozen manifest of a released version: which clips are in which split, whatever becomes of their videos.

`mma-bench acquire freeze` writes it once; a build whose `acquire.manifest` names it gets exactly these clips. What is
gone is missing, and nothing moves to another split or is put in its place.
"""

import hashlib
import io
from pathlib import Path
from typing import Final

import polars as pl

from mma_bench.errors import ConfigError, DataError
from mma_bench.files import write_text
from mma_bench.schema import CANDIDATES, Schema, Split

MANIFESTS: Final = Path("manifests")
MANIFEST: Final[Schema] = {"split": pl.String(), **{name: CANDIDATES[name] for name in ("clip_id", "video_id")}}


def manifest_of(clips: pl.DataFrame) -> str:
    """The manifest's text: a CSV with a row per clip, sorted.

    Args:
        clips: Has the columns of MANIFEST.
    """
    return clips.select(list(MANIFEST)).sort("split", "clip_id").write_csv()


def read_manifest(path: Path) -> pl.DataFrame:
    """Schema MANIFEST.

    Raises:
        ConfigError: No such file.
        DataError: Other columns, an unknown split, or a clip twice.
    """
    if not path.is_file():
        raise ConfigError(
            f"acquire.manifest names {str(path)!r}, which does not exist",
            hint="correct the key; `mma-bench acquire freeze` writes a manifest",
        )
    try:
        clips = pl.read_csv(io.BytesIO(path.read_bytes()), schema_overrides=MANIFEST)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} is not a manifest ({error})", hint="restore it from version control") from None
    if clips.columns != list(MANIFEST):
        raise DataError(f"{path}: the columns are not {','.join(MANIFEST)}", hint="restore it from version control")
    wrong = clips.filter(~pl.col("split").is_in([str(split) for split in Split]) | pl.col("clip_id").is_duplicated())
    if wrong.height:
        raise DataError(
            f"{path}: clip {wrong['clip_id'][0]!r} is there twice, or in a split that does not exist",
            hint="restore it from version control",
        )
    return clips


def restrict_to_manifest(selected: pl.DataFrame, manifest: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Those of `selected` (see `acquire.select`) that the manifest lists.

    Raises:
        DataError: A clip of the manifest is no candidate, or is one of another split: the ontology, the curation table
            or acquire.splits are not those of the version.
    """
    both = manifest.join(selected.select("clip_id", here="split"), on="clip_id", how="left")
    strange = both.filter(pl.col("here").is_null() | (pl.col("here") != pl.col("split")))
    if strange.height:
        row = strange.row(0, named=True)
        where = "no candidate" if row["here"] is None else f"a candidate for {row['here']}"
        raise DataError(
            f"{path}: {strange.height} of {manifest.height} clips are not those of this build; the first, "
            f"{row['clip_id']!r} of {row['split']}, is {where}",
            hint="check out the version that the manifest belongs to",
        )
    return selected.join(manifest.select("clip_id"), on="clip_id", how="semi").sort("split", "clip_id")


def subset_name(clips: pl.DataFrame) -> str:
    """The name of a set of clips: SHA-256 of its manifest, so equal for equal splits and different for others."""
    return hashlib.sha256(manifest_of(clips).encode()).hexdigest()


def freeze(clips: pl.DataFrame, path: Path) -> bool:
    """Write the manifest; False if it is there already, with the same clips.

    Raises:
        DataError: It is there with other clips. A released version does not change.
    """
    text = manifest_of(clips)
    if path.is_file():
        if path.read_text(encoding="utf-8") == text:
            return False
        raise DataError(f"{path} exists and lists other clips", hint="raise package.version in params.yaml")
    write_text(path, text)
    return True
