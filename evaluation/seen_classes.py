"""The file of the classes that a model was tuned on (`--seen-classes`, appendix H)."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mma_bench.csv_rows import read_text
from mma_bench.errors import ConfigError
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.names import choose


def read_seen_classes(path: Path | None, known: Callable[[], Iterable[str]] = tuple) -> frozenset[str]:
    """Classes from a text file, one per line; empty without a file.

    Args:
        path: The file.
        known: The classes of the data, which may be other than the benchmark's own; called if one is none of these.

    Raises:
        ConfigError: There is no such file, it names no class, or one that does not exist; names all of these.
        DataError: It is not text.
    """
    if path is None:
        return frozenset()
    if not path.is_file():
        raise ConfigError(f"{path} does not exist", hint="pass a text file with one class per line")
    classes = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not classes:
        raise ConfigError(f"{path} names no class", hint="write one class per line, or leave the option out")
    unknown = [name for name in classes if name not in SYNONYMS]
    if unknown:
        there = sorted({*SYNONYMS, *known()})
        unknown = [name for name in unknown if name not in there]
    if unknown:
        what = "are no classes" if unknown[1:] else "is no class"
        raise ConfigError(
            f"{path}: {', '.join(map(repr, unknown))} {what} of the dataset",
            hint=choose(unknown[0], there, "the classes are"),
        )
    return frozenset(classes)


def classes_of(predictions: Sequence[Prediction]) -> set[str]:
    """The classes that a run's prompts name."""
    return {name for row in predictions for name in (*row.options, row.visual_class, row.audio_class)}


def classes_in(benchmark: Benchmark) -> set[str]:
    """The classes that a dataset's prompts list."""
    condition = next(iter(benchmark.conditions()), None)
    if condition is None:
        return set()
    return {name for row in benchmark.rows(condition, columns=("base_id", "options")) for name in row["options"]}
