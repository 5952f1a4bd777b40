"""The edition without media: the same layout with ids, times, labels, pairs and hashes, for publishers who may not
redistribute clips.

In: the dataset's folder. Out: a folder with the same shards without their column `video`, the card with its metadata
to match, and in `full/` the card and the checksums of the edition with media, so that anyone who rebuilds it from their
own clips can verify that every file is the same.
"""

import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from mma_bench.builders.dataset.card import shards_content
from mma_bench.builders.package import CHECKSUMS, swap_folder
from mma_bench.builders.publish.manifest import CARD
from mma_bench.errors import DataError
from mma_bench.files import atomic_path, write_text
from mma_bench.folders import staged_folder
from mma_bench.hub.cards import card_head
from mma_bench.hub.repository import Contents
from mma_bench.progress import Progress

FULL: Final = Path("full")  # files of the edition with media that the edition without media lacks
_MEDIA: Final = "video"


def write_index(dataset: Contents, folder: Path) -> None:
    """Write the edition without media of a dataset into `folder`, replacing its contents.

    Raises:
        DataError: A shard has no column `video`.
    """
    with staged_folder(folder) as staged:
        sizes: dict[str, int] = {}
        with Progress("publish: index", len(dataset.files), "file") as progress:
            for name, path in dataset.files.items():
                if name.endswith(".parquet"):
                    sizes[name] = _without_media(path, staged / name)
                elif name in (CARD, CHECKSUMS):
                    _copy(path, staged / FULL / name)
                else:
                    _copy(path, staged / name)
                progress.advance()
        write_text(staged / CARD, index_card(dataset.files[CARD].read_text("utf-8"), staged, sizes))
        swap_folder(staged, folder)


def index_card(card: str, folder: Path, sizes: dict[str, int]) -> str:
    """The card without the media column, its metadata with the sizes of these shards.

    Args:
        folder: Holds the shards.
        sizes: Path of a shard inside it → bytes of its rows in memory.
    """
    head = card_head(card)
    for config in head["dataset_info"]:
        config["features"] = [feature for feature in config["features"] if feature["name"] != _MEDIA]
        shards = [name for name in sizes if Path(name).parent.name == config["config_name"]]
        for split in config["splits"]:
            split["num_bytes"] = sum(sizes[name] for name in shards if Path(name).name.startswith(f"{split['name']}-"))
        config["download_size"] = sum((folder / name).stat().st_size for name in shards)
        config["description"] = shards_content(folder, config["config_name"])
        config["dataset_size"] = sum(split["num_bytes"] for split in config["splits"])
    rows = [line for line in card.splitlines(keepends=True) if not line.startswith(f"| `{_MEDIA}` |")]
    return with_head("".join(rows), head)


def with_head(card: str, head: dict[str, Any]) -> str:
    """A card with its metadata replaced."""
    rest = card.split("---\n", 2)[2]
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{text}---\n{rest}"


def _without_media(shard: Path, out: Path) -> int:
    """Write a shard's other columns, and return their size in memory in bytes."""
    import pyarrow.parquet as pq

    names = pq.read_schema(shard).names
    if _MEDIA not in names:
        raise DataError(f"{shard} has no column {_MEDIA!r}: it is already without media", hint="name the full dataset")
    table = pq.read_table(shard, columns=[name for name in names if name != _MEDIA])
    # `datasets` keeps the features in the schema's metadata, and would look for the removed column.
    table = table.replace_schema_metadata(None)
    with atomic_path(out) as staged:
        pq.write_table(table, staged, version="2.6", compression="zstd")
    return int(table.nbytes)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
