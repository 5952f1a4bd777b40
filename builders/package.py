"""Package: builds the dataset, the only input of everything after the build.

In: `variants.parquet` with its clips, `aligned.parquet`, the class list and the counts of all stages. Out: the folder
`mma-bench/`, a Hugging Face dataset that `load_dataset("mma-bench", condition)` loads as it is: for each condition a
config of Parquet shards with the clips' bytes inside, a card with the facts of this build, the class list and a list of
checksums. The folder is built next to the old one and swapped with it in one system call.

Equal inputs give equal bytes: rows are sorted by id and every writer setting is fixed. The shards are written by the
executor's workers, a task each. Nothing is kept of a build that was interrupted: the next one begins anew.
"""

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import polars as pl

from mma_bench import layout
from mma_bench.builders.dataset.card import (
    COUNTED_STAGES,
    CardFacts,
    Size,
    composed,
    content_of,
    credits,
    dataset_card,
    licence_notice,
)
from mma_bench.builders.dataset.shards import plan, stale, write_shards
from mma_bench.builders.sources.sample import SAMPLE
from mma_bench.classes import load_classes
from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.files import file_sha256, fsync, write_json, write_text
from mma_bench.folders import staged_folder
from mma_bench.schema import ALIGNED, VARIANTS
from mma_bench.tables import counts_of_splits, read_json, read_table

LICENCE_TEXTS: Final = SAMPLE / "licences"  # the sample's clips may be redistributed only with these
CHECKSUMS: Final = "checksums.sha256"


def class_lists(aligned: pl.DataFrame) -> dict[str, list[str]]:
    """Split → the options of its questions: the sorted classes of its aligned clips."""
    groups = aligned.group_by("split").agg(pl.col("class_name").unique().sort())
    return dict(zip(groups["split"].to_list(), groups["class_name"].to_list(), strict=True))


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
        written = write_shards(staged, shards, options, params)
        sizes: dict[tuple[str, str], Size] = {}
        for shard in shards:
            size = Size(shard.rows.height, written[shard.path].memory, written[shard.path].size)
            sizes[shard.condition, shard.split] = sizes.get((shard.condition, shard.split), Size(0, 0, 0)) + size
        sums = {path: shard.sha256 for path, shard in written.items()}
        facts = CardFacts(
            version=params.package.version,
            variants=variants,
            aligned=aligned,
            options=options,
            classes=len(classes.names),
            funnel=funnel,
            stages=stages,
            sizes=sizes,
            contents={
                condition: content_of({path.name: sums[path] for path in sums if path.parent.name == condition})
                for condition, _ in sizes
            },
            only=params.package.licences,
        )
        write_text(staged / "README.md", dataset_card(facts))
        write_text(staged / "LICENSE.md", licence_notice(aligned, params.package.licences))
        write_text(staged / "CREDITS.md", credits(aligned))
        if composed(aligned):
            shutil.copytree(LICENCE_TEXTS, staged / LICENCE_TEXTS.name)
        shutil.copyfile(layout.CLASSES, staged / "classes.json")
        others = {path.relative_to(staged) for path in staged.rglob("*") if path.is_file()} - sums.keys()
        sums |= {path: file_sha256(staged / path) for path in others}
        write_text(staged / CHECKSUMS, "".join(f"{sums[path]}  {path.as_posix()}\n" for path in sorted(sums)))
        for folder in {(staged / path).parent for path in sums}:
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
            raise stale(clip_id, path, "does not exist") from None
    return sizes


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
