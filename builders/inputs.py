"""Inputs: the files that params.yaml names are there, and their state is recorded for the stages that read them.

Out: `data/inputs/<stage>.json`, a record for each stage that reads files named in params.yaml. DVC knows only the paths
in dvc.yaml, so it runs this stage every time, and runs a stage whose record has changed: a clip was added to
`acquire.folder`, a manifest was edited, the reviews were exported again.

A file counts by its hash; a folder by the names, sizes and modification times of its files, as hashing a mirror would
take hours. If a folder or file is not there but its record is, as in a clone on another machine after `dvc pull`, the
record is kept: what was made from it is there.
"""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from mma_bench import layout
from mma_bench.builders.candidates import AUDIOSET
from mma_bench.builders.labels.manifests import LABEL_MAP
from mma_bench.config import OmniJudgeParams, Params
from mma_bench.errors import ConfigError
from mma_bench.files import file_sha256, write_json
from mma_bench.folders import path_below, walk
from mma_bench.tables import read_json

State: TypeAlias = dict[str, Any]

# What a build may make later, so that it may be missing now: the reviews of clips that are not judged yet.
_LATER: Final = ("verify.reviews",)
_LABELS: Final = "/labels"  # the class map beside a manifest, which few manifests have


def named_paths(params: Params) -> dict[str, dict[str, Path]]:
    """Stage → key of params.yaml → the file or folder that it names and the stage reads.

    Of `metadata` there is none, since AudioSet's files are checked by hash wherever they come from; it has a record so
    that it does not run before this stage.
    """
    acquire, verify = params.acquire, params.verify
    paths: dict[str, dict[str, str | None]] = {
        "metadata": {},
        "candidates": {
            key: path
            for name, manifest in params.candidates.manifests.items()
            for key, path in (
                (f"candidates.manifests.{name}", manifest),
                (f"candidates.manifests.{name}{_LABELS}", str(Path(manifest).parent / LABEL_MAP)),
            )
        },
        "acquire": {
            "acquire.folder": acquire.folder if {"folder", "clips"} & set(acquire.sources) else None,
            "acquire.shards": acquire.shards if "tar" in acquire.sources else None,
            "acquire.manifest": acquire.manifest,
            "acquire.licences": acquire.licences,
        },
        "judge": {"judge.model": params.judge.model if isinstance(params.judge, OmniJudgeParams) else None},
        "pair": {"pair.given": params.pair.given},
        "verify": {"verify.reviews": verify.reviews if "app" in verify.evidence else None},
    }
    # A judge's model is a file only if it is a YAML file of the user's own.
    return {
        stage: {
            key: Path(path)
            for key, path in named.items()
            if path is not None and (key != "judge.model" or path.endswith((".yaml", ".yml")))
        }
        for stage, named in paths.items()
    }


def state_of(path: Path) -> State | None:
    """The state of a file or folder; None if there is none."""
    if path.is_dir():
        return {"path": str(path), **_folder_state(path)}
    return {"path": str(path), "sha256": file_sha256(path)} if path.is_file() else None


def _folder_state(folder: Path) -> State:
    digest, count = hashlib.sha256(), 0
    for entry in walk(folder):
        try:
            if entry.is_dir():  # a link to a folder
                continue
            stat = entry.stat()
        except OSError:  # a link that leads nowhere, or a file that was removed meanwhile
            continue
        digest.update(os.fsencode(path_below(folder, entry)))
        digest.update(f"\0{stat.st_size} {stat.st_mtime_ns}\n".encode())
        count += 1
    return {"files": count, "names_sizes_times_sha256": digest.hexdigest()}


def record_of(named: Mapping[str, Path], before: Mapping[str, State | None]) -> dict[str, State | None]:
    """Key → state of what it names.

    Args:
        named: Key → path.
        before: The record so far.

    Raises:
        ConfigError: There is no such file or folder, and no record of it; names the key.
    """
    record: dict[str, State | None] = {}
    for key, path in named.items():
        state, known = state_of(path), before.get(key)
        if state is None and known is not None and known["path"] == str(path):
            print(f"inputs: {path} ({key}) is not here; what was made from it is kept", file=sys.stderr)
            state = known
        if state is None and key.endswith(_LABELS):
            continue
        if state is None and key not in _LATER:
            raise ConfigError(f"{key} names {str(path)!r}, which does not exist", hint="correct the key in params.yaml")
        record[key] = state
    return record


def check_subsets(params: Params) -> None:
    """Refuse a split that is built from a subset that no segment list can have.

    Raises:
        ConfigError: Names the subset.
    """
    for subset in params.subsets():
        manifests = [name for name in params.candidates.manifests if subset.startswith(f"{name}_")]
        if subset not in AUDIOSET and not manifests:
            there = [*AUDIOSET, *(f"{name}_<split>" for name in params.candidates.manifests)]
            raise ConfigError(
                f"acquire.splits names {subset!r}, which is neither AudioSet's nor of a manifest in "
                "candidates.manifests",
                hint=f"name any of: {', '.join(there)}",
            )


def main(params: Params) -> None:
    """Check, and write the records."""
    check_subsets(params)
    records = {}
    for stage, named in named_paths(params).items():
        path = layout.inputs(stage)
        records[path] = record_of(named, read_json(path) if path.is_file() else {})
    for path, record in records.items():
        write_json(path, record)
