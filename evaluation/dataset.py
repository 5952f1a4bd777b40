"""Reads the benchmark as any user would, through `datasets`, one row at a time, without decoding the video."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from mma_bench.errors import ConfigError, DataError, InvalidInput
from mma_bench.evaluation import other_clip
from mma_bench.evaluation.conditions import CONFIGS, Variant, as_asked, question_of
from mma_bench.media.packets import Kind, packet_sha256
from mma_bench.schema import MODALITIES, Condition, Modality

Row: TypeAlias = dict[str, Any]  # one row of the dataset; `video` is {"bytes": …, "path": …}

# Columns covered by the fingerprint: everything that a model sees or that scoring uses.
_FINGERPRINTED = (
    "id",
    "condition",
    "visual_answer",
    "audio_answer",
    "visual_question",
    "audio_question",
    "context_seed",
    "video_sha256",
    "audio_sha256",
)

# Columns that only some prompts need; older datasets lack them.
_PROMPT_COLUMNS = ("context", "visual_question_short_answer", "audio_question_short_answer")
# Conditions whose prompts are more than the columns above.
_COMPOSED = (Condition.LONG_CONTEXT, *Variant)

_KINDS: Final[tuple[Kind, ...]] = ("video", "audio")
# Further columns that evaluation reads.
_NEEDED = (*_FINGERPRINTED, "base_id", "donor_id", "visual_class", "audio_class", "caption", "options", "video")


class Benchmark:
    """One split of the dataset.

    Args:
        name: A folder written by `mma-bench build package`, or a dataset ID on the Hub.
        revision: Tag or commit on the Hub; a directory has none.
        split: `test` or `train`.
        limit: At most this many base clips, the first by id, the same in every condition.
        clips: Only rows of these base clips; None for all.
        checked: Whether each clip that is read is compared with the hashes that its row declares.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        split: str = "test",
        limit: int | None = None,
        clips: frozenset[str] | None = None,
        checked: bool = False,
    ) -> None:
        if revision is not None and Path(name).is_dir():
            raise ConfigError(f"{name} is a folder; --revision applies to datasets on the Hub", hint="drop --revision")
        if "/" not in name and not Path(name).is_dir():
            raise ConfigError(
                f"{name!r} is not a directory", hint="run `dvc repro` first, or pass a Hub dataset as ORG/NAME"
            )
        self.name, self.revision, self.split, self.limit, self.checked = name, revision, split, limit, checked
        self.clips = clips
        self._others: dict[str, Mapping[str, Any]] | None = None

    def conditions(self) -> list[str]:
        """The conditions in this split, in the paper's order, without variants."""
        import datasets

        with _reading(self.name):
            configs = datasets.get_dataset_config_names(self.name, revision=self.revision)
        return [str(condition) for condition in Condition if condition in configs and self._has_split(condition)]

    def _has_split(self, condition: str) -> bool:
        import datasets

        with _reading(self.name):
            return self.split in datasets.get_dataset_split_names(self.name, condition, revision=self.revision)

    def rows(
        self, condition: str, columns: Sequence[str] | None = None, *, every: int = 1, start: int = 0
    ) -> Iterator[Row]:
        """Rows of one condition, ordered by id, with all or some columns; streamed in constant memory.

        Args:
            condition: One of `conditions`, or a variant, which has the rows of another condition; under `other_clip`
                with another clip, its hashes, and its id as that of the donor.
            columns: None for all.
            every: Only each `every`-th row, from the row `start`.
        """
        if condition == Variant.OTHER_CLIP and (columns is None or "video" in columns):
            yield from self._with_other_clips(list(self.rows(condition, self._all_texts(), every=every, start=start)))
            return
        chosen = None if self.clips is None else [("base_id", "in", sorted(self.clips))]
        stream = self._stream(condition, columns=list(columns) if columns else None, filters=chosen)
        others = self._other_clips() if condition == Variant.OTHER_CLIP else {}
        kept: set[str] = set()
        index = -1
        for each in stream:
            row = as_asked(each, condition)
            if self.limit is not None and row["base_id"] not in kept:
                if len(kept) == self.limit:
                    continue
                kept.add(row["base_id"])
            index += 1
            if index % every != start:
                continue
            if others:
                row = other_clip.with_clip_of(row, others[row["base_id"]])
            if self.checked and "video" in row:
                refuse_altered(row, f"{self.name}, {condition}")
            yield row

    def require_clips(self, conditions: Sequence[str]) -> None:
        """Check that the `clips` are in the dataset.

        Raises:
            ConfigError: One is not under one of the conditions; names both.
        """
        for condition in conditions if self.clips is not None else ():
            there = {row["base_id"] for row in self._stream(condition, columns=["base_id"])}
            if absent := sorted((self.clips or frozenset()) - there):
                more = f", and {len(absent) - 1:,} more of --clips" if absent[1:] else ""
                raise ConfigError(
                    f"{self.name}, {condition}: no base clip {absent[0]!r} in split {self.split}{more}",
                    hint="pass base clip ids of this dataset and split (its column `base_id`)",
                )

    def texts(self, condition: str) -> Iterator[Row]:
        """Rows of one condition without their clips."""
        yield from self.rows(condition, columns=self._all_texts(condition))

    def _all_texts(self, condition: str = Condition.ALIGNED) -> list[str]:
        """All columns but the clip."""
        return [column for column in next(self._stream(condition), {}) if column != "video"]

    def _other_clips(self) -> dict[str, Mapping[str, Any]]:
        """The row whose clip is shown for each base clip under `other_clip`, chosen from the whole split."""
        if self._others is None:
            self._others = other_clip.other_clips(list(self._stream(Condition.ALIGNED, columns=[*other_clip.COLUMNS])))
        return self._others

    def _with_other_clips(self, rows: Sequence[Row]) -> Iterator[Row]:
        """The rows with the clips of their donors, kept on disk, since they are anywhere in the dataset."""
        files: dict[str, Path] = {}
        wanted = {row["donor_id"] for row in rows}
        with tempfile.TemporaryDirectory(prefix="mma-bench-") as folder:
            for each in self._stream(Condition.ALIGNED, columns=None):
                if each["base_id"] in wanted:
                    files[each["base_id"]] = Path(folder) / f"{len(files)}.mp4"
                    files[each["base_id"]].write_bytes(each["video"]["bytes"])
            for row in rows:
                shown = {**row, "video": {"bytes": files[row["donor_id"]].read_bytes(), "path": None}}
                if self.checked:
                    refuse_altered(shown, f"{self.name}, {row['condition']}")
                yield shown

    def row(self, condition: str, base_id: str, row_id: str) -> Row:
        """One row with all columns, found by its base clip without reading the others' media.

        Raises:
            DataError: There is no such row, or its clip is not what it declares, if that is `checked`.
        """
        for each in self._stream(condition, filters=[("base_id", "==", base_id)]):
            row = as_asked(each, condition)
            if row["id"] == row_id:
                if self.checked:
                    refuse_altered(row, f"{self.name}, {condition}")
                return row
        raise DataError(f"{self.name}, {condition}: no row {row_id}", hint="the dataset has changed: start again")

    def fingerprint(self, condition: str) -> str:
        """SHA-256 over all rows of a condition, so that predictions on different data are never mixed."""
        digest = hashlib.sha256()
        composed = condition in _COMPOSED
        columns = [*_FINGERPRINTED, *(self._there(condition, _PROMPT_COLUMNS) if composed else ())]
        others = self._other_clips() if condition == Variant.OTHER_CLIP else {}
        for each in self._stream(condition, columns=[*columns, "base_id"] if composed else columns):
            row = as_asked(each, condition)
            if others:
                row = other_clip.with_clip_of(row, others[row["base_id"]])
            values = [row[column] for column in _FINGERPRINTED]
            if composed:
                values += [question_of(row, question) for question in MODALITIES]
            digest.update(json.dumps(values, ensure_ascii=False).encode())
        return digest.hexdigest()

    def _there(self, condition: str, columns: Sequence[str]) -> list[str]:
        """Those of the columns that the dataset has."""
        first = next(self._stream(condition), {})
        return [column for column in columns if column in first]

    def answers(self, condition: str) -> dict[Modality, dict[str, int]]:
        """How often each class is right, by queried modality; over the whole split, whatever the limit and clips."""
        columns: dict[Modality, str] = {question: f"{question}_answer" for question in MODALITIES}
        counts: dict[Modality, Counter[str]] = {question: Counter() for question in columns}
        for row in self._stream(condition, columns=list(columns.values())):
            for question, column in columns.items():
                counts[question][row[column]] += 1
        return {question: dict(counted) for question, counted in counts.items()}

    def judges(self) -> list[str]:
        """The judges that selected the clips, over the whole split; empty if the dataset does not name them."""
        # The first is aligned, if it is there; all conditions are made from the same clips.
        condition = next(iter(self.conditions()), None)
        if condition is None or not self._there(condition, ["judge"]):
            return []
        return sorted({row["judge"] for row in self._stream(condition, columns=["judge"]) if row["judge"]})

    def _stream(
        self, condition: str, columns: list[str] | None = None, filters: list[tuple[str, str, Any]] | None = None
    ) -> Iterator[Row]:
        import datasets

        options: dict[str, Any] = {"columns": columns, **({} if filters is None else {"filters": filters})}
        with _reading(self.name):
            stream = datasets.load_dataset(
                self.name, CONFIGS[condition], split=self.split, revision=self.revision, streaming=True, **options
            )
            yield from stream if columns else stream.cast_column("video", datasets.Video(decode=False))


