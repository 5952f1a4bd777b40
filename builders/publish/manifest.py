"""The manifest: every row of a release without its media, small enough for comparing two releases.

In: the Parquet shards of a dataset's folder, and the build's facts about the clips. Out: one table, which is published
    with the shards as `manifest.parquet`, and read back from there for a release on the Hub.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench.builders.publish.matching import band_levels
from mma_bench.errors import DataError, InvalidInput
from mma_bench.files import fingerprint
from mma_bench.hub.cards import card_head
from mma_bench.progress import Progress
from mma_bench.schema import VARIANTS, Condition, Schema
from mma_bench.tables import conform, read_table

MANIFEST: Final = "manifest.parquet"
CARD: Final = "README.md"

_COPIED: Final = (
    *("id", "condition", "base_id", "donor_id", "visual_class", "audio_class", "class_distance", "caption"),
    *("context_seed", "label_ids", "start_s", "end_s", "human_verified", "judge", "licence", "source"),
    *("video_sha256", "audio_sha256"),
)
_ASKED: Final = (
    *("visual_question", "audio_question", "visual_answer", "audio_answer"),
    *("visual_abstention_answer", "audio_abstention_answer", "options"),
)
# Decoded from the published clip, to recognise a re-encoded clip.
DECODED: Final = ("duration_s", "frames", "width", "height", "phash")

# One row per row of the dataset. Units as in mma_bench.schema.
SCHEMA: Final[Schema] = {
    "shard": pl.String(),  # path inside the dataset
    "split": pl.String(),
    **{name: VARIANTS[name] for name in _COPIED},
    "prompt_version": pl.String(),
    "asked_sha256": pl.String(),  # of both questions with their options, answers and context
    **{name: VARIANTS[name] for name in DECODED},  # null without the project that made the clip
    "sound": pl.List(pl.Float64()),  # of aligned rows, see `matching.band_levels`; else null
}


@dataclass(frozen=True)
class Release:
    """The compared parts of a release.

    Attributes:
        name: For messages: the folder, or ORG/NAME@TAG.
        manifest: Schema SCHEMA, sorted by id.
        columns: Column → type, as the card announces them.
    """

    name: str
    manifest: pl.DataFrame
    columns: Mapping[str, str]

    @property
    def classes(self) -> dict[str, list[str]]:
        """Split → its class list: the sorted classes of its aligned clips, which are the options of its questions."""
        aligned = self.manifest.filter(pl.col("condition") == Condition.ALIGNED)
        groups = aligned.group_by("split").agg(pl.col("visual_class").unique().sort()).sort("split")
        return dict(groups.iter_rows())


def manifest_from_shards(folder: Path) -> pl.DataFrame:
    """The manifest of a dataset's folder, from its shards; DECODED and sounds are null.

    Raises:
        DataError: There are no shards, one is not a Parquet file, or one lacks a column; names it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = sorted((folder / "data").glob("*/*.parquet"))
    if not shards:
        raise DataError(f"{folder} has no shards data/<condition>/*.parquet", hint="name the folder of a dataset")
    tables = []
    for shard in shards:
        try:
            later = ["context"] if "context" in pq.read_schema(shard).names else []
            wanted = [*_COPIED, *_ASKED, "prompt_version", *later]
            rows = pl.DataFrame(pl.from_arrow(pq.read_table(shard, columns=wanted)))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{shard}: {error}", hint="run `mma-bench build package` again") from None
        missing = [name for name in (*_COPIED, *_ASKED, "prompt_version") if name not in rows.columns]
        if missing:
            raise DataError(f"{shard}: no column {missing[0]!r}", hint="run `mma-bench build package` again")
        # A row without a context has the hash that it had before there was this column.
        texts = rows.select(*_ASKED, *later).iter_rows()
        asked = [fingerprint(*values[: len(_ASKED)], *filter(None, values[len(_ASKED) :])) for values in texts]
        tables.append(
            rows.with_columns(
                pl.lit(shard.relative_to(folder).as_posix()).alias("shard"),
                pl.lit(shard.name.partition("-")[0]).alias("split"),
                pl.Series("asked_sha256", asked, dtype=pl.String()),
                *(pl.lit(None, SCHEMA[name]).alias(name) for name in (*DECODED, "sound")),
            ).cast({name: SCHEMA[name] for name in (*_COPIED, "prompt_version")})
        )
    table = conform(pl.concat(t.select(list(SCHEMA)) for t in tables), SCHEMA, str(folder))
    return table.sort("id")


def with_decoded_facts(manifest: pl.DataFrame, variants: pl.DataFrame) -> pl.DataFrame:
    """The manifest with DECODED from the table of variants (schema VARIANTS) and the sound of its aligned clips.

    Raises:
        DataError: The file of an aligned clip cannot be read; names it.
    """
    good = variants.filter(pl.col("status") == "ok")
    aligned = good.filter(pl.col("condition") == Condition.ALIGNED)
    levels = {}
    with Progress("publish: sounds", aligned.height) as progress:
        for name, path in aligned.select("id", "path").iter_rows():
            levels[name] = _levels(name, Path(path))
            progress.advance()
    sounds = pl.DataFrame(
        {"id": list(levels), "sound": list(levels.values())}, schema={name: SCHEMA[name] for name in ("id", "sound")}
    )
    decoded = good.select("id", *DECODED).join(sounds, on="id", how="left")
    joined = manifest.drop(*DECODED, "sound").join(decoded, on="id", how="left", maintain_order="left")
    return joined.select(list(SCHEMA))


def _levels(name: str, path: Path) -> list[float]:
    try:
        return band_levels(path)
    except InvalidInput as error:
        raise DataError(f"{name}: {error}", hint="run `dvc pull`, or `dvc repro`") from None


def read_release(folder: Path) -> Release:
    """A release in a folder; its shards are read, not a manifest that may be next to them.

    Raises:
        DataError: See `manifest_from_shards`; or there is no card.
    """
    return Release(str(folder), manifest_from_shards(folder), card_columns(folder / CARD))


def read_published(name: str, card: Path, manifest: Path) -> Release:
    """A release for which only the card and the manifest were fetched."""
    return Release(name, read_table(manifest, SCHEMA).sort("id"), card_columns(card))


def card_columns(card: Path) -> dict[str, str]:
    """Column → type of all configs, from the card's metadata.

    Raises:
        DataError: There is no card, or its metadata list no columns.
    """
    columns: dict[str, str] = {}
    for config in read_head(card).get("dataset_info", []):
        for feature in config.get("features", []):
            columns[feature["name"]] = feature.get("dtype") or f"list of {feature.get('list')}"
    if not columns:
        raise DataError(f"{card}: the metadata list no columns", hint="run `mma-bench build package` again")
    return columns


def read_head(card: Path) -> dict[str, Any]:
    """The metadata of a card.

    Raises:
        DataError: There is no card.
    """
    try:
        return card_head(card.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError):
        raise DataError(f"{card} is missing or not UTF-8", hint="name the folder of a dataset") from None
