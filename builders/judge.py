"""Stage `judge`: four yes/no checks per clip; only clips that pass all of them are kept (appendix B.1).

In: normalised clips. Out: data/verdicts.parquet, each check's score and answer, and the clip's outcome.

| check | input | question |
|---|---|---|
| `visual_unimodal` | the frames alone | Is the cat clearly visible in this video? |
| `audio_unimodal` | the sound alone | Is the sound of cat clearly audible in this video? |
| `visual_crossmodal` | both | the first question |
| `audio_crossmodal` | both | the second question |

A clip that fails is `rejected`, with the first check that failed as its reason. A clip whose class the judge cannot
recognise by sight or by sound is not judged but `refused` (`class_unknown_to_judge`), since a "no" would say nothing
about the clip.

The ledger caches the answers, keyed by everything they depend on: the clip's bytes, the wording of the questions and
the judge's revision. So nothing is asked again after trying another judge and switching back, renaming a clip or moving
it to another split.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import polars as pl
from pydantic import TypeAdapter

from mma_bench import layout
from mma_bench.builders.judges import open_judge, sample_rate, worker_count
from mma_bench.builders.judges.contracts import Judge, View
from mma_bench.config import JudgeSection, NoJudgeParams, Params, RayParams
from mma_bench.errors import ClipError, InvalidInput
from mma_bench.executor import run
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import Task
from mma_bench.files import fingerprint, write_json
from mma_bench.media import SAMPLE_RATE
from mma_bench.media.decode import audio, frames
from mma_bench.prompts import judge_question
from mma_bench.schema import CHECKS, MODALITIES, NORMALISED, VERDICTS, Modality
from mma_bench.tables import from_rows, outcome_counts, outcome_table, read_table, write_table

VERSION: Final = 2  # of this stage's rules: raise it to judge every clip again

JUDGE: Final[TypeAdapter[JudgeSection]] = TypeAdapter(JudgeSection)


def main(params: Params) -> None:
    """Judge every normalised clip."""
    normalised = read_table(layout.NORMALISED, NORMALISED).filter(pl.col("status") == "ok").sort("split", "clip_id")
    if isinstance(params.judge, NoJudgeParams):
        table = unjudged(normalised, params.judge.judge)
    else:
        table = judged(
            normalised.rows(named=True),
            params.judge,
            workers=params.workers,
            give_up_after=params.give_up_after,
            ray=params.on_ray(),
        )
    write_table(table, layout.VERDICTS, VERDICTS, ["split", "clip_id"])
    write_json(layout.metrics("judge"), outcome_counts(table))


def unjudged(clips: pl.DataFrame, judge: str) -> pl.DataFrame:
    """Every clip passes, and no check has an answer: schema VERDICTS.

    Args:
        clips: Good rows of NORMALISED, of a list whose makers have checked them.
        judge: For the column of that name.
    """
    rows = clips.select("clip_id", "split", "class_name").with_columns(
        status=pl.lit("ok"), reason=pl.lit(""), detail=pl.lit(""), judge=pl.lit(judge)
    )
    return from_rows(rows.rows(named=True), VERDICTS)


def judged(
    clips: Sequence[Mapping[str, Any]],
    params: JudgeSection,
    *,
    workers: int,
    give_up_after: int | None = None,
    ray: RayParams | None = None,
) -> pl.DataFrame:
    """The verdicts of a judge on normalised clips; checks already in the ledger are not repeated.

    Args:
        clips: Good rows of NORMALISED.
        params: Which judge.
        workers: Processes for a judge that does not set its own number.
        give_up_after: See `mma_bench.executor.run`.
        ray: How to reach Ray; None: worker processes on this machine.
    """
    # Before the workers start, so that missing weights stop the stage at once, with one message.
    judge = open_judge(params)
    by_clip = [task_of(clip, judge) for clip in clips]
    tasks = list({task.key: task for task in by_clip}.values())  # equal bytes and class are judged once
    entries = run(
        tasks,
        partial(_judge_in_worker, params.model_dump_json()),
        layout.ledger("judge"),
        workers=worker_count(params, workers, "judge", ray),
        title="judge",
        give_up_after=give_up_after,
        ray=ray,
        stateful=True,
    )
    return table_of(clips, entries.by_key(task.key for task in by_clip), judge)


def task_of(clip: Mapping[str, Any], judge: Judge) -> Task:
    """The clip's task; its key covers everything the verdict depends on."""
    payload = {name: clip[name] for name in ("path", "duration_s", "class_name")}
    asked = prompt_sha256(clip["class_name"])
    return Task(
        key=f"{clip['sha256']}/{asked[:16]}/{judge.revision}",
        fingerprint=fingerprint(VERSION, judge.name, judge.revision, asked, clip["sha256"]),
        payload=payload,
    )


