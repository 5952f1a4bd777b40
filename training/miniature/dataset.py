"""The miniature's dataset: rendered clips, processed by the build's own stages into a dataset with the same schema.

In: the classes of `world.py` and `params.yaml` next to this file. Out: a separate project (a folder with
`params.yaml`, `data/` and, at the end, `mma-bench/`), in which `mma-bench build pair`, `mma-bench build conflicts` and
the gates run as in the real one.

Three stages of the real build have no counterpart: clips are not filtered by labels, normalised or judged, since their
content is known by construction and they are rendered at their final size. The column `judge` and the dataset's card
say so.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from mma_bench import layout
from mma_bench.builders.dataset.card import Size
from mma_bench.builders.dataset.columns import packaged_row
from mma_bench.builders.dataset.shards import plan, write_shard
from mma_bench.builders.package import CHECKSUMS, class_lists, swap_folder
from mma_bench.classes import ClassTable, LabelClass, Node, save_classes
from mma_bench.config import Count, Namespace, Params
from mma_bench.errors import ConfigError, DataError
from mma_bench.executor import run
from mma_bench.executor.task import Task
from mma_bench.files import atomic_path, clip_path, file_sha256, fingerprint, write_text
from mma_bench.folders import staged_folder
from mma_bench.media.facts import media_facts
from mma_bench.progress import Progress
from mma_bench.schema import ALIGNED, VARIANTS, Condition, Split
from mma_bench.settings import checked, read_yaml
from mma_bench.tables import from_rows, read_table, write_table
from mma_bench.training.miniature.film import write_clip
from mma_bench.training.miniature.world import CLASSES, SECONDS, render

PARAMS: Final = Path(__file__).with_name("params.yaml")
HALF_PARAMS: Final = Path("params-half.yaml")  # as params.yaml, but half of the classes are tuned on
JUDGE: Final = "none (known by construction)"
SOURCE: Final = "miniature (rendered)"
LICENCE: Final = "CC0-1.0"
VERSION: Final = 1  # of rendering and encoding: incrementing it renders every clip again
_PER_CLASS: Final = 10_000  # seeds reserved for each class, so that adding clips to one does not change another


class WorldParams(Namespace):
    """Which clips are rendered."""

    train_per_class: Count
    test_per_class: Count
    train_seed: int
    test_seed: int


class MiniatureParams(Namespace):
    """`params.yaml` of this folder.

    Attributes:
        build: Namespace of the project's params.yaml → overridden keys and values.
    """

    world: WorldParams
    build: dict[str, Any]


def load_miniature_params(path: Path = PARAMS) -> MiniatureParams:
    """Read the miniature's params.yaml.

    Raises:
        ConfigError: No such file, invalid YAML, an unknown key or a wrong type; names the key.
    """
    return checked(MiniatureParams, read_yaml(path, path, "give the miniature's params.yaml"), path)


def project_params(project: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The project's params.yaml with the miniature's overrides, merged key by key within namespaces.

    Raises:
        ConfigError: The result is not a valid params.yaml; names the key.
    """
    merged = {
        name: {**value, **changes.get(name, {})} if isinstance(value, dict) else changes.get(name, value)
        for name, value in project.items()
    }
    merged |= {name: value for name, value in changes.items() if name not in merged}
    checked(Params, merged, PARAMS)
    return merged


def class_table() -> ClassTable:
    """The world's classes as roots of a separate ontology: each is two edges from every other."""
    ids = {name: f"miniature/{name}" for name in CLASSES}
    nodes = {ids[name]: Node(name, (), 1, (ids[name],), "kept", "a class of the miniature", name) for name in CLASSES}
    return ClassTable(tuple(LabelClass(name, ids[name], name, (ids[name],), (ids[name],)) for name in CLASSES), nodes)


def clip_tasks(world: WorldParams, classes: Sequence[str] = CLASSES) -> list[Task]:
    """One task for each clip of both splits; the payload has its split, id, class and seed.

    Raises:
        ConfigError: The seed ranges of the two splits overlap.
    """
    reach = len(classes) * _PER_CLASS
    if abs(world.train_seed - world.test_seed) < reach or max(world.train_per_class, world.test_per_class) > _PER_CLASS:
        raise ConfigError(
            "world: seeds of train and test clips overlap, so the same clip could be in both",
            hint=f"set train_seed and test_seed at least {reach:,} apart",
        )
    tasks = []
    for split, start, count in (
        (Split.TEST, world.test_seed, world.test_per_class),
        (Split.TRAIN, world.train_seed, world.train_per_class),
    ):
        for index, name in enumerate(classes):
            for number in range(count):
                clip_id = f"{name.lower()}-{split}-{number:04}"
                payload = {
                    "split": str(split),
                    "clip_id": clip_id,
                    "class_name": name,
                    "seed": start + index * _PER_CLASS + number,
                }
                tasks.append(Task(f"{split}/{clip_id}", fingerprint(VERSION, payload), payload))
    return tasks


