"""Observes both questions on a sample of clips; a run that is killed and restarted repeats no finished clip.

In: engines by state and the dataset. Out, in one folder: `run.json`, `clips.jsonl` (one line per clip and state,
fsynced), `parts/` (the tables of each clip), and, merged from these, `attention.parquet`, `tokens.parquet`,
`knockout.parquet` and `answers.parquet`, the source of every figure; and `donors.parquet`, for clustering.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench.errors import DataError, InvalidInput, MmaBenchError
from mma_bench.evaluation.asking import claim, identity
from mma_bench.evaluation.attention.schema import (
    ANSWERS,
    ASKED,
    ATTENTION,
    ATTENTION_KEY,
    DONORS,
    KNOCKOUT,
    KNOCKOUT_KEY,
    TOKENS,
    TOKENS_KEY,
)
from mma_bench.evaluation.attention.walk import Walk, part
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.models.omni.engine import OmniEngine
from mma_bench.models.omni.load import Located
from mma_bench.prompts import PROMPT_VERSION
from mma_bench.schema import Schema
from mma_bench.tables import from_rows, write_table


@dataclass(frozen=True)
class Study:
    """What to observe.

    Attributes:
        conditions: The dataset's configs.
        clips: Number of base clips, the same clips in every condition.
        seed: Sampling seed; a larger sample contains the smaller ones of the same seed.
        ranges: Number of layer ranges for the knockout, besides all layers at once; 0 skips it.
        shown: Number of clips that keep the last layer's weights by token.
    """

    conditions: tuple[str, ...]
    clips: int = 100
    seed: int = 0
    ranges: int = 4
    shown: int = 1


def drawn(bases: Mapping[str, set[str]], study: Study) -> list[str]:
    """The sampled base clips, out of those in every condition, in a random order determined by the seed.

    Args:
        bases: Base clips by condition.
        study: Number of clips and seed.

    Raises:
        DataError: No base clip exists in all conditions.
    """
    common = set.intersection(*bases.values())
    if not common:
        raise DataError(
            f"no base clip exists in all of: {', '.join(bases)}", hint="build the dataset, or choose other conditions"
        )
    order = sorted(common, key=lambda base: hashlib.sha256(f"{study.seed} {base}".encode()).digest())
    return order[: study.clips]


def attend(
    open_engine: Mapping[str, Callable[[], OmniEngine]],
    benchmark: Benchmark,
    study: Study,
    out: Path,
    *,
    settings: Mapping[str, Any],
    adapter: tuple[str, Located] | None = None,
) -> None:
    """Observe all clips not yet in `out`, in every state, and write the tables.

    Args:
        open_engine: By state, `before` first; one model at a time is in memory.
        benchmark: The dataset.
        study: What to observe.
        out: The run's folder.
        settings: The engine's settings, for run.json.
        adapter: Name and location of the adapter used in `after`.

    Raises:
        ConfigError: `out` holds another run.
        DataError: There are no clips, or all of them failed.
        MmaBenchError: A dataset id is not a valid file name, or an engine cannot be opened.
    """
    rows = {
        condition: list(benchmark.rows(condition, columns=("id", "base_id", "donor_id")))
        for condition in study.conditions
    }
    chosen = drawn({condition: {row["base_id"] for row in rows[condition]} for condition in rows}, study)
    ids = {condition: [row["id"] for row in rows[condition] if row["base_id"] in chosen] for condition in rows}
    parts = out / "parts"
    _check_ids(parts, [clip for condition in ids for clip in ids[condition]])
    fingerprints = {condition: benchmark.fingerprint(condition) for condition in study.conditions}
    with Ledger(out / "clips.jsonl") as ledger:
        for state, opened in open_engine.items():
            due = {
                condition: frozenset(clip for clip in ids[condition] if not _is_done(ledger, parts, state, clip))
                for condition in ids
            }
            if state != "before" and not any(due.values()):
                continue
            engine = opened()
            try:
                shown = frozenset(chosen[: study.shown])
                walk = Walk(state, engine, benchmark, parts, ranges=study.ranges, shown=shown)
                if state == "before":
                    run = {
                        **identity(engine),
                        "adapter": adapter and adapter[0],
                        "adapter_revision": adapter and adapter[1].revision,
                        "dataset": benchmark.name,
                        "dataset_revision": benchmark.revision,
                        "split": benchmark.split,
                        "prompt_version": PROMPT_VERSION,
                        "settings": {**settings, "seed": study.seed, "ranges": study.ranges, "shown": study.shown},
                        "facts": walk.observer.facts,
                        "data": fingerprints,
                    }
                    claim(out / "run.json", run, answered=ledger.path.stat().st_size > 0)
                for condition in study.conditions:
                    walk.condition(condition, due[condition], ledger)
            finally:
                engine.close()
            del engine, walk  # they refer to the weights, which must be gone before the next model is loaded
        entries = [
            ledger.latest(f"{state}/{clip}") for state in open_engine for condition in ids for clip in ids[condition]
        ]
    _gather(out, [entry for entry in entries if entry is not None])
    pairs = [
        {"clip": row["id"], "base": row["base_id"], "condition": condition, "donor": row["donor_id"]}
        for condition in rows
        for row in rows[condition]
        if row["base_id"] in chosen
    ]
    write_table(from_rows(pairs, DONORS), out / "donors.parquet", DONORS, ("clip",))


def _check_ids(parts: Path, clips: Sequence[str]) -> None:
    try:
        for clip in clips:
            part(parts, "before", clip)
    except InvalidInput as error:
        raise MmaBenchError(
            f"the dataset has a row whose id is not a valid file name: {error}", hint="rebuild it with `dvc repro`"
        ) from None


def _is_done(ledger: Ledger, parts: Path, state: str, clip: str) -> bool:
    entry = ledger.latest(f"{state}/{clip}")
    return entry is not None and entry["status"] == "ok" and part(parts, state, clip).is_file()


def _gather(out: Path, entries: Sequence[Entry]) -> None:
    """Write the tables of all clips."""
    good = [entry for entry in entries if entry["status"] == "ok"]
    if not good:
        raise DataError(f"all clips failed: {entries[0]['error']}", hint="fix the cause and run the command again")
    for name, suffix, schema, key in (
        ("attention.parquet", ".parquet", ATTENTION, ATTENTION_KEY),
        ("tokens.parquet", ".tokens.parquet", TOKENS, TOKENS_KEY),
    ):
        paths = [part(out / "parts", entry["state"], entry["clip"], suffix) for entry in good]
        tables = [pl.read_parquet(path) for path in paths if path.is_file()]
        table = pl.concat(tables) if tables else pl.DataFrame(schema=schema)
        write_table(table, out / name, schema, key)
    write_table(_lines(entries, "knockout", KNOCKOUT), out / "knockout.parquet", KNOCKOUT, KNOCKOUT_KEY)
    write_table(_lines(entries, "answers", ANSWERS), out / "answers.parquet", ANSWERS, ASKED)


def _lines(entries: Sequence[Entry], column: str, schema: Schema) -> pl.DataFrame:
    return from_rows([{**entry, **line} for entry in entries for line in entry[column]], schema)