def refuse_altered(row: Row, where: str) -> None:
    """Compare the packets of a row's clip with the hashes that the row declares.

    Args:
        row: With `id`, `video`, `video_sha256` and `audio_sha256`.
        where: The dataset and the condition, for messages.

    Raises:
        DataError: They differ, or the bytes are not a clip.
    """
    with tempfile.NamedTemporaryFile(prefix="mma-bench-", suffix=".mp4") as file:
        file.write(row["video"]["bytes"])
        file.flush()
        for kind in _KINDS:
            try:
                found = packet_sha256(Path(file.name), kind)
            except InvalidInput as error:
                found = error.reason
            if found != row[f"{kind}_sha256"]:
                raise DataError(
                    f"{where}: {row['id']} is not the clip that its row describes: its {kind}_sha256 is {found}, "
                    f"declared is {row[f'{kind}_sha256']}",
                    hint="fetch or build the dataset again, or pass --unchecked to ask about the bytes as they are",
                )


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Errors of `datasets` and of the network become one that names the dataset."""
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    try:
        yield
    except (DatasetsError, ArrowException, OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:500] or type(error).__name__
        raise DataError(
            f"the dataset {name} cannot be read: {said}",
            hint="check its name, the network and, if it is private, HF_TOKEN; `dvc repro` builds a local one",
        ) from error


def load_benchmark(
    name: str = "mma-bench", *, split: str = "test", revision: str | None = None, limit: int | None = None
) -> Benchmark:
    """Open one split and check that it is a split of this benchmark.

    Args:
        name: As in `Benchmark`, like the other arguments.

    Raises:
        ConfigError: The folder does not exist, or a revision was given for a folder.
        DataError: No condition has the split, or its rows lack a required column.
    """
    benchmark = Benchmark(name, revision=revision, split=split, limit=limit)
    conditions = benchmark.conditions()
    if not conditions:
        raise DataError(f"{name} has no split {split!r} in any condition", hint="pass a dataset built by `dvc repro`")
    row = next(iter(benchmark.rows(conditions[0])), {})
    if missing := [column for column in _NEEDED if column not in row]:
        raise DataError(f"{name}, {conditions[0]}: no column {missing[0]!r}", hint="rebuild it with `dvc repro`")
    return benchmark
