"""The judge audit: several judges on the same clips, compared with each other and with human labels.

The paper filters with a model that it later evaluates. This measures the effect of that choice: how far judges agree,
what each rejects alone, how the class distribution and later accuracies shift, which threshold each should use, and the
accuracy of the label filter and the judges on human-labelled clips.

In: normalised clips; judges as params files (which are run, reusing answers in the ledger) or as verdict tables;
predictions of earlier evaluations. Out, in one folder: `agreement.parquet`, `compare.json` and `compare.html`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.builders.judge import judged
from mma_bench.builders.labels import vggsounder
from mma_bench.builders.labels.segments import read_audioset
from mma_bench.classes import load_classes
from mma_bench.config import EncoderJudgeParams, JudgeSection, load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.formats import facts
from mma_bench.evaluation.judges.agreement import (
    agreements,
    class_counts,
    distribution_shift,
    judged_by_all,
    kept_by,
    rejected_alone,
)
from mma_bench.evaluation.judges.calibrate import sample_pairs
from mma_bench.evaluation.judges.operating_point import Pair, curve, operating_point, pairs_of_evidence
from mma_bench.evaluation.judges.yardstick import FilterAudit, audit_filter, audit_judge
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.score import accuracy
from mma_bench.files import write_json, write_text
from mma_bench.models.encoders.thresholds import read_thresholds
from mma_bench.progress import Progress
from mma_bench.schema import CANDIDATES, MODALITIES, NORMALISED, VERDICTS, Modality, Schema
from mma_bench.tables import from_rows, read_table, write_table

AGREEMENT: Final[Schema] = {
    **{name: pl.String() for name in ("first", "second", "check", "class_name")},  # class_name "" means all classes
    **{name: pl.Int64() for name in ("clips", "same", "only_first", "only_second")},
    **{name: pl.Float64() for name in ("kappa", "low", "high")},
}


@dataclass(frozen=True)
class Compared:
    """A judge with its verdicts.

    Attributes:
        name: The file it was given by.
        judge: The judge's own name.
        params: The judge's parameters; None if only its verdicts are given.
        verdicts: Schema VERDICTS.
        workers: The worker count of its params file.
    """

    name: str
    judge: str
    params: JudgeSection | None
    verdicts: pl.DataFrame
    workers: int = 1


def main(judges: Sequence[Path], out: Path, results: Path, wanted_precision: float) -> dict[str, Any]:
    """Compare judges; see the module docstring. Returns the content of compare.json.

    Raises:
        ConfigError: A file is neither a params file nor a verdict table, or a judge appears twice.
        DataError: A table is missing or has the wrong schema.
    """
    normalised = read_table(layout.NORMALISED, NORMALISED).filter(pl.col("status") == "ok").sort("split", "clip_id")
    clips = normalised.rows(named=True)
    compared = [_opened(path, clips, normalised) for path in judges]
    refuse_twins(compared)
    verdicts = {judge.name: judge.verdicts for judge in compared}
    with Progress("agreement", len(compared) * (len(compared) - 1) // 2 * 5, "check") as progress:
        found = []
        for row in agreements(verdicts):
            found.append(row)
            if row.class_name is None:
                progress.advance()
    people = vggsounder.read()
    labelled = vggsounder.join_labels(normalised, people)
    counts = class_counts(verdicts)
    report: dict[str, Any] = {
        "judges": [_about(judge, counts) for judge in compared],
        "differences": differences(compared),
        "clips": len(judged_by_all(verdicts)),
        "agreement": [asdict(row) for row in found],
        "rejected_alone": rejected_alone(verdicts),
        "classes": counts,
        "accuracies": accuracies(_runs(results), {judge.name: kept_by(judge.verdicts) for judge in compared}),
        "wanted_precision": wanted_precision,
        "thresholds": [row for judge in compared for row in thresholds(judge, clips, labelled, wanted_precision)],
        "label_filter": asdict(_label_filter(people)),
        "against_people": {
            judge.name: [asdict(measure) for measure in audit_judge(judge.verdicts, labelled)] for judge in compared
        },
        "labelled_clips": labelled.height,
    }
    table = from_rows([row | {"class_name": row["class_name"] or ""} for row in report["agreement"]], AGREEMENT)
    write_table(table, out / "agreement.parquet", AGREEMENT, ["first", "second", "check", "class_name"])
    write_json(out / "compare.json", report)
    from mma_bench.evaluation.judges.page import page

    write_text(out / "compare.html", page(report))
    return report


def _opened(path: Path, clips: Sequence[Mapping[str, Any]], normalised: pl.DataFrame) -> Compared:
    if path.suffix == ".parquet":
        table = read_table(path, VERDICTS).join(normalised.select("clip_id", "split"), on=["clip_id", "split"])
        if table.is_empty():
            raise DataError(f"{path} has no verdicts on clips of this build", hint="pass verdicts on the same clips")
        return Compared(str(path), _judge_of(path, table), None, table)
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"{path} is neither a params file nor a verdict table",
            hint="pass a params file (.yaml) with a `judge` section, or a verdict table (.parquet)",
        )
    params = load_params(path)
    judge = params.asked_judge()
    table = judged(clips, judge, workers=params.workers)
    return Compared(str(path), _judge_of(path, table), judge, table, params.workers)


def _judge_of(path: Path, table: pl.DataFrame) -> str:
    names = table["judge"].drop_nulls().unique().sort().to_list()
    if len(names) != 1 or table["judge_revision"].n_unique() != 1:
        raise DataError(
            f"{path} contains verdicts of {len(names)} judges", hint="pass a table with one judge and revision"
        )
    return str(names[0])


def refuse_twins(judges: Sequence[Compared]) -> None:
    """Refuse the same judge in the same revision twice.

    Raises:
        ConfigError: Names the judge and its files.
    """
    files: dict[str, list[str]] = {}
    for judge in judges:
        revision = judge.verdicts["judge_revision"][0][:8]
        files.setdefault(f"{judge.judge} {revision}", []).append(judge.name)
    for name, given in files.items():
        if len(given) > 1:
            raise ConfigError(
                f"the judge {name} was given twice: {', '.join(given)}",
                hint="pass judges that differ in weights or thresholds",
            )


def differences(judges: Sequence[Compared]) -> list[dict[str, Any]]:
    """What differs between the judges: a row for each `setting`, with its `values` by judge, None where it has none."""
    known = {
        judge.name: {
            "judge": judge.judge,
            "revision": str(judge.verdicts["judge_revision"][0]),
            **dict(facts({} if judge.params is None else judge.params.model_dump(mode="json"))),
        }
        for judge in judges
    }
    settings = dict.fromkeys(setting for values in known.values() for setting in values)
    rows: list[dict[str, Any]] = [
        {"setting": setting, "values": {name: values.get(setting) for name, values in known.items()}}
        for setting in settings
    ]
    return [row for row in rows if len(set(row["values"].values())) > 1]


def _about(judge: Compared, counts: list[dict[str, Any]]) -> dict[str, Any]:
    statuses = dict(judge.verdicts["status"].value_counts(sort=True).iter_rows())
    return {
        "name": judge.name,
        "judge": judge.judge,
        "revision": judge.verdicts["judge_revision"][0],
        "statuses": statuses,
        "shift": distribution_shift(counts, judge.name),
    }


def accuracies(runs: Mapping[str, Sequence[Prediction]], kept: Mapping[str, frozenset[str]]) -> list[dict[str, Any]]:
    """The accuracy table of each run, on all its clips (`judge` None) and on those that each judge keeps.

    A misaligned clip has a donor's audio, so both clips must be kept.
    """
    rows = []
    for run, predictions in runs.items():
        restricted: dict[str | None, list[Prediction]] = {None: list(predictions)}
        for judge, clips in kept.items():
            restricted[judge] = [row for row in predictions if {row.base_id, row.donor_id or row.base_id} <= clips]
        for keeper, left in restricted.items():
            rows += [{"run": run, "judge": keeper, **row} for row in accuracy(left)]
    return rows


def _runs(folder: Path) -> dict[str, list[Prediction]]:
    return {path.parent.name: read_predictions(path) for path in sorted(folder.glob("*/predictions.jsonl"))}


def thresholds(
    judge: Compared, clips: Sequence[Mapping[str, Any]], labelled: pl.DataFrame, wanted: float
) -> list[dict[str, Any]]:
    """For each label set and modality: the curve, the judge's current operating point, and the chosen one."""
    sets: dict[str, list[Pair]] = {}
    if judge.params is not None:
        sets["sample"] = sample_pairs(clips, judge.params, workers=judge.workers)
    verdicts = judge.verdicts.filter(pl.col("status").is_in(["ok", "rejected"])).rows(named=True)
    sets["vggsounder"] = pairs_of_evidence(verdicts, labelled.rows(named=True))
    rows = []
    for labels, pairs in sets.items():
        for modality in MODALITIES:
            drawn = curve(pairs, modality, wanted)
            if drawn is None:
                continue
            stands = None
            if judge.params is not None:
                stands = asdict(operating_point(pairs, modality, _threshold(judge.params, modality)))
            rows.append({"judge": judge.name, "labels": labels, **asdict(drawn), "stands": stands})
    return rows


def _threshold(params: JudgeSection, modality: Modality) -> float | Mapping[str, float]:
    if isinstance(params, EncoderJudgeParams):
        return read_thresholds(params)[0][modality]
    return params.visual_threshold if modality == "visual" else params.audio_threshold


def _label_filter(people: pl.DataFrame) -> FilterAudit:
    known = load_classes(layout.CLASSES).nodes
    segments = read_audioset(layout.METADATA / "eval_segments.csv", "eval", known.keys()).rows
    candidates = read_table(layout.CANDIDATES, CANDIDATES).filter(pl.col("subset") == "eval")
    return audit_filter(segments.select("clip_id", "video_id", "start_s").collect(), candidates, people)
