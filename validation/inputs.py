"""Reads a gate's inputs and records the hash of every file, so that its result is tied to exact bytes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.files import file_sha256
from mma_bench.schema import Schema
from mma_bench.tables import read_json, read_parts, read_table
from mma_bench.validation.hashes import file_hashes


class Inputs:
    """Reads files of the project and records their SHA-256 by path.

    Attributes:
        sha256: Path as given → 64 hex digits, in the order of reading.
    """

    def __init__(self) -> None:
        self.sha256: dict[str, str] = {}

    def table(self, path: Path, schema: Schema) -> pl.DataFrame:
        """Read a table.

        Raises:
            DataError: See `mma_bench.tables.read_table`.
        """
        table = read_table(path, schema)
        self.note(path)
        return table

    def parts(self, path: Path, schema: Schema, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Read some columns of a table part by part.

        Raises:
            DataError: See `mma_bench.tables.read_parts`.
        """
        yield from read_parts(path, schema, columns)
        self.note(path)

    def json(self, path: Path) -> Any:
        """Read a JSON file.

        Raises:
            DataError: See `mma_bench.tables.read_json`.
        """
        value = read_json(path)
        self.note(path)
        return value

    def note_all(self, paths: Sequence[Path], gate: str, params: Params) -> dict[Path, str]:
        """Record and return the hashes of files that the caller reads itself; of many, by the executor's workers.

        Raises:
            DataError: A file is missing.
        """
        hashes = file_hashes(paths, workers=params.workers, title=gate, ray=params.on_ray())
        noted: dict[Path, str] = {}
        for path, sha256 in zip(paths, hashes, strict=True):
            if sha256 is None:
                raise _missing(path)
            noted[path] = self.sha256[path.as_posix()] = sha256
        return noted

    def note(self, path: Path) -> Path:
        """Record the hash of a file that the caller reads itself, and return its path.

        Raises:
            DataError: The file is missing.
        """
        if not path.is_file():
            raise _missing(path)
        self.sha256[path.as_posix()] = file_sha256(path)
        return path


def _missing(path: Path) -> DataError:
    return DataError(f"{path} does not exist", hint="run `dvc repro`, or the stage that writes it (see dvc.yaml)")
