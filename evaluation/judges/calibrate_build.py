"""`mma-bench judge calibrate`: thresholds of a judge from human labels on this build's normalised clips.

In: data/normalised.parquet, a params file whose judge is run, and labels: VGGSounder's, or a CSV. Out: the thresholds
by class (for `judge.thresholds`), and a page with precision and recall at every threshold.

A clip is asked about its own class, as in the build: is it seen, is it heard? Of VGGSounder, only clips with their
class among their labels count, since it says nothing about the others. AudioSet's labels are of sounds, so nearly all
of these classes are heard (in 1,341 of 1,357 clips), and any threshold would be precise. So each clip is also asked
about one class that people neither saw nor heard in it, drawn by a hash: negatives, which can only raise a threshold.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import polars as pl
from pydantic import Field

from mma_bench import layout
from mma_bench.builders.judge import JUDGE
from mma_bench.builders.judges import open_for_calibration, sample_rate, worker_count
from mma_bench.builders.judges.contracts import Judge, View
from mma_bench.builders.judges.encoders import EncoderJudge
from mma_bench.builders.labels import vggsounder
from mma_bench.config import JudgeSection, load_params
from mma_bench.csv_rows import CsvRow, read_rows, warn_unknown
from mma_bench.errors import DataError
from mma_bench.evaluation.judges.calibrate import score_view
from mma_bench.evaluation.judges.operating_point import Pair, curve
from mma_bench.evaluation.judges.thresholds import FOLDS, Choice, choose, held_out
from mma_bench.executor import run
from mma_bench.executor.task import Task
from mma_bench.files import atomic_path, fingerprint, write_json, write_text
from mma_bench.media.decode import audio, frames
from mma_bench.page import render, svg
from mma_bench.schema import MODALITIES, NORMALISED, Modality
from mma_bench.stats import format_estimate
from mma_bench.tables import read_table

VGGSOUNDER: Final = "vggsounder"
_COLUMNS: Final = ("class", "modality", "threshold", "judge", "chosen_on", "pairs", "positives", "precision", "recall")


@dataclass(frozen=True)
class Options:
    """What the command was asked for.

    Attributes:
        labels: `vggsounder`, or the path of a CSV.
        precision: The target of the rule.
        positives: A class with at least this many positive clips gets a threshold of its own.
        out: The thresholds.
        page: The page; beside it the same results as JSON.
    """

    labels: str
    precision: float
    positives: int
    out: Path
    page: Path


class Label(NamedTuple):
    """What a person says: whether a class is seen, or heard, in a clip."""

    clip_id: str
    class_name: str
    modality: Modality
    there: bool


class _Row(CsvRow):
    clip_id: str
    class_name: str = Field("", validation_alias="class")  # empty: the clip's own
    visible: Literal["yes", "no", ""]
    audible: Literal["yes", "no", ""]


def main(params_path: Path, options: Options) -> None:
    """Score the labelled clips, choose the thresholds, write them and the page, and print the operating point.

    Raises:
        ConfigError, MmaBenchError: The judge cannot be opened.
        DataError: No clip is labelled, or no threshold reaches the precision.
    """
    params = load_params(params_path)
    judge = open_for_calibration(params.asked_judge())
    clips = read_table(layout.NORMALISED, NORMALISED).filter(pl.col("status") == "ok").sort("clip_id")
    labelled = labels_of(clips, options.labels)
    if not labelled:
        raise DataError(
            f"{options.labels} labels none of the {clips.height} clips in {layout.NORMALISED}",
            hint="build up to `normalise` from AudioSet's evaluation clips, or label a hundred clips of your own "
            "(--labels FILE.csv with clip_id, visible and audible)",
        )
    pairs = _scored(clips.rows(named=True), labelled, params.asked_judge(), judge, params.workers)
    classes = (
        {modality: set(judge.encoders.prompts[modality]) for modality in MODALITIES}
        if isinstance(judge, EncoderJudge)
        else {modality: {pair.class_name for pair in pairs if pair.modality == modality} for modality in MODALITIES}
    )
    report: dict[str, Any] = {
        **{"judge": judge.name, "labels": options.labels, "folds": FOLDS},
        **{"precision": options.precision, "positives": options.positives},
        "clips": len({pair.clip_id for pair in pairs}),
    }
    report["modalities"] = {}
    chosen: list[Choice] = []
    for modality in MODALITIES:
        drawn = curve(pairs, modality, options.precision)
        found = choose(pairs, modality, classes[modality], precision=options.precision, positives=options.positives)
        if drawn is None or drawn.chosen is None or found is None:
            raise DataError(
                f"no {modality} threshold reaches a precision of {options.precision:g} on "
                f"{0 if drawn is None else drawn.pairs} labelled questions",
                hint="lower --precision, label more clips, or use another judge",
            )
        point = held_out(pairs, modality, precision=options.precision, positives=options.positives)
        report["modalities"][modality] = {"curve": asdict(drawn), "held_out": asdict(point)}
        chosen += found
        own = sum(item.chosen_on == "class" for item in found)
        clips_asked = len({pair.clip_id for pair in pairs if pair.modality == modality})
        print(
            f"{modality}: {clips_asked} clips labelled by {options.labels}, {drawn.pairs} questions, {drawn.positives} "
            f"of them to be answered yes: threshold {drawn.chosen.threshold:g}, its own for {own} of {len(found)} "
            f"classes; on held-out clips precision {format_estimate(point.precision)} %, recall "
            f"{format_estimate(point.recall)} %"
        )
    report["classes"] = [asdict(choice) for choice in chosen]
    if isinstance(judge, EncoderJudge):
        write_thresholds(chosen, judge.encoders.revision, options.out)
        print(f"{options.out}: name it in judge.thresholds")
    else:
        print("set judge.visual_threshold and judge.audio_threshold to these thresholds")
    write_json(options.page.with_suffix(".json"), report)
    write_text(options.page, page(report))
    print(options.page)


def labels_of(clips: pl.DataFrame, labels: str) -> list[Label]:
    """The labels of the clips that have any.

    Args:
        clips: Schema NORMALISED.
        labels: `vggsounder`, or the path of a CSV with clip_id, visible and audible (yes, no, or empty if unclear), and
            class if it is not the clip's own.

    Raises:
        DataError: The CSV cannot be read; names file and line.
    """
    if labels == VGGSOUNDER:
        return _vggsounder(clips)
    own = dict(clips.select("clip_id", "class_name").iter_rows())
    found = []
    rows = read_rows(Path(labels), _Row, unique=["clip_id", "class_name"])
    warn_unknown(Path(labels), "clip_id", (row.clip_id for row in rows), own)
    for row in rows:
        if row.clip_id in own:
            name = row.class_name or own[row.clip_id]
            said: dict[Modality, str] = {"visual": row.visible, "audio": row.audible}
            found += [Label(row.clip_id, name, modality, word == "yes") for modality, word in said.items() if word]
    return found


def _vggsounder(clips: pl.DataFrame) -> list[Label]:
    known = sorted({name for name in vggsounder.class_map().values() if name})
    found = []
    for row in vggsounder.join_labels(clips, vggsounder.read()).drop_nulls("vote").rows(named=True):
        clip_id, own = row["clip_id"], row["class_name"]
        absent = [name for name in known if name not in row["classes"]]
        other = min(absent, key=lambda name: fingerprint("other", clip_id, name))
        found += [Label(clip_id, own, "visual", own in row["seen"]), Label(clip_id, own, "audio", own in row["heard"])]
        found += [Label(clip_id, other, modality, False) for modality in MODALITIES]
    return found


def _scored(
    clips: Sequence[Mapping[str, Any]], labels: Sequence[Label], params: JudgeSection, judge: Judge, workers: int
) -> list[Pair]:
    """The labels with the judge's scores, which are kept in a ledger; without what the judge does not know."""
    classes: dict[str, set[str]] = {}
    for label in labels:
        classes.setdefault(label.clip_id, set()).add(label.class_name)
    tasks = {}
    for clip in clips:
        if clip["clip_id"] in classes:
            asked = sorted(classes[clip["clip_id"]])
            payload = {"path": clip["path"], "duration_s": clip["duration_s"], "classes": asked}
            mark = fingerprint(judge.name, judge.revision, asked, clip["sha256"])
            tasks[clip["clip_id"]] = Task(f"{clip['sha256']}/{mark[:16]}", mark, payload)
    entries = run(
        list({task.key: task for task in tasks.values()}.values()),
        partial(score_clip, params.model_dump_json()),
        layout.ledger("judge_calibration"),
        workers=worker_count(params, workers, "calibrate"),
        title="calibrate",
    )
    scores = {entry["key"]: entry["result"] for entry in entries}
    return [
        Pair(label.clip_id, label.modality, label.class_name, label.there, found[label.class_name])
        for label in labels
        if label.class_name in (found := scores[tasks[label.clip_id].key].get(label.modality, {}))
    ]