def make_clip(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Render one clip, write it and compute the facts about the file.

    Returns:
        `path`, `sha256` and the keys of `mma_bench.schema.FACTS`.
    """
    target = clip_path(layout.NORMALISED_CLIPS / payload["split"], payload["clip_id"])
    with atomic_path(target) as beside:
        write_clip(beside, render(payload["class_name"], payload["class_name"], payload["seed"]))
        facts = media_facts(beside)
        sha256 = file_sha256(beside)
    return {"path": target.as_posix(), "sha256": sha256, **facts}


def make_clips(root_params: Path, miniature: MiniatureParams) -> None:
    """Write `params.yaml`, the class list, the clips and `aligned.parquet` of the project in the current folder.

    Args:
        root_params: The project's own params.yaml.
        miniature: The miniature's overrides.

    Raises:
        ConfigError: The two are incompatible.
        StageError: A clip could not be written.
    """
    project = read_yaml(root_params, root_params, "run this in the project's root")
    merged = project_params(project, miniature.build)
    half = {**merged, "sft": {**merged["sft"], "classes": 0.5}}  # appendix H
    for path, values in ((layout.PARAMS, merged), (HALF_PARAMS, half)):
        head = "# Made from the project's params.yaml and training/miniature/params.yaml; change those.\n"
        write_text(path, head + yaml.safe_dump(values, sort_keys=False))
    save_classes(class_table(), layout.CLASSES)
    tasks = clip_tasks(miniature.world)
    entries = run(tasks, make_clip, layout.ledger("clips"), workers=merged["workers"], title="render")
    if refused := [entry for entry in entries if entry["status"] != "ok"]:
        first = refused[0]
        raise DataError(f"{first['key']} was rendered but is not a valid clip: {first['reason']} ({first['detail']})")
    rows = [aligned_row(task.payload, entry["result"]) for task, entry in zip(tasks, entries, strict=True)]
    write_table(from_rows(rows, ALIGNED), layout.ALIGNED, ALIGNED, sort_by=["split", "clip_id"])


def aligned_row(payload: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """The row of `aligned.parquet` for a rendered clip."""
    return {
        **{key: payload[key] for key in ("clip_id", "split", "class_name")},
        "video_id": payload["clip_id"],
        "start_s": 0.0,
        "end_s": float(SECONDS),
        "label_ids": [f"miniature/{payload['class_name']}"],
        "source": SOURCE,
        "licence": LICENCE,
        "judge": JUDGE,
        "human_verified": False,
        **made,
    }


def package(max_shard_mb: int) -> None:
    """Write `mma-bench/` of the project in the current folder: the build's shards and columns, with its own card.

    Raises:
        DataError: A table is missing, or a variant could not be made.
    """
    variants, aligned = read_table(layout.VARIANTS, VARIANTS), read_table(layout.ALIGNED, ALIGNED)
    refused = variants.filter(pl.col("status") != "ok")
    if refused.height:
        first = refused.row(0, named=True)
        raise DataError(f"{first['id']} could not be made: {first['reason']} ({first['detail']})")
    options = class_lists(aligned)
    sizes = {path: Path(path).stat().st_size for path in variants["path"].unique()}
    with staged_folder(layout.PACKAGE) as beside:
        sizes_of: dict[tuple[str, str], Size] = {}
        with Progress("package", variants.height) as progress:
            for shard in plan(variants, sizes, max_shard_mb * 1_000_000):
                path, key = beside / shard.path, (shard.condition, shard.split)
                memory = write_shard(path, _rows(shard.rows, options[shard.split], progress))
                written = Size(shard.rows.height, memory, path.stat().st_size)
                sizes_of[key] = sizes_of.get(key, Size(0, 0, 0)) + written
        write_text(beside / "README.md", card(sizes_of))
        shutil.copyfile(layout.CLASSES, beside / "classes.json")
        files = sorted(path for path in beside.rglob("*") if path.is_file())
        sums = [f"{file_sha256(path)}  {path.relative_to(beside).as_posix()}\n" for path in files]
        write_text(beside / CHECKSUMS, "".join(sums))
        swap_folder(beside, layout.PACKAGE)


def _rows(variants: pl.DataFrame, options: Sequence[str], progress: Progress) -> Iterator[dict[str, Any]]:
    for variant in variants.iter_rows(named=True):
        yield packaged_row(variant, options, Path(variant["path"]).read_bytes())
        progress.advance()


def card(sizes: Mapping[tuple[str, str], Size]) -> str:
    """`README.md` of the dataset: metadata for `load_dataset`, and a description of the clips.

    Args:
        sizes: (condition, split) → its size.
    """
    configs: dict[str, dict[str, Size]] = {}
    for condition in Condition:
        for split in (Split.TRAIN, Split.TEST):
            if (condition, split) in sizes:
                configs.setdefault(str(condition), {})[str(split)] = sizes[condition, split]
    head = {
        "pretty_name": "MMA-Bench miniature",
        "license": LICENCE.lower(),
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": split, "path": f"data/{name}/{split}-*.parquet"} for split in splits],
            }
            for name, splits in configs.items()
        ],
        "dataset_info": [
            {
                "config_name": name,
                "splits": [
                    {"name": split, "num_bytes": size.memory, "num_examples": size.rows}
                    for split, size in splits.items()
                ],
                "download_size": sum(size.files for size in splits.values()),
                "dataset_size": sum(size.memory for size in splits.values()),
            }
            for name, splits in configs.items()
        ],
    }
    rows = sum(size.rows for size in sizes.values())
    text = (
        f"{rows:,} rendered clips with the schema of MMA-Bench. Pictograms and tones stand for "
        f"{len(CLASSES)} classes; nothing here was recorded, filtered by labels, judged or reviewed by people. What a "
        "clip shows and sounds like is known because it was rendered so. It illustrates an effect; it measures no "
        "model of the world."
    )
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n# MMA-Bench, miniature\n\n{text}\n"