@cache
def _worker_judge(params: str) -> tuple[Judge, int, int]:
    """One judge per worker process, so that its networks load once; the frames and the sample rate it is given."""
    chosen = JUDGE.validate_json(params)
    return open_judge(chosen), chosen.frames, sample_rate(chosen)


def _judge_in_worker(params: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    judge, frame_count, rate = _worker_judge(params)
    return judge_clip(judge, frame_count, payload, rate)


def judge_clip(judge: Judge, frame_count: int, payload: Mapping[str, Any], rate: int = SAMPLE_RATE) -> dict[str, Any]:
    """Decode one clip and run the four checks.

    Returns:
        `<check>_score`, `<check>_pass` and `<check>_answer` of all four; with `status`, `reason` and
        `detail` if one failed.

    Raises:
        InvalidInput: `class_unknown_to_judge`, or the clip does not decode.
        Retryable, Blocked: The judge cannot answer now; names the clip.
    """
    class_name, path = payload["class_name"], Path(payload["path"])
    for question in MODALITIES:
        if not judge.knows(question, class_name):
            raise InvalidInput(
                "class_unknown_to_judge", f"{judge.name} has no {question} counterpart of {class_name}", subject=path
            )
    whole = View(payload["duration_s"], frames(path, frame_count), audio(path, rate), rate)
    try:
        return four_checks(judge, whole, class_name)
    except ClipError as error:
        error.subject = path  # a judge does not know the path
        raise


def four_checks(judge: Judge, whole: View, class_name: str) -> dict[str, Any]:
    """Run all four, even after one has failed: the scores are evidence about the judge. Returns as `judge_clip`."""
    result: dict[str, Any] = {}
    failed = []
    for check in CHECKS:
        question: Modality = "visual" if check.startswith("visual") else "audio"
        view = whole.only(question) if check.endswith("unimodal") else whole
        answer = judge.ask(view, question, class_name)
        result |= {f"{check}_score": answer.score, f"{check}_pass": answer.yes, f"{check}_answer": answer.words}
        if not answer.yes:
            said = "" if answer.words is None else f", answered {answer.words!r}"
            asked = judge_question(question, class_name)
            failed.append((check, f"no to {asked!r} with a score of {answer.score:g}{said}"))
    if failed:
        reason, detail = failed[0]
        result |= {"status": "rejected", "reason": reason, "detail": detail}
    return result


def prompt_sha256(class_name: str) -> str:
    """SHA-256 of the two questions, each with a newline."""
    questions = "".join(f"{judge_question(question, class_name)}\n" for question in MODALITIES)
    return hashlib.sha256(questions.encode()).hexdigest()


def table_of(clips: Iterable[Mapping[str, Any]], entries: Iterable[Entry], judge: Judge) -> pl.DataFrame:
    """One row of `mma_bench.schema.VERDICTS` per clip; `entries` in the order of `clips`."""
    rows = [
        {name: clip[name] for name in ("clip_id", "split", "class_name")}
        | {"judge": judge.name, "judge_revision": judge.revision, "prompt_sha256": prompt_sha256(clip["class_name"])}
        for clip in clips
    ]
    return outcome_table(rows, entries, VERDICTS)
