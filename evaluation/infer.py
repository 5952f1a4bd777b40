"""Inference: runs a model on all prompts and appends the answers to `predictions.jsonl`.

In: the dataset and an engine. Out: `run.json`, which describes the run, and `predictions.jsonl`, one line per prompt,
fsynced. A run that is killed and restarted repeats no finished prompt and retries failed ones. Several processes share
the clips (`processes`) and write the same file (`parts`).
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import ConfigError
from mma_bench.evaluation.asking import ask_all, claim, identity
from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.conditions import CONDITIONS, CONFIGS, hears, is_text_alone
from mma_bench.evaluation.dataset import Benchmark, Row
from mma_bench.evaluation.first_contact import FirstContact
from mma_bench.evaluation.normalisation import likeliest
from mma_bench.evaluation.open_answers import as_answer, read_open
from mma_bench.evaluation.parse import parse
from mma_bench.evaluation.parts import Part, gather, parts_of
from mma_bench.evaluation.predictions import Prediction, to_entry
from mma_bench.evaluation.processes import ALONE, Process, together, wait_for_all
from mma_bench.evaluation.protocols import Protocol, Sampling, applies, expected, prompts_of, version_of
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.models.contracts import Answer, ClipTask, CountsAnswers, Engine, Mode, Prompt, modes_of
from mma_bench.names import choose
from mma_bench.progress import Progress
from mma_bench.prompts import PROMPT_VERSION
from mma_bench.schema import MODALITIES, PAPERS_CONDITIONS, Question

ALL: Final = "all"  # in place of conditions


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        conditions: The dataset's configs, or variants of them.
        protocols: How questions are asked.
        sampling: How answers are generated.
        batch: Clips per engine call; does not affect the answers.
    """

    conditions: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    sampling: Sampling
    batch: int = 1


def infer(
    engine: Engine,
    benchmark: Benchmark,
    plan: Plan,
    out: Path,
    *,
    settings: dict[str, Any],
    operation: dict[str, Any] | None = None,
    process: Process = ALONE,
) -> Path:
    """Run every prompt without an answer in `out/predictions.jsonl`; return its path.

    `settings` identify the run; `operation`, the engine's other settings, is only recorded (`asking.described`). Each
    of several processes calls this with its own `process` and asks its share; the first returns with the whole file.

    Prompts of a mode that the engine does not support are skipped; the caller reports it (`contracts.modes_of`).

    Raises:
        Stopped: The engine cannot continue; the answers so far are kept.
        ConfigError: `out` holds another run (another model, dataset or settings); names what differs. Or the protocols
            ask nothing under the conditions.
    """
    if Protocol.LOGLIKELIHOOD in plan.protocols and "score" not in modes_of(engine):
        print(f"{engine.name} gives no log-likelihoods: loglikelihood is skipped", file=sys.stderr)
        plan = replace(plan, protocols=tuple(name for name in plan.protocols if name is not Protocol.LOGLIKELIHOOD))
    _refuse_nothing(engine, plan)
    fingerprints = {condition: benchmark.fingerprint(condition) for condition in plan.conditions}
    settings = {**settings, **asdict(plan.sampling)}
    run = {
        **identity(engine),
        "dataset": benchmark.name,
        "dataset_revision": benchmark.revision,
        "split": benchmark.split,
        "judge": benchmark.judges(),
        "prompt_version": PROMPT_VERSION,
        "settings": settings,
        **({"operation": operation} if operation else {}),
        "data": fingerprints,
        **({} if benchmark.limit is None else {"limit": benchmark.limit}),
        **({} if benchmark.clips is None else {"clips": Subset.of(benchmark.clips).facts()}),
    }
    path = out / "predictions.jsonl"
    with together(process), Ledger(path) if process.speaks else nullcontext() as whole:
        if whole is not None:
            answered = any(each.stat().st_size for each in (path, *parts_of(path).values()))
            claim(out / "run.json", run, answered=answered)
        wait_for_all(process)
        if process.count == 1 and whole is not None and not parts_of(path):
            _ask(engine, benchmark, plan, out, run, whole, process)
        else:
            with Part(path, process.rank) as part:
                _ask(engine, benchmark, plan, out, run, part, process)
            wait_for_all(process)
            if whole is not None:
                gather(whole, _keys(benchmark, plan, modes_of(engine), process.count))
    return path


