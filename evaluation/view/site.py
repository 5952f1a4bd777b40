"""The files of the browser: made one by one as they are asked for, or all at once into a folder.

`index.html` loads `rows.js`, which has every clip under every condition, and for the clip that is looked at
`details/<number>.js` and `media/<name>.mp4`. Data are scripts, since a page that is opened from a folder may load
scripts but no other files.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.view.details import details
from mma_bench.evaluation.view.rows import Record, Run, clips, listed_conditions, media_name
from mma_bench.files import atomic_path, write_text
from mma_bench.page import render
from mma_bench.progress import Progress

_PACKAGE: Final = "mma_bench.evaluation.view"
_STATIC: Final = Path(__file__).parent / "static"
FIXED: Final = ("index.html", "view.css", "view.js", "rows.js")


class Site:
    """The browser's files about a dataset and runs.

    Args:
        benchmark: The dataset.
        runs: Made on it.

    Raises:
        ConfigError: A run was made on other data.
    """

    def __init__(self, benchmark: Benchmark, runs: Sequence[Run]) -> None:
        self.benchmark, self.runs = benchmark, runs
        self.rows: list[Record] = [
            record for condition in listed_conditions(benchmark, runs) for record in clips(benchmark, condition, runs)
        ]
        self._media = {row["media"]: row for row in reversed(self.rows)}

    def make(self, name: str, folder: Path) -> Path | None:
        """Write a file below `folder`, unless it is there.

        Args:
            name: Its path, e.g. `media/….mp4`.

        Returns:
            Where it is; None if the browser has no such file.
        """
        kind, _, rest = name.partition("/")
        number = rest.removesuffix(".js")
        if name in FIXED:
            return self._fixed(name, folder)
        if kind == "details" and number.isascii() and number.isdigit() and int(number) < len(self.rows):
            record = self.rows[int(number)]
            return self._details(int(number), self._row(record), folder)
        if kind == "media" and rest in self._media:
            path = folder / name
            return path if path.is_file() else self._clip(self._row(self._media[rest]), folder)
        return None

    def write(self, folder: Path) -> None:
        """Write all files; reads each condition once."""
        for name in FIXED:
            self._fixed(name, folder)
        numbers = {row["id"]: number for number, row in enumerate(self.rows)}
        with Progress("view", len(self.rows)) as progress:
            for condition in dict.fromkeys(row["condition"] for row in self.rows):
                for row in self.benchmark.rows(condition):
                    self._clip(row, folder)
                    self._details(numbers[row["id"]], row, folder)
                    progress.advance()

    def _fixed(self, name: str, folder: Path) -> Path:
        path = folder / name
        if name == "index.html":
            found: dict[str, Any] = {"dataset": self.benchmark.name, "split": self.benchmark.split, "runs": self.runs}
            write_text(path, render(name, _PACKAGE, title="Clips and answers", **found))
        elif name == "view.css":
            write_text(path, render(name, _PACKAGE, title=""))
        elif name == "rows.js":
            runs = [{"name": run.name, "folder": str(run.folder)} for run in self.runs]
            write_text(path, _script("rows", {"runs": runs, "rows": self.rows}))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_STATIC / name, path)
        return path

    def _details(self, number: int, row: Mapping[str, Any], folder: Path) -> Path:
        path = folder / "details" / f"{number}.js"
        write_text(path, _script("details", {"number": number, **details(row, self.runs)}))
        return path

    def _clip(self, row: Mapping[str, Any], folder: Path) -> Path:
        path = folder / "media" / media_name(row)
        if not path.is_file():
            with atomic_path(path) as staged:
                staged.write_bytes(row["video"]["bytes"])
        return path

    def _row(self, record: Record) -> dict[str, Any]:
        return self.benchmark.row(record["condition"], record["base_id"], record["id"])


def _script(function: str, record: Record) -> str:
    """A call of one of the page's functions; ASCII, so that no character ends a line or the script."""
    return f"view.{function}({json.dumps(record, ensure_ascii=True, allow_nan=False)});\n"
