"""Asking: what all runs of a model have in common. A run's folder is claimed, and its clips go through the engine.

The answers are lines of a ledger, fsynced one by one. Killed anywhere and started again, a run repeats no finished
prompt; failed prompts are tried again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mma_bench.errors import ConfigError
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.files import write_json
from mma_bench.models.ahead import ahead
from mma_bench.models.contracts import Answer, ClipTask, Engine, PreparesAhead, Prompt, Stopped
from mma_bench.progress import Progress
from mma_bench.tables import read_json

Clip = TypeVar("Clip")  # what the caller knows of a clip and needs to make a line of an answer


def identity(engine: Engine) -> dict[str, str | None]:
    """What a run and each of its predictions say of the model."""
    return {
        "model": engine.name,
        "model_revision": engine.revision,
        "adapter": engine.adapter,
        "adapter_revision": engine.adapter_revision,
    }


def claim(path: Path, run: Mapping[str, Any]) -> None:
    """Write run.json, or see that the one there is of the same run.

    Args:
        path: The file.
        run: What makes it this run. Under the key `data`, if there is one, the fingerprint of each condition's data:
            conditions may be added to a run.

    Raises:
        ConfigError: The file is of another run; names the key that differs.
    """
    run = json.loads(json.dumps(run))  # as it will be read: tuples are lists
    there = read_json(path) if path.exists() else {}
    data = {**there.get("data", {}), **run.get("data", {})}
    if there:
        differing = [key for key in run if key != "data" and there.get(key) != run[key]]
        if differing:
            key = differing[0]
            raise ConfigError(
                f"{path.parent} holds another run: {key} is {there.get(key)!r} there and {run[key]!r} now",
                hint="give this run an --out of its own",
            )
        changed = [condition for condition, seen in there.get("data", {}).items() if data[condition] != seen]
        if changed:
            raise ConfigError(
                f"{path.parent} holds a run on other data: {changed[0]} has changed since",
                hint="give this run an --out of its own",
            )
    write_json(path, {**run, "data": data} if "data" in run else run)


def ask_all(
    engine: Engine,
    clips: Iterable[tuple[Clip, ClipTask]],
    ledger: Ledger,
    progress: Progress,
    *,
    holds: Callable[[Clip, Prompt, Entry], bool],
    entry_of: Callable[[Clip, Prompt, Answer], Entry],
    batch: int = 1,
) -> None:
    """Ask all prompts that the ledger does not answer yet and append the answers; media are decoded one batch ahead.

    Args:
        engine: The model under test.
        clips: Clips with all their prompts, taken one by one as they are due.
        ledger: Open; its keys are `<clip's id>/<prompt's key>`.
        progress: Advances once per clip, also if there is nothing to ask about it.
        holds: Whether an entry that did not fail is still the answer to this prompt about this clip.
        entry_of: The line of an answer.
        batch: Clips that go to the engine at once; no answer depends on it.

    Raises:
        Stopped: The engine cannot go on; what it has answered is in the ledger.
    """

    def is_answered(clip: Clip, task: ClipTask, prompt: Prompt) -> bool:
        entry = ledger.latest(f"{task.id}/{prompt.key}")
        return entry is not None and entry["status"] != "failed" and holds(clip, prompt, entry)

    def due() -> Iterator[tuple[Clip, ClipTask]]:
        for clip, task in clips:
            asked = tuple(prompt for prompt in task.prompts if not is_answered(clip, task, prompt))
            if asked:
                yield clip, replace(task, prompts=asked)
            else:
                progress.advance()

    def prepared(tasks: list[tuple[Clip, ClipTask]]) -> list[tuple[Clip, tuple[Prompt, ...], Any]]:
        prepare = engine.prepare if isinstance(engine, PreparesAhead) else _as_it_is
        return [(clip, task.prompts, prepare(task)) for clip, task in tasks]

    unanswered = due()
    for asked in ahead(prepared, iter(lambda: list(islice(unanswered, batch)), []), depth=1):
        try:
            answers = engine.answer([task for _, _, task in asked])
        except Stopped as stop:
            for (clip, prompts, _), given in zip(asked, stop.answers, strict=True):
                by_key = {prompt.key: prompt for prompt in prompts}
                for answer in given:
                    ledger.append(entry_of(clip, by_key[answer.key], answer))
            raise
        for (clip, prompts, _), given in zip(asked, answers, strict=True):
            for prompt, answer in zip(prompts, given, strict=True):
                ledger.append(entry_of(clip, prompt, answer))
            progress.advance()


def _as_it_is(task: ClipTask) -> ClipTask:
    return task
