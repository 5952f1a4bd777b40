"""Scores of labelled clips for every candidate class, for choosing a judge's thresholds.

`sample_pairs` runs any judge on the sample's normalised clips. The specialist's own thresholds were chosen on every
photo and every sound of the sample against every class:

    python -m mma_bench.evaluation.judges.calibrate

Run it in the project root. In: sample/manifest.csv, and `calibration_labels.csv` next to this file, which lists what a
person sees and hears in each clip. Out: `calibration.csv`, and the operating points on stdout. Each clip is composed,
normalised and decoded as in the build; no build output is read or changed. Takes about two minutes.

A pair of a clip and a class is positive if the class is seen (heard) in the clip and negative if not; ambiguous pairs
(is a hen a bird?) are excluded. Photos and sounds shared by two clips count once. Negative pairs that score below 0.01
are counted but not listed.
"""

import csv
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import chdir
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from mma_bench import layout
from mma_bench.builders.judge import JUDGE
from mma_bench.builders.judges import open_judge, sample_rate, worker_count
from mma_bench.builders.judges.contracts import Judge, View
from mma_bench.builders.normalise import normalise_clip
from mma_bench.builders.sources.composition import compose
from mma_bench.builders.sources.sample import SAMPLE
from mma_bench.config import JudgeSection, Params, load_params
from mma_bench.csv_rows import CsvRow, read_rows
from mma_bench.evaluation.judges.operating_point import Pair, operating_point
from mma_bench.executor import run
from mma_bench.executor.task import Task
from mma_bench.files import atomic_path, fingerprint
from mma_bench.media.decode import audio, frames
from mma_bench.models.specialist.specialist import Specialist
from mma_bench.schema import MODALITIES, Split

LISTED_FROM: Final = 0.01
_MEDIUM: Final = {"visual": "photo", "audio": "sound"}  # column of the manifest
_SPLITS: Final = {"eval": Split.TEST, "train": Split.TRAIN}


def pairs_of(
    clips: Sequence[Mapping[str, str]],
    labels: Mapping[str, Mapping[str, str]],
    scores: Sequence[Mapping[str, Mapping[str, float]]],
) -> list[Pair]:
    """All unambiguous pairs, each photo and each sound once.

    Args:
        clips: Rows of the manifest.
        labels: By clip, as `read_labels` returns them.
        scores: {modality: {class: score}} of each clip.
    """
    pairs, media = [], set()
    for modality in MODALITIES:
        there = "visible" if modality == "visual" else "audible"
        for clip, scored in zip(clips, scores, strict=True):
            if clip[_MEDIUM[modality]] in media:
                continue
            media.add(clip[_MEDIUM[modality]])
            label = labels[clip["clip_id"]]
            for name, score in sorted(scored[modality].items()):
                if name != label[f"unclear_{there}"]:
                    pairs.append(Pair(clip["clip_id"], modality, name, name == label[there], score))
    return pairs


class _Labels(CsvRow):
    clip_id: str
    visible: str
    audible: str
    unclear_visible: str
    unclear_audible: str


class _Clip(CsvRow):
    clip_id: str
    split: Literal["eval", "train"]
    photo: str
    sound: str


def read_labels() -> dict[str, dict[str, str]]:
    """The human labels by clip: what is seen and what is heard."""
    rows = read_rows(files(__package__) / "calibration_labels.csv", _Labels, unique=["clip_id"])
    return {row.clip_id: row.model_dump(exclude={"where"}) for row in rows}


def read_sample_media(sample: Path) -> list[dict[str, str]]:
    """clip_id and split of the sample's clips, with the absolute paths of photo and sound."""
    rows = read_rows(sample / "manifest.csv", _Clip, hint="run in the project root, which contains sample/")
    return [
        {"clip_id": row.clip_id, "split": row.split}
        | {medium: str((sample / getattr(row, medium)).absolute()) for medium in _MEDIUM.values()}
        for row in rows
    ]


