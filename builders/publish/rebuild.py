"""`mma-bench publish rebuild`: the dataset with media from the edition without media and local clips.

In: an edition without media (a folder, or a version on the Hub) and a folder of base clips, each named by its id, such
as `data/normalised/` of a build. Out: the dataset's folder, and a report with the match of every clip and row. If all
packets are the published ones, the folder is compared, file by file, with the checksums of the edition with media.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl

from mma_bench.builders.dataset.card import shards_content
from mma_bench.builders.dataset.columns import COLUMNS
from mma_bench.builders.dataset.media import WRITERS, Order
from mma_bench.builders.dataset.shards import write_shard
from mma_bench.builders.package import CHECKSUMS, swap_folder
from mma_bench.builders.publish.contents import METADATA_FILES, checksum_lines, hashed, read_checksums
from mma_bench.builders.publish.index import FULL, with_head
from mma_bench.builders.publish.manifest import CARD, MANIFEST, SCHEMA
from mma_bench.builders.publish.matching import Match, match
from mma_bench.errors import ConfigError, DataError, InvalidInput
from mma_bench.files import clip_path, write_json, write_text
from mma_bench.folders import is_file, staged_folder, walk
from mma_bench.hub.cards import card_head
from mma_bench.media.packets import Kind, packet_sha256
from mma_bench.progress import Progress
from mma_bench.schema import Condition
from mma_bench.tables import read_table

Row: TypeAlias = dict[str, Any]

# The original build checked that each donor covers its base; a donor that only looks the same may end slightly earlier.
_SLACK_S: Final = 1.0
_TRACKS: Final[tuple[Kind, ...]] = ("video", "audio")


def rebuild(index: Path, clips: Path, out: Path, report: Path) -> None:
    """Rebuild a dataset.

    Args:
        index: A folder with a complete edition without media.
        clips: Searched recursively for `<clip id>.mp4`.
        out: Where the dataset is written; must not exist.
        report: JSON file: the match of each clip and row, with counts.

    Raises:
        ConfigError: `out` exists, or `clips` does not.
        DataError: `index` is not an edition without media, one of its files was changed, or one of its lists names a
            file outside; no row could be rebuilt.
    """
    _refuse_existing(out)
    if not clips.is_dir():
        raise ConfigError(f"{clips} is not a directory", hint="name the folder of the base clips with --clips")
    _refuse_changed(index)
    listed = read_checksums((index / FULL / CHECKSUMS).read_bytes(), index / FULL / CHECKSUMS)
    manifest = read_table(index / MANIFEST, SCHEMA)
    found = _match_clips(manifest, clips)
    with staged_folder(out) as staged:
        _refuse_existing(out)  # perhaps written meanwhile
        rows: dict[str, Match] = {}
        sizes: dict[str, tuple[int, int]] = {}
        with Progress("rebuild", manifest.height, "row") as progress:
            for shard in sorted((index / "data").glob("*/*.parquet")):
                name = shard.relative_to(index).as_posix()
                made: list[str] = []
                memory = write_shard(staged / name, _shard_rows(shard, found, rows, made, progress))
                if made:
                    sizes[name] = (len(made), memory)
                else:
                    (staged / name).unlink()
        if not sizes:
            write_json(report, _report(found, rows, None))
            raise DataError(
                f"none of the clips in {clips} matches the manifest ({report} says why)",
                hint="name the folder that holds them with --clips",
            )
        identical = _finish(index, staged, sizes, listed, whole=all(_is_good(kind) for kind in rows.values()))
        swap_folder(staged, out)
    write_json(report, _report(found, rows, identical))
    kinds = Counter(kind.kind for kind in rows.values())
    print(f"{out}: {len(rows)} rows: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    same = sum(identical.values())
    print(f"{same} of {len(identical)} files are byte-identical to the edition with media; {report} lists all")


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise ConfigError(f"{out} exists already", hint="name another folder with --out, or move it away")


def _refuse_changed(index: Path) -> None:
    if not (index / FULL / CHECKSUMS).is_file() or not (index / CHECKSUMS).is_file():
        raise DataError(
            f"{index} is not an edition without media", hint="fetch one: `mma-bench publish rebuild ORG/NAME`"
        )
    listed = read_checksums((index / CHECKSUMS).read_bytes(), index / CHECKSUMS)
    here = hashed(index).sha256
    if changed := [name for name, sha256 in listed.items() if here.get(name) != sha256]:
        raise DataError(f"{index / changed[0]} is missing or not as {CHECKSUMS} lists it", hint="fetch it again")


def _match_clips(manifest: pl.DataFrame, clips: Path) -> dict[tuple[str, str], tuple[Path | None, Match]]:
    """(split, clip) → its file and its match, for every base and donor."""
    # An id from the manifest is looked up among the existing names; it never becomes a path.
    paths = sorted(Path(entry.path) for entry in walk(clips) if entry.name.endswith(".mp4") and is_file(entry))
    files = {path.stem: path for path in paths}
    aligned = manifest.filter(pl.col("condition") == Condition.ALIGNED)
    found = {}
    with Progress("rebuild: clips", aligned.height) as progress:
        for row in aligned.iter_rows(named=True):
            path = files.get(row["base_id"])
            found[row["split"], row["base_id"]] = (path, match(path, row))
            progress.advance()
    return found


def _shard_rows(
    shard: Path,
    found: Mapping[tuple[str, str], tuple[Path | None, Match]],
    rows: dict[str, Match],
    made: list[str],
    progress: Progress,
) -> Iterator[Row]:
    """The shard's rows that can be rebuilt, with their media.

    Args:
        rows: Filled with the match of each row.
        made: Filled with the ids of the yielded rows.
    """
    import pyarrow.parquet as pq

    split = shard.name.partition("-")[0]
    with tempfile.TemporaryDirectory() as folder, pq.ParquetFile(shard) as file:
        for batch in file.iter_batches(64):
            for row in batch.to_pylist():
                names = [row[key] for key in ("base_id", "donor_id") if row[key]]
                sources = [found.get((split, name), (None, Match("missing"))) for name in names]
                clip, rows[row["id"]] = _made(row, sources, Path(folder))
                progress.advance()
                if clip is None:
                    continue
                made.append(row["id"])
                video = {"bytes": clip.read_bytes(), "path": f"{row['id']}.mp4"}
                hashes = {f"{kind}_sha256": packet_sha256(clip, kind) for kind in _TRACKS}
                yield {name: video if name == "video" else (row | hashes).get(name) for name in COLUMNS}


def _made(row: Row, sources: list[tuple[Path | None, Match]], folder: Path) -> tuple[Path | None, Match]:
    """A row's clip, made from its sources, and its match."""
    for source, kind in sources:
        if source is None or not _is_good(kind):
            return None, kind
    base = sources[0][0]
    assert base is not None
    try:
        made = _variant(row, base, sources[1][0] if len(sources) > 1 else None, folder)
        same = all(packet_sha256(made, kind) == row[f"{kind}_sha256"] for kind in _TRACKS)
    except InvalidInput as error:
        return None, Match("other", str(error))
    if same:
        return made, Match("packets")
    # The same packets with another stream beside them come from another version of the encoder.
    if all(kind.kind == "packets" for _, kind in sources):
        return made, Match("looks", "the sources' packets are the same; what is not copied is encoded otherwise")
    return made, Match("looks", "; ".join(kind.detail for _, kind in sources if kind.detail))


