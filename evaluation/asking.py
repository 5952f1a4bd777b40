"""Shared by all runs: claim the run's folder, then put the unanswered prompts of each clip to the engine.

Answers are appended to a ledger and fsynced one by one. A run that is killed and restarted repeats no finished prompt
and retries failed ones.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from mma_bench.errors import ConfigError, StageError
from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.run_folder import read_object
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.files import write_json
from mma_bench.models.ahead import ahead
from mma_bench.models.contracts import (
    OPERATIONAL,
    Answer,
    AnswersEach,
    ClipTask,
    Engine,
    PreparesAhead,
    Prompt,
    Stopped,
)
from mma_bench.progress import Progress
from mma_bench.redact import redacted_settings

_REASONS_SHOWN: Final = 5
_DIFFERENCES: Final = 5  # shown, between two runs
_ABSENT: Final = object()

Clip = TypeVar("Clip")  # the caller's data about a clip, needed to write a ledger entry


def identity(engine: Engine) -> dict[str, str | None]:
    """The model's identity, as recorded in the run and in every prediction."""
    return {
        "model": engine.name,
        "model_revision": engine.revision,
        "adapter": engine.adapter,
        "adapter_revision": engine.adapter_revision,
    }


def described(engine: str, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """An engine's settings for run.json, without secrets in URLs.

    Returns:
        `settings`, which identify the run, and `operation`, which a resumed run may change; without `operation` if
        there are none.
    """
    shown = redacted_settings(settings)
    operation = {key: value for key, value in shown.items() if key in OPERATIONAL}
    return {"settings": {"engine": engine, **_identifying(shown)}, **({"operation": operation} if operation else {})}


def _identifying(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in OPERATIONAL}


def _differences(name: str, before: object, now: object) -> Iterator[tuple[str, str, str]]:
    """Each value that differs, by its dotted name, within mappings too."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*before, *now]):
            if before.get(key, _ABSENT) != now.get(key, _ABSENT):
                yield from _differences(f"{name}.{key}", before.get(key, _ABSENT), now.get(key, _ABSENT))
    else:
        was, is_now = ("absent" if value is _ABSENT else repr(value) for value in (before, now))
        yield name, was, is_now


def claim(path: Path, run: Mapping[str, Any], *, answered: bool = True) -> None:
    """Write run.json, or check that the existing one describes the same run.

    Args:
        path: The file.
        run: What identifies the run. The optional key `data` maps each condition to the fingerprint of its data;
            conditions may be added to a run. The optional keys `operation` and `limit` do not identify it: the first is
            replaced, and of two limits the higher one is kept; a run without one stays unlimited. A run without the
            optional key `clips` is over all of them.
        answered: Whether there are answers of the run that the file describes; if not, as after a first contact that
            failed, the file is replaced. To be asked while the answers' ledger is held, so that no other command
            writes them.

    Raises:
        ConfigError: The file describes another run; names the key that differs, or the clips.
    """
    asked: dict[str, Any] = json.loads(json.dumps(run))  # normalised as JSON: tuples become lists
    limit = asked.pop("limit", None)
    there = read_object(path) if answered and path.exists() else {}
    data = {**there.get("data", {}), **asked.get("data", {})}
    if there:
        # Earlier releases recorded what is now under `operation` among the settings.
        before = {**there, "settings": _identifying(there.get("settings", {}))}
        differing = [
            key for key in asked if key not in ("data", "operation", "clips") and before.get(key) != asked[key]
        ]
        if differing:
            told = [
                f"{name} was {was} and is now {now}"
                for key in differing
                for name, was, now in _differences(key, before.get(key), asked[key])
            ]
            more = f", and {len(told) - _DIFFERENCES} more" if len(told) > _DIFFERENCES else ""
            raise ConfigError(
                f"{path.parent} holds another run: {'; '.join(told[:_DIFFERENCES])}{more}",
                hint="use a different --out for this run",
            )
        before_clips, now_clips = (Subset.read(each) or "all clips" for each in (there, asked))
        if before_clips != now_clips:
            raise ConfigError(
                f"{path.parent} holds a run over {before_clips}; this one is over {now_clips}",
                hint="pass the same --clips as before, or use a different --out for this run",
            )
        changed = [condition for condition, seen in there.get("data", {}).items() if data[condition] != seen]
        if changed:
            raise ConfigError(
                f"{path.parent} holds a run on different data: {changed[0]} has changed since",
                hint="use a different --out for this run",
            )
    kept: dict[str, Any] = (
        {"probe": there["probe"]} if "probe" in there else {}
    )  # of the server, recorded when it was first asked
    if limit is not None and (not there or "limit" in there):
        kept["limit"] = max(limit, there.get("limit", limit))
    write_json(path, {**asked, "data": data, **kept} if "data" in asked else {**asked, **kept})


def ask_all(
    engine: Engine,
    clips: Iterable[tuple[Clip, ClipTask]],
    ledger: Ledger,
    progress: Progress,
    *,
    holds: Callable[[Clip, Prompt, Entry], bool],
    entry_of: Callable[[Clip, Prompt, Answer], Entry],
    batch: int = 1,
    before: Callable[[ClipTask], None] = lambda _: None,
) -> None:
    """Run all prompts without an answer in the ledger and append the answers; media are decoded one batch ahead.

    Args:
        engine: The model under test.
        clips: Clips with all their prompts; consumed lazily.
        ledger: Open; its keys are `<clip's id>/<prompt's key>`.
        progress: Advances once per clip, including clips with no open prompts.
        holds: Whether an entry that did not fail is still valid for this prompt and clip.
        entry_of: Builds the ledger entry of an answer.
        batch: Clips per engine call; does not affect the answers. An engine that `AnswersEach` does without.
        before: Called with every task that is about to be asked.

    Raises:
        Stopped: The engine cannot continue; the answers so far are in the ledger.
    """

    def is_answered(clip: Clip, task: ClipTask, prompt: Prompt) -> bool:
        entry = ledger.latest(f"{task.id}/{prompt.key}")
        return entry is not None and entry["status"] != "failed" and holds(clip, prompt, entry)

    def due() -> Iterator[tuple[Clip, ClipTask]]:
        for clip, task in clips:
            asked = tuple(prompt for prompt in task.prompts if not is_answered(clip, task, prompt))
            if asked:
                before(task)
                yield clip, replace(task, prompts=asked)
            else:
                progress.advance()

    def prepared(tasks: list[tuple[Clip, ClipTask]]) -> list[tuple[Clip, tuple[Prompt, ...], Any]]:
        prepare = engine.prepare if isinstance(engine, PreparesAhead) else _unprepared
        return [(clip, task.prompts, prepare(task)) for clip, task in tasks]

    def keep(clip: Clip, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> None:
        by_key = {prompt.key: prompt for prompt in prompts}
        for answer in answers:
            ledger.append(entry_of(clip, by_key[answer.key], answer))

    if isinstance(engine, AnswersEach):
        asked_about: dict[str, Clip] = {}

        def tasks() -> Iterator[ClipTask]:
            for clip, task in due():
                asked_about[task.id] = clip
                yield task

        for task, given in engine.answer_each(tasks()):
            keep(asked_about.pop(task.id), task.prompts, given)
            progress.advance()
        return

    unanswered = due()
    for asked in ahead(prepared, iter(lambda: list(islice(unanswered, batch)), []), depth=1):
        try:
            answers = engine.answer([task for _, _, task in asked])
        except Stopped as stop:
            for (clip, prompts, _), given in zip(asked, stop.answers, strict=True):
                keep(clip, prompts, given)
            raise
        for (clip, prompts, _), given in zip(asked, answers, strict=True):
            for prompt, answer in zip(prompts, given, strict=True):
                ledger.append(entry_of(clip, prompt, answer))
            progress.advance()


def _unprepared(task: ClipTask) -> ClipTask:
    return task


def failed_prompts(errors: Sequence[str], total: int, hint_of: Callable[[str], str] | None = None) -> StageError | None:
    """The error that a command ends with if prompts failed, with counts by reason; None if none failed.

    Args:
        errors: The error of each failed prompt.
        total: The number of prompts.
        hint_of: What to do about one error, if that can be told.
    """
    if not errors:
        return None
    # Numbers and request IDs differ from prompt to prompt.
    reasons = [re.sub(r"^clip \S+: ", "", error) for error in errors]
    example = {_kind_of(reason): reason for reason in reasons}
    kinds = Counter(map(_kind_of, reasons))
    lines = []
    for kind, count in kinds.most_common(_REASONS_SHOWN):
        lines.append(f"  {count} x {example[kind][:300]}")
        if hint_of is not None:
            lines.append(f"      {hint_of(example[kind])}")
    rest = sum(kinds.values()) - sum(count for _, count in kinds.most_common(_REASONS_SHOWN))
    if rest:
        lines.append(f"  {rest} x other reasons")
    return StageError(
        "\n".join([f"{len(errors)} of {total} prompts failed:", *lines]),
        hint="run the same command again, which asks only these",
    )


def _kind_of(reason: str) -> str:
    """The reason without its numbers, except for a status at its beginning."""
    return reason[:3] + re.sub(r"[0-9a-f-]{8,}|\d+", "#", reason[3:])
