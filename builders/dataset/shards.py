"""The shards of the dataset: which rows are in which, and the tasks that write them.

A shard is a Parquet file with the clips' bytes inside. The irrelevant texts, of tens of kilobytes each, reach a task
through a file beside its shard, since all of them may not fit into memory.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.builders.dataset.columns import features, packaged_row
from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.executor.results import results
from mma_bench.executor.task import Payload
from mma_bench.files import file_sha256, fsync
from mma_bench.progress import Progress
from mma_bench.schema import VARIANTS, Condition, Split
from mma_bench.tables import read_parts

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP: Final = 8  # a reader of one row reads its row group: a few MB of video


@dataclass(frozen=True)
class Shard:
    """One Parquet file of the dataset.

    Attributes:
        path: Relative to the dataset's folder.
        rows: Rows of VARIANTS without `context`, sorted by id.
    """

    condition: str
    split: str
    path: Path
    rows: pl.DataFrame


@dataclass(frozen=True)
class Written:
    """A shard that is written: its sizes in memory and on the disk, in bytes, and the SHA-256 of the file."""

    memory: int
    size: int
    sha256: str


def plan(variants: pl.DataFrame, sizes: Mapping[str, int], max_bytes: int) -> list[Shard]:
    """Cut the good rows of `variants` into shards of at most `max_bytes` of video, at least one row each.

    Args:
        variants: Schema VARIANTS, of which `context` is not needed; rows whose status is not ok are left out.
        sizes: Path → bytes, for the path of every good row.
        max_bytes: Of one shard.
    """
    shards = []
    good = variants.filter(pl.col("status") == "ok").sort("id")
    for condition in Condition:
        for split in (Split.TRAIN, Split.TEST):
            rows = good.filter((pl.col("condition") == condition) & (pl.col("split") == split))
            cuts, filled = [0], 0
            for index, path in enumerate(rows["path"]):
                if index > cuts[-1] and filled + sizes[path] > max_bytes:
                    cuts, filled = [*cuts, index], 0
                filled += sizes[path]
            for number, start in enumerate(cuts if rows.height else []):
                end = cuts[number + 1] if number + 1 < len(cuts) else rows.height
                name = f"{split}-{number:05}-of-{len(cuts):05}.parquet"
                shards.append(Shard(condition, split, Path("data") / condition / name, rows[start:end]))
    return shards


def write_shard(path: Path, rows: Iterator[dict[str, Any]], schema: "pa.Schema | None" = None) -> int:
    """Write rows of COLUMNS as Parquet, a few in memory at a time, and return their size in memory in bytes.

    The media are stored as they are (they are compressed already) and cut into pages by their content, so that a new
    version of the dataset uploads only the pages that changed.

    Args:
        path: Written in place.
        rows: As `packaged_row` gives them.
        schema: `features().arrow_schema`, which a worker is given, since `datasets` takes seconds to import.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schema or features().arrow_schema
    leaves = [*(name for name in schema.names if name != "video"), "options.list.element", "label_ids.list.element"]
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with (
        path.open("wb") as stream,
        pq.ParquetWriter(
            stream,
            schema,
            version="2.6",
            compression={"video.bytes": "none", "video.path": "zstd", **dict.fromkeys(leaves, "zstd")},
            use_dictionary=leaves,
            write_statistics=leaves,
            write_page_index=True,
            use_content_defined_chunking={"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0},
        ) as writer,
    ):
        while group := list(islice(rows, ROWS_PER_GROUP)):
            table = pa.Table.from_pylist(group, schema=schema)
            writer.write_table(table)
            size += table.nbytes
    fsync(path)
    return size


def write_shards(
    folder: Path, shards: Sequence[Shard], options: Mapping[str, Sequence[str]], params: Params
) -> dict[Path, Written]:
    """Write the shards below `folder`, a task each; returns what was written by the shards' paths.

    Args:
        folder: Of the dataset that is being written.
        shards: See `plan`.
        options: See `class_lists`.
        params: Say how many workers there are, and where.

    Raises:
        DataError: See `written_shard`.
    """
    with_texts = _set_texts_aside(folder, shards)
    parts = {
        shard.path.as_posix(): {
            "path": folder / shard.path,
            "rows": shard.rows,
            "options": options[shard.split],
            "texts": _texts_of(folder / shard.path) if shard.path in with_texts else None,
        }
        for shard in shards
    }
    work = partial(written_shard, features().arrow_schema)
    made = results(parts, work, workers=params.workers, title="package", ray=params.on_ray())
    written: dict[Path, Written] = {}
    with Progress("package", sum(shard.rows.height for shard in shards)) as progress:
        for shard, of_shard in zip(shards, made, strict=True):
            written[shard.path] = of_shard
            _texts_of(folder / shard.path).unlink(missing_ok=True)
            progress.advance(shard.rows.height)
    return written


def _texts_of(shard: Path) -> Path:
    return shard.with_suffix(".texts")


def _set_texts_aside(folder: Path, shards: Sequence[Shard]) -> set[Path]:
    """Write the irrelevant texts of each shard beside its place, and return the paths of the shards that have any.

    All texts may not fit into memory, and a worker that looked for those of its shard would read through the others'.
    """
    import pyarrow as pa

    key = ["split", "condition", "id"]
    places = pl.concat(shard.rows.select(*key, place=pl.lit(place)) for place, shard in enumerate(shards))
    with ExitStack() as opened:
        writers: dict[Path, pa.RecordBatchStreamWriter] = {}
        for part in read_parts(layout.VARIANTS, VARIANTS, [*key, "context"]):
            if (texts := part.drop_nulls("context")).is_empty():
                continue
            found = texts.join(places, on=key, maintain_order="left").partition_by("place", as_dict=True)
            for (place,), rows in found.items():
                path = shards[place].path
                # As Arrow's oldest types: polars' strings are views into the buffers of the whole part.
                table = rows.select("id", "context").to_arrow(compat_level=pl.CompatLevel.oldest())
                if path not in writers:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    file = opened.enter_context(_texts_of(folder / path).open("wb"))
                    zstd = pa.ipc.IpcWriteOptions(compression="zstd")
                    writers[path] = opened.enter_context(pa.ipc.new_stream(file, table.schema, options=zstd))
                writers[path].write_table(table)
        return set(writers)


def written_shard(schema: "pa.Schema", payload: Payload) -> Written:
    """Write one shard; runs in the workers.

    It is written in place, which is not in the dataset yet. Under a temporary name, a worker that dies would leave a
    file in the folder, beside that of the task's next attempt.

    Raises:
        DataError: A clip is not that of the table, an answer is not among the options, or the table is not sorted.
    """
    path = payload["path"]
    memory = write_shard(path, _rows(payload), schema)
    return Written(memory, path.stat().st_size, file_sha256(path))


def _rows(payload: Payload) -> Iterator[dict[str, Any]]:
    """The shard's rows, as they are asked for: one clip is in memory at a time."""
    texts: Iterator[dict[str, Any]] = _texts(payload["texts"]) if payload["texts"] else iter(())
    following = next(texts, None)
    for row in payload["rows"].iter_rows(named=True):
        context = None
        if following is not None and following["id"] == row["id"]:
            context, following = following["context"], next(texts, None)
        yield packaged_row({**row, "context": context}, payload["options"], _video(row))
    if following is not None:
        raise DataError(f"{layout.VARIANTS} is not sorted by id", hint="run `mma-bench build conflicts` again")


def _texts(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    with path.open("rb") as file, pa.ipc.open_stream(file) as batches:
        for batch in batches:
            yield from batch.to_pylist()


def _video(variant: Mapping[str, Any]) -> bytes:
    try:
        video = Path(variant["path"]).read_bytes()
    except FileNotFoundError:
        raise stale(variant["id"], variant["path"], "does not exist") from None
    if hashlib.sha256(video).hexdigest() != variant["sha256"]:
        raise stale(variant["id"], variant["path"], "is not the file that the table describes")
    return video


def stale(clip_id: str, path: str, what: str) -> DataError:
    """The error about a clip that is not the table's."""
    return DataError(f"{clip_id}: {path} {what}", hint="run `dvc repro` to make the clip again")
