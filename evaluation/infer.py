"""Infer: asks a model all questions and appends the answers to `predictions.jsonl`.

In: the dataset and an engine. Out: `run.json`, which says what was run, and `predictions.jsonl`, one line per prompt,
fsynced. Killed anywhere and started again, it repeats no finished prompt; failed prompts are tried again.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from mma_bench.errors import ConfigError
from mma_bench.evaluation.dataset import Benchmark, Row
from mma_bench.evaluation.parse import parse
from mma_bench.evaluation.predictions import Prediction, to_entry
from mma_bench.evaluation.protocols import Protocol, Sampling, expected, options_for, prompts_of, version_of
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.executor.ledger import Ledger
from mma_bench.files import write_json
from mma_bench.models.ahead import ahead
from mma_bench.models.contracts import (
    Answer,
    ClipTask,
    Engine,
    Mode,
    PreparesAhead,
    Prompt,
    Stopped,
    modes_of,
)
from mma_bench.progress import Progress
from mma_bench.prompts import PROMPT_VERSION
from mma_bench.schema import Modality
from mma_bench.tables import read_json


@dataclass(frozen=True)
class Plan:
    """What to ask.

    Attributes:
        conditions: The dataset's configs.
        protocols: How to ask.
        sampling: How answers are generated.
        batch: Clips that go to the engine at once; no answer depends on it.
    """

    conditions: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    sampling: Sampling
    batch: int = 1


def infer(engine: Engine, benchmark: Benchmark, plan: Plan, out: Path, *, settings: dict[str, Any]) -> Path:
    """Ask everything that `out/predictions.jsonl` does not answer yet; return its path.

    Prompts of a mode that the engine does not answer are left out; the caller says so (`contracts.modes_of`).

    Raises:
        Stopped: The engine cannot go on; what it has answered is kept.
        ConfigError: `out` holds another run (another model, dataset or settings); names what differs.
    """
    if Protocol.LOGLIKELIHOOD in plan.protocols and "score" not in modes_of(engine):
        print(f"{engine.name} gives no log-likelihoods: loglikelihood is left out", file=sys.stderr)
        plan = replace(plan, protocols=tuple(name for name in plan.protocols if name is not Protocol.LOGLIKELIHOOD))
    fingerprints = {condition: benchmark.fingerprint(condition) for condition in plan.conditions}
    settings = {**settings, **asdict(plan.sampling)}
    run = {
        "model": engine.name,
        "model_revision": engine.revision,
        "adapter": engine.adapter,
        "adapter_revision": engine.adapter_revision,
        "dataset": benchmark.name,
        "dataset_revision": benchmark.revision,
        "split": benchmark.split,
        "prompt_version": PROMPT_VERSION,
        "settings": settings,
        "data": fingerprints,
    }
    _claim(out / "run.json", run)
    path = out / "predictions.jsonl"
    with Ledger(path) as ledger:
        for condition in plan.conditions:
            writer = _Writer(ledger, run, fingerprints[condition])
            total = sum(1 for _ in benchmark.rows(condition, columns=("id", "base_id")))
            with Progress(f"{engine.name}, {condition}", total) as progress:
                due = _batches(benchmark, condition, plan, writer, progress, modes_of(engine))
                for batch in ahead(partial(_prepared, engine), due, depth=1):
                    try:
                        answers = engine.answer([task for _, _, task in batch])
                    except Stopped as stop:
                        _keep(writer, batch, stop.answers)
                        raise
                    for (row, prompts, _), given in zip(batch, answers, strict=True):
                        for prompt, answer in zip(prompts, given, strict=True):
                            writer.append(row, prompt, answer)
                        progress.advance()
    return path


def _keep(writer: "_Writer", batch: list[tuple[Row, tuple[Prompt, ...], Any]], answers: list[list[Answer]]) -> None:
    """Append what an engine had answered before it stopped."""
    for (row, prompts, _), given in zip(batch, answers, strict=True):
        asked = {prompt.key: prompt for prompt in prompts}
        for answer in given:
            writer.append(row, asked[answer.key], answer)


def _claim(path: Path, run: dict[str, Any]) -> None:
    """Write run.json, or see that the one there is of the same run; conditions may be added to a run."""
    run = {**run, "settings": _plain(run["settings"])}
    there = read_json(path) if path.exists() else {}
    data = {**there.get("data", {}), **run["data"]}
    if there:
        differing = [key for key in run if key != "data" and there.get(key) != run[key]]
        if differing:
            key = differing[0]
            raise ConfigError(
                f"{path.parent} holds another run: {key} is {there.get(key)!r} there and {run[key]!r} now",
                hint="give this run an --out of its own",
            )
        changed = [condition for condition, seen in there["data"].items() if data[condition] != seen]
        if changed:
            raise ConfigError(
                f"{path.parent} holds a run on other data: {changed[0]} has changed since",
                hint="give this run an --out of its own",
            )
    write_json(path, {**run, "data": data})


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _batches(
    benchmark: Benchmark,
    condition: str,
    plan: Plan,
    writer: "_Writer",
    progress: Progress,
    modes: frozenset[Mode],
) -> Iterator[list[tuple[Row, ClipTask]]]:
    """Clips that have unanswered prompts, `plan.batch` at a time."""

    def due() -> Iterator[tuple[Row, ClipTask]]:
        for row in benchmark.rows(condition):
            asked = tuple(
                prompt
                for prompt in prompts_of(row, plan.protocols, plan.sampling)
                if prompt.mode in modes and writer.lacks(row, prompt)
            )
            if not asked:
                progress.advance()
                continue
            yield (
                row,
                ClipTask(
                    id=row["id"],
                    video=row["video"]["bytes"],
                    condition=condition,
                    visual_class=row["visual_class"],
                    audio_class=row["audio_class"],
                    prompts=asked,
                ),
            )

    clips = due()
    while batch := list(islice(clips, plan.batch)):
        yield batch


def _prepared(engine: Engine, batch: list[tuple[Row, ClipTask]]) -> list[tuple[Row, tuple[Prompt, ...], Any]]:
    """Runs one batch ahead of the model: the engine decodes, if it is one that does."""
    prepare = engine.prepare if isinstance(engine, PreparesAhead) else _as_it_is
    return [(row, task.prompts, prepare(task)) for row, task in batch]


def _as_it_is(task: ClipTask) -> ClipTask:
    return task


class _Writer:
    """Turns answers into predictions and appends them."""

    def __init__(self, ledger: Ledger, run: dict[str, Any], fingerprint: str) -> None:
        self._ledger, self._run, self._fingerprint = ledger, run, fingerprint

    def lacks(self, row: Row, prompt: Prompt) -> bool:
        entry = self._ledger.latest(f"{row['id']}/{prompt.key}")
        if entry is None or entry["status"] == "failed":
            return True
        return bool(entry["prompt_sha256"] != _sha256(prompt.text))

    def append(self, row: Row, prompt: Prompt, answer: Answer) -> None:
        self._ledger.append(to_entry(self._prediction(row, prompt, answer)))

    def _prediction(self, row: Row, prompt: Prompt, answer: Answer) -> Prediction:
        question, protocol_name, seed = prompt.key.split(".")
        protocol = Protocol(protocol_name)
        options = options_for(protocol, row["options"])
        right = expected(protocol, row, _question(question))
        prediction = Prediction(
            key=f"{row['id']}/{prompt.key}",
            id=row["id"],
            base_id=row["base_id"],
            donor_id=row["donor_id"],
            condition=row["condition"],
            question=question,
            protocol=protocol,
            seed=int(seed),
            visual_class=row["visual_class"],
            audio_class=row["audio_class"],
            class_distance=row["class_distance"],
            caption=row["caption"],
            options=options,
            expected=right,
            other=_other(row, question, right),
            status="failed",
            answer=None,
            raw=answer.text,
            logprobs=answer.logprobs,
            error=answer.error,
            usage=answer.usage,
            prompt_version=version_of(protocol, row),
            prompt_sha256=_sha256(prompt.text),
            model=self._run["model"],
            model_revision=self._run["model_revision"],
            adapter=self._run["adapter"],
            adapter_revision=self._run["adapter_revision"],
            settings=self._run["settings"],
            dataset=self._run["dataset"],
            dataset_fingerprint=self._fingerprint,
        )
        return _read(prediction, protocol)


def _read(prediction: Prediction, protocol: Protocol) -> Prediction:
    """The prediction with the parsed class and its status."""
    if prediction.error is not None:
        return prediction
    if prediction.logprobs is not None:
        best = max(prediction.options, key=lambda option: prediction.logprobs[option])  # type: ignore[index]
        return replace(prediction, status="ok", answer=best)
    if prediction.raw is None:
        return replace(prediction, error="the engine gave neither an answer nor an error")
    answer = parse(prediction.raw, prediction.options, SYNONYMS, chain_of_thought=protocol is Protocol.CHAIN_OF_THOUGHT)
    return replace(prediction, status="ok" if answer is not None else "unparseable", answer=answer)


def _question(name: str) -> Modality:
    return "visual" if name == "visual" else "audio"


def _other(row: Row, question: str, right: str) -> str | None:
    """What the other modality suggests, if that is not the right answer."""
    other = str(row["audio_class" if question == "visual" else "visual_class"])
    return None if other == right else other


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def chosen_conditions(benchmark: Benchmark, wanted: Sequence[str]) -> tuple[str, ...]:
    """The conditions to run: those wanted, or all that the split has.

    Raises:
        ConfigError: A wanted condition is not in the dataset; names it and what there is.
    """
    there = benchmark.conditions()
    missing = [condition for condition in wanted if condition not in there]
    if missing:
        raise ConfigError(
            f"{benchmark.name} has no condition {missing[0]!r} in split {benchmark.split}",
            hint=f"choose among {', '.join(there)}",
        )
    return tuple(wanted) or tuple(there)