def _refuse_nothing(engine: Engine, plan: Plan) -> None:
    if not plan.protocols:
        raise ConfigError(f"{engine.name} answers none of the protocols", hint="give others with --protocols")
    if not any(applies(protocol, condition) for protocol in plan.protocols for condition in plan.conditions):
        fitting = [
            f"{protocol} under {', '.join(name for name in CONDITIONS if applies(protocol, name))}"
            for protocol in plan.protocols
        ]
        raise ConfigError(
            f"nothing is asked by {', '.join(plan.protocols)} under {', '.join(plan.conditions)}",
            hint=f"give others with --conditions or --protocols: questions are asked by {'; by '.join(fitting)}",
        )


def _ask(
    engine: Engine,
    benchmark: Benchmark,
    plan: Plan,
    out: Path,
    run: Mapping[str, Any],
    ledger: Ledger,
    process: Process,
) -> None:
    """Put the process's share of each condition to the engine."""
    first_contact = FirstContact(engine, out / "run.json")
    for condition in plan.conditions:
        if isinstance(engine, CountsAnswers):
            engine.count(condition, benchmark.answers(condition))
        total = process.share(sum(1 for _ in benchmark.rows(condition, columns=("id", "base_id"))))
        with Progress(f"{engine.name}, {condition}", total) as progress:
            ask_all(
                engine,
                _clips(benchmark, condition, plan, modes_of(engine), process),
                ledger,
                progress,
                holds=lambda _, prompt, entry: bool(entry["prompt_sha256"] == _sha256(prompt.text)),
                entry_of=partial(_entry, run, run["data"][condition]),
                batch=plan.batch,
                before=first_contact,
            )


def _keys(benchmark: Benchmark, plan: Plan, modes: frozenset[Mode], processes: int) -> Iterator[tuple[int, str]]:
    """The rank that takes a prompt and its key, in the order in which one process asks."""
    for condition in plan.conditions:
        for index, row in enumerate(benchmark.texts(condition)):
            for prompt in prompts_of(row, plan.protocols, plan.sampling):
                if prompt.mode in modes:
                    yield index % processes, f"{row['id']}/{prompt.key}"


def _clips(
    benchmark: Benchmark, condition: str, plan: Plan, modes: frozenset[Mode], process: Process
) -> Iterator[tuple[Row, ClipTask]]:
    for row in benchmark.rows(condition, every=process.count, start=process.rank):
        asked = tuple(prompts_of(row, plan.protocols, plan.sampling))
        yield (
            row,
            ClipTask(
                id=row["id"],
                video=b"" if is_text_alone(condition) else row["video"]["bytes"],
                condition=condition,
                visual_class=row["visual_class"],
                audio_class=row["audio_class"],
                prompts=tuple(prompt for prompt in asked if prompt.mode in modes),
                hears=hears(condition),
                text_alone=is_text_alone(condition),
                truths={prompt.key: _right(row, prompt) for prompt in asked if prompt.question not in MODALITIES},
            ),
        )


def _right(row: Row, prompt: Prompt) -> str:
    assert prompt.question is not None
    return expected(Protocol(prompt.protocol or ""), row, prompt.question)


