"""The base clips that a run is restricted to (`evaluate --clips`)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mma_bench.csv_rows import CsvRow, Filled, read_rows, read_text
from mma_bench.errors import ConfigError
from mma_bench.files import fingerprint


@dataclass(frozen=True)
class Subset:
    """Which base clips a run is over, as recorded in run.json and in submissions.

    Attributes:
        digest: 16 hexadecimal digits, of the sorted ids.
        count: Their number.
    """

    digest: str
    count: int

    @classmethod
    def of(cls, clips: Iterable[str]) -> "Subset":
        """That of these base clips."""
        ids = sorted(set(clips))
        return cls(fingerprint(ids)[:16], len(ids))

    @classmethod
    def read(cls, run: Mapping[str, Any]) -> "Subset | None":
        """That of a run with this run.json; None for a run over all clips."""
        return cls(**run["clips"]) if "clips" in run else None

    def facts(self) -> dict[str, Any]:
        """As it is recorded, under the key `clips`."""
        return asdict(self)

    def __str__(self) -> str:
        return f"a subset of {self.count:,} base clip{'' if self.count == 1 else 's'} (digest {self.digest})"


class _Row(CsvRow):
    base_id: Filled
    subset: Literal["0", "1"]


def read_clips(path: Path) -> frozenset[str]:
    """The base clips that a file names: a table of `mma-bench clips` (rows with `subset` 1), or one id per line.

    A file is a table if its name ends in .csv or its first line has the column `base_id`.

    Raises:
        ConfigError: There is no such file, or it names no clips.
        DataError: It is not text, or a table without the columns `base_id` and `subset`; names the line.
    """
    hint = "pass the CSV file of `mma-bench clips`, or a text file with one base clip id per line"
    if not path.exists():
        raise ConfigError(f"{path} does not exist", hint=hint)
    lines = read_text(path, hint).splitlines()
    if path.suffix.lower() == ".csv" or "base_id" in _cells(lines[0] if lines else ""):
        clips = frozenset(row.base_id for row in read_rows(path, _Row, hint=hint) if row.subset == "1")
        hint = "`subset` is 1 in no row: lower `mma-bench clips --certainty`, or give it more runs"
    else:
        clips = frozenset(line.strip() for line in lines if line.strip())
    if not clips:
        raise ConfigError(f"{path} names no clips", hint=hint)
    return clips


def _cells(line: str) -> list[str]:
    """The cells of a line, whichever delimiter a spreadsheet used."""
    return [cell.strip(' "') for cell in line.replace(";", ",").replace("\t", ",").split(",")]
