"""Scores every photo and every sound of the sample against every class: what the thresholds were chosen on.

    python -m mma_bench.evaluation.judges.calibrate

Run in the project's root. In: sample/manifest.csv, and `calibration_labels.csv` beside this file, which says of each
clip what a person sees and hears in it. Out: `calibration.csv`, and the operating points on the screen. Each clip is
composed, normalised and decoded as in the build; nothing of the build is read or changed. Takes about two minutes.

A pair of a clip and a class is positive if the class is seen (heard) there and negative if not; what a person could
argue about (is a hen a bird?) is left out. Photos and sounds that two clips share count once. Pairs that are negative
and score below 0.01 are counted but not listed.
"""

import csv
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import Field

from mma_bench import layout
from mma_bench.builders.judges.contracts import SAMPLE_RATE, Modality, View
from mma_bench.builders.judges.specialist import SpecialistJudge
from mma_bench.builders.normalise import normalise_clip
from mma_bench.builders.sources.composition import compose
from mma_bench.config import JudgeParams, Params, load_params
from mma_bench.csv_rows import CsvRow, read_rows
from mma_bench.executor import run
from mma_bench.executor.task import Task
from mma_bench.files import atomic_path
from mma_bench.media.decode import audio, frames
from mma_bench.models.specialist.specialist import Specialist
from mma_bench.schema import Split

LISTED_FROM: Final = 0.01
_MEDIUM: Final = {"visual": "photo", "audio": "sound"}  # column of the manifest
_SPLITS: Final = {"eval": Split.TEST, "train": Split.TRAIN}


@dataclass(frozen=True)
class Pair:
    """A clip, a class, whether the class is really there, and the score the judge gives it."""

    clip_id: str
    modality: Modality
    class_name: str
    label: bool
    score: float


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does: pairs found, wrongly found, and missed."""

    found: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.wrong)

    @property
    def recall(self) -> float:
        return self.found / (self.found + self.missed)


def operating_point(pairs: Sequence[Pair], modality: Modality, threshold: float) -> OperatingPoint:
    """Count the pairs of one modality at a threshold (which must be at least `LISTED_FROM`)."""
    asked = [pair for pair in pairs if pair.modality == modality]
    return OperatingPoint(
        found=sum(pair.label and pair.score >= threshold for pair in asked),
        wrong=sum(not pair.label and pair.score >= threshold for pair in asked),
        missed=sum(pair.label and pair.score < threshold for pair in asked),
    )


def pairs_of(
    clips: Sequence[Mapping[str, str]],
    labels: Mapping[str, Mapping[str, str]],
    scores: Sequence[Mapping[str, Mapping[str, float]]],
) -> list[Pair]:
    """All pairs about which there can be no argument, each photo and each sound once.

    Args:
        clips: Rows of the manifest.
        labels: By clip, as `read_labels` returns them.
        scores: {modality: {class: score}} of each clip.
    """
    pairs, media = [], set()
    for modality in get_args(Modality):
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


class _Scored(CsvRow):
    clip_id: str
    modality: Modality
    class_name: str = Field(validation_alias="class")
    label: Literal["0", "1"]
    score: float


class _Clip(CsvRow):
    clip_id: str
    split: Literal["eval", "train"]
    photo: str
    sound: str


def read_labels() -> dict[str, dict[str, str]]:
    """What a person sees and hears, by clip."""
    rows = read_rows(files(__package__) / "calibration_labels.csv", _Labels, unique=["clip_id"])
    return {row.clip_id: row.model_dump(exclude={"where"}) for row in rows}


def read_calibration() -> list[Pair]:
    """The listed pairs."""
    rows = read_rows(files(__package__) / "calibration.csv", _Scored)
    return [Pair(row.clip_id, row.modality, row.class_name, row.label == "1", row.score) for row in rows]


def score_clip(params: Params, clip: Mapping[str, str]) -> dict[str, Any]:
    """Compose, normalise and score one row of the manifest in the current folder: {modality: {class: score}}."""
    source = Path(f"{clip['clip_id']}.mp4")
    compose(Path(clip["photo"]), Path(clip["sound"]), clip["clip_id"], source)
    payload = {"clip_id": clip["clip_id"], "split": _SPLITS[clip["split"]], "path": str(source)}
    written = Path(normalise_clip(params.normalise, payload)["path"])
    judge = _judge(params.judge)
    view = View(10.0, frames(written, params.judge.frames), audio(written, SAMPLE_RATE))
    return {modality: judge.scores(view, modality) for modality in get_args(Modality)}


@cache
def _judge(params: JudgeParams) -> SpecialistJudge:
    return SpecialistJudge(params, Specialist.fetched())


def read_sample_media(sample: Path) -> list[dict[str, str]]:
    """clip_id and split of the sample's clips, with the absolute paths of photo and sound."""
    rows = read_rows(sample / "manifest.csv", _Clip, hint="run in the project's root, where sample/ lies")
    return [
        {"clip_id": row.clip_id, "split": row.split}
        | {medium: str((sample / getattr(row, medium)).absolute()) for medium in _MEDIUM.values()}
        for row in rows
    ]


def main() -> None:
    """Write calibration.csv and print what each threshold would do."""
    params, clips, labels = load_params(layout.PARAMS), read_sample_media(Path("sample")), read_labels()
    _judge(params.judge)  # weights that cannot be had stop here, with one message
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path(layout.NORMALISED_CLIPS).mkdir(parents=True)
        tasks = [Task(clip["clip_id"], "", clip) for clip in clips]
        entries = run(tasks, partial(score_clip, params), Path("ledger"), workers=params.workers, title="calibrate")
    pairs = pairs_of(clips, labels, [entry["result"] for entry in entries])
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
    for modality in get_args(Modality):
        print(f"{modality}: {sum(pair.modality == modality for pair in pairs)} pairs")
        for percent in (1, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80):
            point = operating_point(pairs, modality, percent / 100)
            figures = f"{point.found} | {point.wrong} | {point.missed} | {point.precision:.3f} | {point.recall:.3f}"
            print(f"| {modality} | {percent / 100:.2f} | {figures} |")


if __name__ == "__main__":
    main()