def _entry(run: Mapping[str, Any], fingerprint: str, row: Row, prompt: Prompt, answer: Answer) -> Entry:
    """The prediction as a ledger entry."""
    assert prompt.question is not None
    assert prompt.protocol is not None
    question, protocol = prompt.question, Protocol(prompt.protocol)
    right = expected(protocol, row, question)
    prediction = Prediction(
        key=f"{row['id']}/{prompt.key}",
        id=row["id"],
        base_id=row["base_id"],
        donor_id=row["donor_id"],
        condition=row["condition"],
        question=question,
        protocol=protocol,
        seed=prompt.seed,
        visual_class=row["visual_class"],
        audio_class=row["audio_class"],
        class_distance=row["class_distance"],
        caption=row["caption"],
        manipulation=row.get("manipulation"),  # older datasets have no steps
        level=row.get("level"),
        options=list(prompt.options),
        expected=right,
        other=_other(row, question, right),
        status="unsupported" if answer.unsupported is not None else "failed" if answer.refused is None else "refused",
        answer=None,
        raw=answer.text,
        logprobs=answer.logprobs,
        error=answer.error or answer.unsupported or answer.refused,
        usage=answer.usage,
        prompt_version=version_of(protocol, row),
        prompt_sha256=_sha256(prompt.text),
        model=run["model"],
        model_revision=run["model_revision"],
        adapter=run["adapter"],
        adapter_revision=run["adapter_revision"],
        settings=run["settings"],
        dataset=run["dataset"],
        dataset_fingerprint=fingerprint,
        option_tokens=answer.option_tokens,
        prior_logprobs=answer.prior_logprobs,
    )
    return to_entry(_read(prediction, protocol))


def _read(prediction: Prediction, protocol: Protocol) -> Prediction:
    """The prediction with the parsed class and its status."""
    if prediction.error is not None:
        return prediction
    if prediction.logprobs is not None:
        return replace(prediction, status="ok", answer=likeliest(prediction))
    if prediction.raw is None:
        return replace(prediction, error="the engine returned neither an answer nor an error")
    if protocol is Protocol.OPEN_ANSWER:
        answer = as_answer(read_open(prediction.raw))
        return replace(prediction, status="ok" if answer is not None else "unparseable", answer=answer)
    answer = parse(prediction.raw, prediction.options, SYNONYMS, chain_of_thought=protocol is Protocol.CHAIN_OF_THOUGHT)
    return replace(prediction, status="ok" if answer is not None else "unparseable", answer=answer)


def _other(row: Row, question: Question, right: str) -> str | None:
    """The class of the other modality, if it differs from the right answer; None if no modality is asked about."""
    if question not in MODALITIES:
        return None
    other = str(row["audio_class" if question == "visual" else "visual_class"])
    return None if other == right else other


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def chosen_conditions(benchmark: Benchmark, wanted: Sequence[str]) -> tuple[str, ...]:
    """The conditions to run: those requested, where `all` are those of the split; or the paper's that are in it.

    Raises:
        ConfigError: The dataset does not have the split. A requested condition is not in the dataset; names it and the
            available ones. Or it has not all of the benchmark's chosen clips.
    """
    there = benchmark.conditions()
    if not there:
        raise ConfigError(
            f"{benchmark.name} has no split {benchmark.split!r} in any condition",
            hint="name another --split, or with --dataset a dataset that the build wrote",
        )
    wanted = [name for each in wanted for name in (there if each == ALL else [each])]
    possible = [condition for condition, config in CONFIGS.items() if config in there]
    missing = [condition for condition in wanted if condition not in possible]
    if missing:
        raise ConfigError(
            f"{benchmark.name} has no condition {missing[0]!r} in split {benchmark.split}",
            hint=choose(missing[0], possible),
        )
    chosen = tuple(dict.fromkeys(wanted)) or tuple(name for name in there if name in PAPERS_CONDITIONS)
    benchmark.require_clips(chosen)
    return chosen


def asked(row: Row, prompt: Prompt, fingerprint: str) -> Prediction:
    """What a prediction says about its prompt and clip, whichever model answers; without an answer."""
    nobody = dict.fromkeys(("model", "model_revision", "adapter", "adapter_revision", "dataset"), "")
    return Prediction(**_entry({**nobody, "settings": {}}, fingerprint, row, prompt, Answer(prompt.key)))


def read_anew(prediction: Prediction) -> Prediction:
    """The prediction with the class and status that its raw output or its log-likelihoods have in this release."""
    return _read(replace(prediction, answer=None), Protocol(prediction.protocol))
