"""Copies a finished dataset to any fsspec target: `s3://`, `gs://`, `hf://`, `file://`, a path.

In: the folder that `package` made. Out: the same files under the target. The list of checksums is written last, so a
    reader who finds it finds a complete dataset; while files change it is absent. An interrupted copy resumes: files
    listed with the same hash in the target's list, or in the copy's own record next to it, are not sent again.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from mma_bench.builders.package import CHECKSUMS
from mma_bench.builders.publish.contents import read_checksums
from mma_bench.errors import ConfigError, DataError, StageError
from mma_bench.files import file_sha256
from mma_bench.progress import Progress
from mma_bench.redact import redacted

SENT: Final = ".sent.json"  # next to the files during a copy: path → SHA-256 of the files sent
_HASHES: Final = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Copied:
    """The result of a copy.

    Attributes:
        sent: Files that were sent.
        kept: Files that were already there.
        bytes: Total size of the sent files.
    """

    sent: int
    kept: int
    bytes: int


def copy(folder: Path, target: str) -> Copied:
    """Copy the dataset in `folder` to `target`; other files in the target are kept.

    Raises:
        ConfigError: fsspec does not support the target's protocol, or its client is not installed.
        DataError: `folder` holds no complete dataset.
        StageError: Writing to the target failed.
    """
    import fsspec

    if not (folder / CHECKSUMS).is_file():
        raise DataError(f"{folder} holds no dataset: {CHECKSUMS} is missing", hint="run `dvc repro package`")
    wanted = read_checksums((folder / CHECKSUMS).read_bytes(), folder / CHECKSUMS)
    for name, sha256 in wanted.items():
        if not (folder / name).is_file() or file_sha256(folder / name) != sha256:
            raise DataError(f"{folder / name} is missing or does not match {CHECKSUMS}", hint="run `dvc repro package`")
    try:
        system, root = fsspec.core.url_to_fs(target)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"{target}: {error}", hint="install the client of that protocol (s3: pip install s3fs; gs: gcsfs)"
        ) from None
    try:
        return _copy(folder, wanted, system, root.rstrip("/"))
    except OSError as error:
        raise StageError(f"cannot write to {target}: {error}", hint="run the same command again to resume") from None


def _copy(folder: Path, wanted: Mapping[str, str], system: Any, root: str) -> Copied:
    there = _present(system, root)
    due = [name for name in wanted if there.get(name) != wanted[name]]
    final = f"{root}/{CHECKSUMS}"
    if not due and system.exists(final) and system.cat_file(final) == (folder / CHECKSUMS).read_bytes():
        return Copied(0, len(wanted), 0)
    arrived = {name: wanted[name] for name in wanted if name not in due}
    system.makedirs(root, exist_ok=True)
    system.pipe_file(f"{root}/{SENT}", json.dumps(arrived).encode())
    if system.exists(final):
        system.rm_file(final)
    size = 0
    with Progress("copy", len(due), "file") as progress:
        for name in due:
            path = f"{root}/{name}"
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            system.put_file(str(folder / name), path)
            length = (folder / name).stat().st_size
            if system.size(path) != length:
                raise OSError(f"{path} has {system.size(path)} bytes, {length} were sent")
            arrived[name] = wanted[name]
            system.pipe_file(f"{root}/{SENT}", json.dumps(arrived).encode())
            size += length
            progress.advance()
    system.put_file(str(folder / CHECKSUMS), final)
    system.rm_file(f"{root}/{SENT}")
    return Copied(len(due), len(wanted) - len(due), size)


def _present(system: Any, root: str) -> dict[str, str]:
    """The target's existing files that its list, or the record of an unfinished copy, contains."""
    system.invalidate_cache()
    if system.exists(f"{root}/{SENT}"):
        try:
            said = _HASHES.validate_json(system.cat_file(f"{root}/{SENT}"))
        except ValidationError:  # cut off by a kill
            system.mv(f"{root}/{SENT}", f"{root}/{SENT}.damaged")
            print(
                f"{redacted(root)}/{SENT} is damaged and was renamed to {SENT}.damaged: all files are sent again",
                file=sys.stderr,
            )
            return {}
    elif system.exists(f"{root}/{CHECKSUMS}"):
        said = read_checksums(system.cat_file(f"{root}/{CHECKSUMS}"), f"{root}/{CHECKSUMS}")
    else:
        return {}
    return {name: sha256 for name, sha256 in said.items() if system.exists(f"{root}/{name}")}
