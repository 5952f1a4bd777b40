"""Scores of labelled clips for every class that could be there: what a judge's thresholds can be chosen on.

In: the sample's clips as the build normalised them, and what a person sees and hears in each
(`calibration_labels.csv`). Each is asked about with one sense open, for every class of the sample that the judge knows
by that sense. Answers are kept in a ledger of their own.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

from mma_bench import layout
from mma_bench.builders.judge import JUDGE
from mma_bench.builders.judges import open_judge
from mma_bench.builders.judges.contracts import SAMPLE_RATE, Judge, Modality, View
from mma_bench.config import JudgeParams, OmniJudgeParams
from mma_bench.evaluation.judges.calibrate import Pair, pairs_of, read_labels, read_sample_media
from mma_bench.executor import run
from mma_bench.executor.task import Task
from mma_bench.files import fingerprint
from mma_bench.media.decode import audio, frames

SAMPLE = Path("sample")


def sample_pairs(
    clips: Sequence[Mapping[str, Any]], params: JudgeParams | OmniJudgeParams, *, workers: int
) -> list[Pair]:
    """The pairs of the sample's clips among `clips` (good rows of NORMALISED); none if the build has none of them."""
    labels = read_labels()
    there = {clip["clip_id"]: clip for clip in clips if clip["clip_id"] in labels}
    if not there:
        return []
    classes = sorted({labels[clip_id][sense] for clip_id in there for sense in ("visible", "audible")})
    judge, asked = open_judge(params), fingerprint(classes)[:16]
    tasks = [
        Task(
            key=f"{clip['sha256']}/{asked}/{judge.revision}",
            fingerprint=fingerprint(judge.name, judge.revision, classes, clip["sha256"]),
            payload={name: clip[name] for name in ("path", "duration_s")},
        )
        for clip in there.values()
    ]
    entries = run(
        tasks,
        partial(_score_in_worker, params.model_dump_json(), tuple(classes)),
        layout.ledger("judge_calibration"),
        workers=workers if isinstance(params, JudgeParams) else params.processes,
        title="calibration",
    )
    scores = dict(zip(there, (entry["result"] for entry in entries), strict=True))
    manifest = [row for row in read_sample_media(SAMPLE) if scores.get(row["clip_id"])]
    return pairs_of(manifest, labels, [scores[row["clip_id"]] for row in manifest])


@cache
def _worker_judge(params: str) -> tuple[Judge, int]:
    chosen = JUDGE.validate_json(params)
    return open_judge(chosen), chosen.frames


def _score_in_worker(params: str, classes: Sequence[str], payload: Mapping[str, Any]) -> dict[str, Any]:
    judge, frame_count = _worker_judge(params)
    path = Path(payload["path"])
    return score_view(judge, View(payload["duration_s"], frames(path, frame_count), audio(path, SAMPLE_RATE)), classes)


def score_view(judge: Judge, whole: View, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """{modality: {class: score}} of the unimodal checks, for the classes that the judge knows by each sense."""
    scores = {}
    for modality in get_args(Modality):
        view = whole.only(modality)
        known = [name for name in classes if judge.knows(modality, name)]
        scores[modality] = {name: judge.ask(view, modality, name).score for name in known}
    return scores