def _variant(row: Row, base: Path, donor: Path | None, folder: Path) -> Path:
    out = clip_path(folder, "variant")
    writer = WRITERS.get(row["condition"])
    if writer is None:
        return base
    writer(Order(row["id"], base, donor, out, _SLACK_S, row.get("manipulation"), row.get("level")))
    return out


def _finish(
    index: Path, folder: Path, sizes: Mapping[str, tuple[int, int]], listed: Mapping[str, str], *, whole: bool
) -> dict[str, bool]:
    """Write the other files next to the shards; path → whether it is as in the edition with media.

    Args:
        sizes: Path of a shard → (rows, bytes in memory).
        listed: Path → hash in the edition with media.
        whole: Whether every row was made: then the card is the published one.
    """
    # A name from the list is looked up among the existing files; it never becomes a path by itself.
    for name, path in hashed(index).files.items():
        if name in listed and not name.startswith("data/") and name not in METADATA_FILES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    card = (index / FULL / CARD).read_text(encoding="utf-8")
    write_text(folder / CARD, card if whole else _card_of_part(card, folder, sizes))
    here = hashed(folder).sha256
    write_text(folder / CHECKSUMS, checksum_lines(here))
    return {name: here.get(name) == sha256 for name, sha256 in listed.items()}


def _card_of_part(card: str, folder: Path, sizes: Mapping[str, tuple[int, int]]) -> str:
    """The card with metadata for the rebuilt rows; its text describes the whole dataset."""
    head = card_head(card)
    there = {(Path(name).parent.name, Path(name).name.partition("-")[0]) for name in sizes}
    head["configs"] = [_only(config, "data_files", "split", there) for config in head["configs"]]
    head["configs"] = [config for config in head["configs"] if config["data_files"]]
    head["dataset_info"] = [_only(info, "splits", "name", there) for info in head["dataset_info"]]
    head["dataset_info"] = [info for info in head["dataset_info"] if info["splits"]]
    for info in head["dataset_info"]:
        for split in info["splits"]:
            shards = [name for name in sizes if name.startswith(f"data/{info['config_name']}/{split['name']}-")]
            split["num_examples"] = sum(sizes[name][0] for name in shards)
            split["num_bytes"] = sum(sizes[name][1] for name in shards)
        shards = [name for name in sizes if name.startswith(f"data/{info['config_name']}/")]
        info["download_size"] = sum((folder / name).stat().st_size for name in shards)
        info["description"] = shards_content(folder, info["config_name"])
        info["dataset_size"] = sum(split["num_bytes"] for split in info["splits"])
    note = "\n> **A part of the dataset**, rebuilt from local clips: the figures below are those of the whole.\n"
    return with_head(card, head).replace("\n# MMA-Bench\n", f"\n# MMA-Bench\n{note}", 1)


def _only(config: Row, key: str, split: str, there: set[tuple[str, str]]) -> Row:
    return config | {key: [item for item in config[key] if (config["config_name"], item[split]) in there]}


def _report(
    found: Mapping[tuple[str, str], tuple[Path | None, Match]],
    rows: Mapping[str, Match],
    files: Mapping[str, bool] | None,
) -> Row:
    clips = {f"{clip} ({split})": kind for (split, clip), (_, kind) in found.items()}
    return {
        "clips": {
            "counts": dict(sorted(Counter(kind.kind for kind in clips.values()).items())),
            "by_id": {name: asdict(kind) for name, kind in sorted(clips.items())},
        },
        "rows": {
            "counts": dict(sorted(Counter(kind.kind for kind in rows.values()).items())),
            "by_id": {name: asdict(kind) for name, kind in sorted(rows.items())},
        },
        "files_identical": dict(files or {}),
    }


def _is_good(kind: Match) -> bool:
    return kind.kind in ("packets", "looks")
