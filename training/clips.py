"""The clips that examples refer to: rows of the dataset's train split by id, through `load_dataset`.

Random access needs `datasets`' cache on disk, which can silently hold an older dataset of the same name. So ids and
media hashes are also read from the dataset's own files, and a cache that differs is rebuilt.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import polars as pl

from mma_bench.errors import DataError
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.files import fingerprint
from mma_bench.models.contracts import ClipTask

Facts: TypeAlias = list[tuple[str, str, str]]

_FACTS: Final = ("id", "video_sha256", "audio_sha256")


class TrainClips:
    """Random access to clips, memory-mapped.

    Args:
        dataset: A folder that `mma-bench build package` wrote, or a name on the Hub.
        revision: Tag or commit on the Hub.
        wanted: Rows of the SFT table: columns `id` and `condition`.

    Raises:
        ConfigError: There is no such dataset, or a revision is given for a folder.
        DataError: The dataset lacks a clip that the SFT table names.
    """

    def __init__(self, dataset: str, revision: str | None, wanted: pl.DataFrame) -> None:
        benchmark = Benchmark(dataset, revision=revision, split="train")
        self._rows: dict[str, Any] = {}
        self._places: dict[str, tuple[str, int]] = {}
        self._facts: Facts = []
        for (condition,), part in wanted.group_by("condition", maintain_order=True):
            name = str(condition)
            self._rows[name], facts = _load(benchmark, name)
            there = {fact[0]: index for index, fact in enumerate(facts)}
            for row_id in part["id"].unique(maintain_order=True):
                if row_id not in there:
                    raise DataError(
                        f"{dataset} has no clip {row_id} ({name}, train), which the SFT data refer to",
                        hint="give the dataset that the SFT data were made from, or run `mma-bench sft` again",
                    )
                self._places[row_id] = (name, there[row_id])
                self._facts.append(facts[there[row_id]])

    def fingerprint(self) -> str:
        """SHA-256 over the ids and media hashes of the wanted clips."""
        return fingerprint(sorted(self._facts))

    def ids(self) -> Iterable[str]:
        """The ids of the wanted clips."""
        return self._places.keys()

    def task(self, row_id: str) -> ClipTask:
        """One clip, without prompts."""
        condition, index = self._places[row_id]
        row: Mapping[str, Any] = self._rows[condition][index]
        return ClipTask(row_id, row["video"]["bytes"], condition, row["visual_class"], row["audio_class"], ())


def _load(benchmark: Benchmark, condition: str) -> tuple[Any, Facts]:
    """The rows of a condition from the cache, and the facts of each from the dataset itself."""
    import datasets

    if condition not in benchmark.conditions():
        raise DataError(
            f"{benchmark.name} has no train split of {condition!r}",
            hint="give the dataset that the SFT data were made from",
        )
    try:
        facts = [_facts(row) for row in benchmark.rows(condition, _FACTS)]
        for mode in ("reuse_dataset_if_exists", "force_redownload"):
            rows = datasets.load_dataset(
                benchmark.name, condition, split="train", revision=benchmark.revision, download_mode=mode
            )
            if [_facts(row) for row in rows.select_columns(list(_FACTS))] == facts:
                return rows.cast_column("video", datasets.Video(decode=False)), facts
    except (ValueError, FileNotFoundError) as error:
        raise DataError(
            f"{benchmark.name} has no train split of {condition!r}: {str(error).splitlines()[0]}",
            hint="give the dataset that the SFT data were made from",
        ) from None
    raise DataError(f"{benchmark.name} changed while it was being read", hint="try again when its build has finished")


def _facts(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["id"], row["video_sha256"], row["audio_sha256"]
