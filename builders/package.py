"""Package: builds the dataset, the only input of everything after the build.

In: `variants.parquet` with its clips, `aligned.parquet`, the class list and the counts of all stages. Out: the folder
`mma-bench/`, a Hugging Face dataset that `load_dataset("mma-bench", condition)` loads as it is: for each condition a
config of Parquet shards with the clips' bytes inside, a card with the facts of this build, the class list and a list of
checksums. The folder is built next to the old one and swapped with it in one system call.

Equal inputs give equal bytes: rows are sorted by id and every writer setting is fixed.
"""

import ctypes
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.builders.dataset.card import (
    COUNTED_STAGES,
    CardFacts,
    Size,
    composed,
    credits,
    dataset_card,
    licence_notice,
    shards_content,
)
from mma_bench.builders.dataset.columns import features, packaged_row
from mma_bench.builders.sources.sample import SAMPLE
from mma_bench.classes import load_classes
from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.files import file_sha256, fsync, write_json, write_text
from mma_bench.folders import staged_folder
from mma_bench.progress import Progress
from mma_bench.schema import ALIGNED, VARIANTS, Condition, Split
from mma_bench.tables import counts_of_splits, read_json, read_parts, read_table

ROWS_PER_GROUP: Final = 8  # a reader of one row reads its row group: a few MB of video
LICENCE_TEXTS: Final = SAMPLE / "licences"  # the sample's clips may be redistributed only with these
CHECKSUMS: Final = "checksums.sha256"


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


def class_lists(aligned: pl.DataFrame) -> dict[str, list[str]]:
    """Split → the options of its questions: the sorted classes of its aligned clips."""
    groups = aligned.group_by("split").agg(pl.col("class_name").unique().sort())
    return dict(zip(groups["split"].to_list(), groups["class_name"].to_list(), strict=True))


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


def write_shard(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    """Write rows of COLUMNS as Parquet, a few in memory at a time, and return their size in memory in bytes.

    The media are stored as they are (they are compressed already) and cut into pages by their content, so that a new
    version of the dataset uploads only the pages that changed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = features().arrow_schema
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


def swap_folder(new: Path, old: Path) -> None:
    """Replace the folder `old`, which may exist, by `new`, and remove the old contents.

    Where the system can exchange two folders in one call (Linux), a kill at any instant leaves either the old folder or
    the new one at `old`. Elsewhere there is a moment with neither, and a kill then requires running the stage again.
    """
    old = old.resolve()  # a link stays a link
    if not old.exists():
        new.rename(old)
    elif _exchange(new, old):
        shutil.rmtree(new)
    else:
        retired = new.with_name(f"{new.name}-old")
        old.rename(retired)
        new.rename(old)
        shutil.rmtree(retired)
    fsync(old.parent)


def main(params: Params) -> None:
    """Build `mma-bench/`."""
    variants = read_table(layout.VARIANTS, VARIANTS, without=["context"])
    aligned = read_table(layout.ALIGNED, ALIGNED)
    options = class_lists(aligned)
    shards = plan(variants, _sizes(variants), params.package.max_shard_mb * 1_000_000)
    if not shards:
        raise DataError(
            f"{layout.VARIANTS} has no row with status ok, so there is nothing to package",
            hint=f"read the reasons in {layout.metrics('conflicts')}",
        )
    counted = counts_of_splits(variants)
    stages = {stage: read_json(layout.metrics(stage)) for stage in COUNTED_STAGES} | {"package": counted}
    funnel, classes = read_json(layout.FUNNEL), load_classes(layout.CLASSES)
    with staged_folder(layout.PACKAGE) as staged:
        sizes: dict[tuple[str, str], Size] = {}
        with Progress("package", sum(shard.rows.height for shard in shards)) as progress:
            for (condition, split), of_both in groupby(shards, lambda shard: (shard.condition, shard.split)):
                texts = _contexts(condition, split)
                size = Size(0, 0, 0)
                for shard in of_both:
                    path = staged / shard.path
                    memory = write_shard(path, _rows(shard.rows, texts, options[split], progress))
                    size += Size(shard.rows.height, memory, path.stat().st_size)
                sizes[condition, split] = size
        facts = CardFacts(
            version=params.package.version,
            variants=variants,
            aligned=aligned,
            options=options,
            classes=len(classes.names),
            funnel=funnel,
            stages=stages,
            sizes=sizes,
            contents={condition: shards_content(staged, condition) for condition, _ in sizes},
            only=params.package.licences,
        )
        write_text(staged / "README.md", dataset_card(facts))
        write_text(staged / "LICENSE.md", licence_notice(aligned, params.package.licences))
        write_text(staged / "CREDITS.md", credits(aligned))
        if composed(aligned):
            shutil.copytree(LICENCE_TEXTS, staged / LICENCE_TEXTS.name)
        shutil.copyfile(layout.CLASSES, staged / "classes.json")
        files = sorted(path for path in staged.rglob("*") if path.is_file())
        sums = [f"{file_sha256(path)}  {path.relative_to(staged).as_posix()}\n" for path in files]
        write_text(staged / CHECKSUMS, "".join(sums))
        for folder in {path.parent for path in files}:
            fsync(folder)
        layout.DATASET_PAGE.unlink(missing_ok=True)  # if the build stops here, no page is of the dataset before
        swap_folder(staged, layout.PACKAGE)
    write_json(layout.metrics("package"), counted)


def _sizes(variants: pl.DataFrame) -> dict[str, int]:
    """Path → bytes of the file, for every good row."""
    sizes = {}
    for clip_id, path in variants.filter(pl.col("status") == "ok").select("id", "path").iter_rows():
        try:
            sizes[path] = Path(path).stat().st_size
        except FileNotFoundError:
            raise _stale(clip_id, path, "does not exist") from None
    return sizes


def _contexts(condition: str, split: str) -> Iterator[tuple[str, str | None]]:
    """Id and irrelevant text of the good rows, as they are asked for: all of them may not fit into memory."""
    for part in read_parts(layout.VARIANTS, VARIANTS, ["id", "condition", "split", "status", "context"]):
        yield from part.filter(condition=condition, split=split, status="ok").select("id", "context").iter_rows()


def _rows(
    variants: pl.DataFrame, contexts: Iterator[tuple[str, str | None]], options: Sequence[str], progress: Progress
) -> Iterator[dict[str, Any]]:
    for row, (of_id, context) in zip(variants.iter_rows(named=True), contexts, strict=False):  # more in the next shard
        if of_id != row["id"]:
            raise DataError(f"{layout.VARIANTS} is not sorted by id", hint="run `mma-bench build conflicts` again")
        variant = {**row, "context": context}
        video = Path(variant["path"]).read_bytes()
        if hashlib.sha256(video).hexdigest() != variant["sha256"]:
            raise _stale(variant["id"], variant["path"], "is not the file that the table describes")
        yield packaged_row(variant, options, video)
        progress.advance()


def _stale(clip_id: str, path: str, what: str) -> DataError:
    return DataError(f"{clip_id}: {path} {what}", hint="run `dvc repro` to make the clip again")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one system call; False if the system or the file system does not support it."""
    if not sys.platform.startswith("linux"):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV):
        return False
    raise OSError(code, os.strerror(code), str(other))