def score_clip(params: str, clip: Mapping[str, Any]) -> dict[str, Any]:
    """In the worker: {modality: {class: score}} of the unimodal checks, for the clip's classes."""
    judge, frame_count, rate = _worker_judge(params)
    path = Path(clip["path"])
    whole = View(clip["duration_s"], frames(path, frame_count), audio(path, rate), rate)
    return score_view(judge, whole, clip["classes"])


@cache
def _worker_judge(params: str) -> tuple[Judge, int, int]:
    chosen = JUDGE.validate_json(params)
    return open_for_calibration(chosen), chosen.frames, sample_rate(chosen)


def write_thresholds(chosen: Sequence[Choice], judge: str, path: Path) -> None:
    """The file that `judge.thresholds` names; `judge` is the revision of the encoders."""
    with atomic_path(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for item in chosen:
            figures = (_rounded(item.point.precision.mean), _rounded(item.point.recall.mean))
            counts = (item.chosen_on, item.pairs, item.positives)
            writer.writerow([item.class_name, item.modality, item.threshold, judge, *counts, *figures])


def _rounded(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.3f}"


def page(report: Mapping[str, Any]) -> str:
    """The HTML page for the content of `calibrate.json`."""
    from mma_bench.evaluation.judges.page import precision_recall

    plots = []
    for modality, found in report["modalities"].items():
        row = found["curve"] | {"judge": report["judge"], "stands": found["held_out"]}
        plots.append((modality, svg(precision_recall([row], [report["judge"]]), f"Precision and recall, {modality}")))
    return render(
        "calibrate.html",
        "mma_bench.evaluation.judges",
        title="Thresholds from labelled clips",
        report=report,
        plots=plots,
        estimate=format_estimate,
    )
