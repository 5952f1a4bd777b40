"""Iterates over a condition's clips: a clip's tables are renamed into place, then its ledger entry is appended.

Unlike `evaluation.asking`, which appends one entry per answer, this appends one entry per clip, since a clip's tables
hold all its questions.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench.errors import InvalidInput
from mma_bench.evaluation.attention.knockout import Effect, layer_ranges
from mma_bench.evaluation.attention.observe import Observation, Observer
from mma_bench.evaluation.attention.schema import ASKED, ATTENTION, ATTENTION_KEY, TOKENS, TOKENS_KEY
from mma_bench.evaluation.conditions import hears
from mma_bench.evaluation.dataset import Benchmark, Row
from mma_bench.evaluation.parse import parse
from mma_bench.evaluation.protocols import QUESTIONS, Protocol, Sampling, expected, prompts_of
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.files import clip_path
from mma_bench.models.ahead import ahead
from mma_bench.models.contracts import ClipTask, Prompt
from mma_bench.models.omni.engine import OmniEngine, PreparedClip
from mma_bench.models.omni.inputs import PromptInputs
from mma_bench.models.omni.memory import or_none
from mma_bench.models.omni.prefix import Prefix
from mma_bench.progress import Progress
from mma_bench.schema import Modality, Schema
from mma_bench.tables import write_table


class Walk:
    """One engine in one state.

    Args:
        state: `before` or `after`.
        engine: An open engine, owned by the caller.
        benchmark: The dataset.
        parts: The folder of the clips' tables.
        ranges: Number of layer ranges for the knockout, besides all layers at once; 0 skips it.
        shown: Base clips that keep the last layer's weights by token.
    """

    def __init__(
        self, state: str, engine: OmniEngine, benchmark: Benchmark, parts: Path, *, ranges: int, shown: frozenset[str]
    ) -> None:
        self._state, self._engine, self._benchmark, self._parts = state, engine, benchmark, parts
        self._shown = shown
        self.observer = Observer(engine)
        self._ranges = layer_ranges(self.observer.layers, ranges) if ranges else []

    def condition(self, condition: str, due: frozenset[str], ledger: Ledger) -> None:
        """Observe the rows of a condition whose ids are in `due`."""

        def tasks() -> Iterator[tuple[Row, ClipTask]]:
            for row in self._benchmark.rows(condition):
                if row["id"] in due:
                    yield row, _task(row)

        def prepared(item: tuple[Row, ClipTask]) -> tuple[Row, PreparedClip]:
            return item[0], self._engine.prepare(item[1])

        with Progress(f"{self._engine.name}, {self._state}, {condition}", len(due)) as progress:
            for row, clip in ahead(prepared, tasks()):
                ledger.append(self._clip(row, clip))
                progress.advance()

    def _clip(self, row: Row, prepared: PreparedClip) -> Entry:
        """Observe one clip, write its tables, and return its ledger entry."""
        entry: Entry = {
            "key": f"{self._state}/{row['id']}",
            "state": self._state,
            "clip": row["id"],
            "base": row["base_id"],
            "condition": row["condition"],
        }
        seen = self._observations(row, prepared)
        if isinstance(seen, str):
            return {**entry, "status": "failed", "error": seen, "answers": _answers(row, {}), "knockout": []}
        asked = {question: {**{key: entry[key] for key in ASKED[:-1]}, "question": question} for question in seen}
        attention = [_with(seen[question].attention, asked[question], ATTENTION) for question in seen]
        write_table(pl.concat(attention), part(self._parts, self._state, row["id"]), ATTENTION, ATTENTION_KEY)
        if row["base_id"] in self._shown:
            tokens = [_with(seen[question].tokens, asked[question], TOKENS) for question in seen]
            path = part(self._parts, self._state, row["id"], ".tokens.parquet")
            write_table(pl.concat(tokens), path, TOKENS, TOKENS_KEY)
        knockout = [_line(question, effect) for question in seen for effect in seen[question].effects]
        return {**entry, "status": "ok", "error": "", "answers": _answers(row, seen), "knockout": knockout}

    def _observations(self, row: Row, prepared: PreparedClip) -> dict[Modality, Observation] | str:
        """The observations of both questions, or the reason for the failure."""
        clip = prepared.clip
        if isinstance(clip, InvalidInput):
            return str(clip)
        why = f"out of memory with {clip.video_tokens} video tokens; hint: lower max_pixels, max_frames or fps"
        head = or_none(lambda: self.observer.read_clip(clip))
        if head is None:
            return why
        seen: dict[Modality, Observation] = {}
        for question, prompt, inputs in zip(QUESTIONS, prepared.task.prompts, prepared.prompts, strict=True):
            if isinstance(inputs, InvalidInput):
                return str(inputs)
            length = len(head.ids) + len(inputs.ids) + prompt.max_new_tokens
            if length > self.observer.most_tokens:
                return (
                    f"prompt and answer take up to {length} tokens, the model's context has {self.observer.most_tokens}"
                )
            observed = self._observation(row, question, head, prompt, inputs)
            if observed is None:
                return why
            seen[question] = observed
        return seen

    def _observation(
        self, row: Row, question: Modality, head: Prefix, prompt: Prompt, inputs: PromptInputs
    ) -> Observation | None:
        right = expected(Protocol.FORCED_CHOICE, row, question)
        other = str(row["audio_class" if question == "visual" else "visual_class"])
        targets = {"expected": right} | ({} if other == right else {"other": other})
        shown = row["base_id"] in self._shown
        return or_none(
            lambda: self.observer.observe(head, prompt, inputs, targets=targets, ranges=self._ranges, rows=shown)
        )


def part(parts: Path, state: str, clip: str, suffix: str = ".parquet") -> Path:
    """The path of a clip's table.

    Raises:
        InvalidInput: The dataset's id would escape the folder.
    """
    return clip_path(parts / state, clip, suffix)


def _task(row: Row) -> ClipTask:
    return ClipTask(
        id=row["id"],
        video=row["video"]["bytes"],
        condition=row["condition"],
        visual_class=row["visual_class"],
        audio_class=row["audio_class"],
        prompts=tuple(prompts_of(row, (Protocol.FORCED_CHOICE,), Sampling())),
        hears=hears(row["condition"]),
    )


def _with(table: pl.DataFrame, asked: Mapping[str, str], schema: Schema) -> pl.DataFrame:
    return table.select(
        (pl.lit(asked[name], dtype=dtype) if name in asked else pl.col(name)).alias(name)
        for name, dtype in schema.items()
    )


def _line(question: Modality, effect: Effect) -> dict[str, Any]:
    return {
        "question": question,
        "modality": effect.modality,
        "first_layer": effect.layers.first,
        "last_layer": effect.layers.last,
        "target": effect.target,
        "intact": effect.intact,
        "cut": effect.cut,
    }


def _answers(row: Row, seen: Mapping[Modality, Observation]) -> list[dict[str, Any]]:
    """One row per question: the given and the correct answer."""
    answers = []
    for question in QUESTIONS:
        text = seen[question].answer if question in seen else ""
        answers.append(
            {
                "question": question,
                "answer": text,
                "named": parse(text, row["options"], SYNONYMS),
                "expected": expected(Protocol.FORCED_CHOICE, row, question),
                "options": len(row["options"]),
            }
        )
    return answers