def sample_pairs(clips: Sequence[Mapping[str, Any]], params: JudgeSection, *, workers: int) -> list[Pair]:
    """The pairs of the sample's normalised clips and every class of the sample.

    Answers are cached in a separate ledger.

    Args:
        clips: Good rows of NORMALISED; clips of other sources are skipped, so there may be no pairs.
        params: The judge's parameters.
        workers: Number of processes, for a judge that does not set its own.
    """
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
        partial(score_file, params.model_dump_json(), tuple(classes)),
        layout.ledger("judge_calibration"),
        workers=worker_count(params, workers, "calibration"),
        title="calibration",
    )
    scores = dict(zip(there, (entry["result"] for entry in entries), strict=True))
    manifest = [row for row in read_sample_media(SAMPLE) if scores.get(row["clip_id"])]
    return pairs_of(manifest, labels, [scores[row["clip_id"]] for row in manifest])


def score_row(params: Params, classes: Sequence[str], row: Mapping[str, str]) -> dict[str, Any]:
    """Compose, normalise and score one manifest row in the current directory; returns what `score_view` returns."""
    source = Path(f"{row['clip_id']}.mp4")
    compose(Path(row["photo"]), Path(row["sound"]), row["clip_id"], source)
    payload = {"clip_id": row["clip_id"], "split": _SPLITS[row["split"]], "path": str(source)}
    return score_file(params.asked_judge().model_dump_json(), classes, normalise_clip(params.normalise, payload))


def score_file(params: str, classes: Sequence[str], clip: Mapping[str, Any]) -> dict[str, Any]:
    """Decode and score one normalised clip; returns what `score_view` returns.

    Args:
        params: The judge section of params.yaml, as JSON.
        classes: The classes to score.
        clip: `path` and `duration_s`.
    """
    judge, frame_count, rate = _worker_judge(params)
    path = Path(clip["path"])
    return score_view(judge, View(clip["duration_s"], frames(path, frame_count), audio(path, rate), rate), classes)


def score_view(judge: Judge, whole: View, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """{modality: {class: score}} of the unimodal checks, for the classes that the judge supports in each modality."""
    scores: dict[str, dict[str, float]] = {}
    for modality in MODALITIES:
        view = whole.only(modality)
        known = [name for name in classes if judge.knows(modality, name)]
        scores[modality] = {name: judge.ask(view, modality, name).score for name in known}
    return scores


@cache
def _worker_judge(params: str) -> tuple[Judge, int, int]:
    chosen = JUDGE.validate_json(params)
    return open_judge(chosen), chosen.frames, sample_rate(chosen)


def main() -> None:
    """Write calibration.csv and print the operating point of each threshold."""
    params, clips = load_params(layout.PARAMS), read_sample_media(SAMPLE)
    specialist = Specialist.fetched()  # fail early, with a single message, if the weights are missing
    score = partial(score_row, params, sorted({*specialist.seen, *specialist.heard}))
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path(layout.NORMALISED_CLIPS).mkdir(parents=True)
        tasks = [Task(clip["clip_id"], "", clip) for clip in clips]
        entries = run(tasks, score, Path("ledger"), workers=params.workers, title="calibrate")
    pairs = pairs_of(clips, read_labels(), [entry["result"] for entry in entries])
    _write(pairs, Path(str(files(__package__))) / "calibration.csv")
    _report(pairs)


def _write(pairs: Sequence[Pair], path: Path) -> None:
    with atomic_path(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["clip_id", "modality", "class", "label", "score"])
        for pair in pairs:
            if not pair.label and pair.score < LISTED_FROM:
                continue
            writer.writerow([pair.clip_id, pair.modality, pair.class_name, int(pair.label), f"{pair.score:.4f}"])


def _report(pairs: Sequence[Pair]) -> None:
    for modality in MODALITIES:
        print(f"{modality}: {sum(pair.modality == modality for pair in pairs)} pairs")
        for percent in (1, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80):
            point = operating_point(pairs, modality, percent / 100)
            counts = f"{point.found} | {point.wrong} | {point.missed}"
            figures = f"{counts} | {point.precision.mean:.3f} | {point.recall.mean:.3f}"
            print(f"| {modality} | {percent / 100:.2f} | {figures} |")


if __name__ == "__main__":
    main()
