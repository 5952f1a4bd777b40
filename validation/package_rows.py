"""The rows of the packaged dataset, read from its Parquet shards and the bytes of the clips inside them.

The clips are read by the executor's workers, a task per shard, and anew by each gate: of what an earlier one has read,
nothing is kept. The other columns are read in this process, where only the rows of a part are in memory.
"""

import tempfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench.config import Params
from mma_bench.errors import InvalidInput
from mma_bench.executor.results import results
from mma_bench.executor.task import Payload
from mma_bench.progress import Progress
from mma_bench.schema import VARIANTS

LIST = pl.List(pl.String())
# The stable columns of the dataset: others may be added, none of these is removed.
COLUMNS: dict[str, pl.DataType] = {
    **{
        name: VARIANTS[name]
        for name in (
            *("id", "condition", "visual_class", "audio_class", "caption", "context_seed", "context"),
            *("manipulation", "level"),
            *("base_id", "donor_id", "class_distance", "human_verified", "judge", "label_ids", "start_s", "end_s"),
            *("video_sha256", "audio_sha256", "licence", "source"),
        )
    },
    **dict.fromkeys(("visual_question", "audio_question", "visual_answer", "audio_answer"), pl.String()),
    **dict.fromkeys(("visual_abstention_answer", "audio_abstention_answer"), pl.String()),
    **dict.fromkeys(("visual_question_short_answer", "audio_question_short_answer"), pl.String()),
    **dict.fromkeys(("text_question", "text_answer"), pl.String()),
    "options": LIST,
}
REFERENCE = (*(name for name in COLUMNS if name in VARIANTS), "split")  # the columns of VARIANTS that say what is due
_CLIPS = 8  # in memory at a time
_BATCH = 100  # rows that are read at a time; some hold texts of tens of kilobytes
_PART = 1_000  # rows at a time, with hashes of the texts; these are wide
_PLACE = ("config", "folder_split")  # by the shard's path, data/<config>/<split>-*.parquet


def packaged_ids(folder: Path) -> pl.DataFrame:
    """`id` (null if the shard has no ids), `config` and `folder_split` of all rows."""
    import pyarrow.parquet as pq

    tables = [pl.DataFrame(schema=dict.fromkeys(("id", *_PLACE), pl.String()))]
    for shard in _shards(folder):
        if "id" in pq.read_schema(shard).names:
            ids = pl.DataFrame(pl.from_arrow(pq.read_table(shard, columns=["id"]))).cast(pl.String())
        else:
            ids = pl.DataFrame({"id": [None] * pq.read_metadata(shard).num_rows}, schema={"id": pl.String()})
        tables.append(ids.with_columns(**_place(shard)))
    return pl.concat(tables)


def read_shards(folder: Path, params: Params) -> Iterator[pl.DataFrame]:
    """All rows, at most 1,000 at a time: the columns of COLUMNS (null if a shard lacks one), and facts about them.

    `config`, `folder_split`: by the shard's path; `lacks`: the first column that the shard lacks, else null;
    `video_packets`, `audio_packets`: hashes read back from the embedded clip, null if it cannot be read. `context` is
    replaced by its hash.
    """
    import pyarrow.parquet as pq

    shards = _shards(folder)
    parts = {shard.as_posix(): {"shard": shard} for shard in shards}
    hashes = results(parts, packet_hashes, workers=params.workers, title="validate_package", ray=params.on_ray())
    with Progress("validate: packets", sum(pq.read_metadata(shard).num_rows for shard in shards), "clip") as progress:
        for shard, of_shard in zip(shards, hashes, strict=True):
            batches = _read_shard(shard, of_shard)
            while some := list(islice(batches, _PART // _BATCH)):
                part = pl.concat(some)
                progress.advance(part.height)
                yield part


def no_rows() -> pl.DataFrame:
    """What `read_shards` gives for no rows."""
    more = (*_PLACE, "lacks", "video_packets", "audio_packets")
    return pl.DataFrame(schema=COLUMNS | dict.fromkeys(more, pl.String()))


def _shards(folder: Path) -> list[Path]:
    return sorted((folder / "data").glob("*/*.parquet"))


def _place(shard: Path) -> dict[str, pl.Expr]:
    return {"config": pl.lit(shard.parent.name), "folder_split": pl.lit(shard.name.partition("-")[0])}


def packet_hashes(payload: Payload) -> list[tuple[str | None, str | None]]:
    """Of each row of a shard, the hashes of its clip's video and audio packets; runs in the workers.

    Nulls, which break the promises, if the clip cannot be read or there is none.
    """
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder, pq.ParquetFile(payload["shard"]) as file:
        if "video" not in file.schema_arrow.names:
            return [(None, None)] * file.metadata.num_rows
        batches = file.iter_batches(_CLIPS, columns=["video"])
        return [_packets(video, Path(folder)) for batch in batches for video in batch.column("video").to_pylist()]


def _packets(video: Mapping[str, Any] | None, folder: Path) -> tuple[str | None, str | None]:
    from mma_bench.media.packets import packet_sha256

    clip = folder / "clip.mp4"
    clip.write_bytes((video or {}).get("bytes") or b"")
    try:
        return packet_sha256(clip, "video"), packet_sha256(clip, "audio")
    except InvalidInput:
        return None, None


def _read_shard(shard: Path, hashes: list[tuple[str | None, str | None]]) -> Iterator[pl.DataFrame]:
    """The rows of a shard, some at a time, without the clips but with the hashes of their packets."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard) as file:
        names = set(file.schema_arrow.names)
        there = [name for name in COLUMNS if name in names]
        lacking = next((name for name in (*COLUMNS, "video") if name not in names), None)
        of_rows = iter(hashes)
        for batch in file.iter_batches(_BATCH, columns=there):
            packets = list(islice(of_rows, batch.num_rows))
            rows = pl.DataFrame(pl.from_arrow(batch.select(there))).cast({name: COLUMNS[name] for name in there})
            yield with_hashed_context(
                rows.with_columns(
                    *(pl.lit(None, dtype).alias(name) for name, dtype in COLUMNS.items() if name not in names),
                    pl.lit(lacking, pl.String()).alias("lacks"),
                    pl.Series("video_packets", [video for video, _ in packets], dtype=pl.String()),
                    pl.Series("audio_packets", [audio for _, audio in packets], dtype=pl.String()),
                    **_place(shard),
                ).select(no_rows().columns)
            )


def with_hashed_context(rows: pl.DataFrame) -> pl.DataFrame:
    """The irrelevant texts, each of tens of kilobytes, replaced by their hashes."""
    return rows.with_columns(
        pl.col("context").map_elements(lambda text: sha256(text.encode()).hexdigest(), return_dtype=pl.String())
    )
