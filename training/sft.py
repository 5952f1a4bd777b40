"""The SFT data: questions about clips to fine-tune on, as a table (section 5.1, appendices D and H).

In: the dataset's train split, aligned and misaligned. Out, in one folder: `examples.parquet` (schema EXAMPLES), one
row per training example; `classes.txt`, the classes of the train part, one per line, for `mma-bench score
--seen-classes`; `facts.json`, the source of the examples and their counts. Clips are not copied: an example refers to
its row of the dataset.

Every clip is asked both questions. In the train part the condition with fewer clips is repeated until both have
equally many examples (the paper: each aligned clip ten times); where the counts do not divide, some clips are repeated
once more than others. Nothing is repeated in the validation part, so its accuracy counts each clip once.

A part of the aligned clips of each class is held out for validation. A misaligned clip has the picture of one clip and
the sound of another: it belongs to a part if both of its clips do, and to none if they are in different parts, since
that would leak from one part to the other (`hold_out`). If `sft.validation_questions` sets the size of the validation
part instead of `sft.validation_share`, it has equally many clips of each condition, and the others are left out.

A dataset without a train split gives no examples: the files are written, and empty.

All choices are derived from hashes of the seed and an id, so that most of them survive when the dataset grows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.classes import chosen_classes
from mma_bench.config import SftParams
from mma_bench.errors import DataError
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import chosen_conditions
from mma_bench.evaluation.protocols import QUESTIONS, Protocol, expected, text_of
from mma_bench.files import fingerprint, write_json, write_text
from mma_bench.prompts import PROMPT_VERSION
from mma_bench.schema import EXAMPLES, SFT_CLIPS, Condition, Split
from mma_bench.tables import from_rows, write_table
from mma_bench.training.hold_out import SOUND, held_out, held_out_for

PARTS: Final = ("train", "validation")
_SHARES: Final = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)  # of the validation part, tried for a hint

_STR, _LABELS = pl.String(), pl.List(pl.String())


def parted(clips: pl.DataFrame, params: SftParams) -> pl.DataFrame:
    """`clips` with columns `part` and `reason` (why a clip is not used, "" if it is); no row is dropped.

    Reasons: `unchosen_class` (its picture's or its sound's), `crosses_parts`, `beyond_donors`, `beyond_questions`,
    `unchosen_condition`.

    Args:
        clips: Schema SFT_CLIPS; it must include the aligned clips whichever conditions are chosen.

    Raises:
        ConfigError: See `chosen_classes`.
        DataError: The base or donor of a misaligned clip is not an aligned clip; names both. Or there are too few clips
            for the number of validation questions.
    """
    aligned = clips.filter(pl.col("condition") == Condition.ALIGNED)
    known = pl.concat([aligned["visual_class"], aligned["audio_class"]])
    classes = chosen_classes(known, params.classes, params.seed) if aligned.height else []
    for column, role in ((pl.col("base_id"), "picture"), (SOUND, "sound")):
        lost = clips.filter(~column.is_in(aligned["base_id"].implode())).with_columns(missing=column)
        if lost.height:
            raise DataError(
                f"{lost['id'][0]} has the {role} of {lost['missing'][0]}, "
                "which is not an aligned clip of the train split",
                hint="run `dvc repro` to package the dataset again",
            )
    in_classes = pl.col("visual_class").is_in(classes) & pl.col("audio_class").is_in(classes)
    out = pl.lit(sorted(_held_out(clips.filter(in_classes), params)), _LABELS)
    seen, heard = pl.col("base_id").is_in(out), SOUND.is_in(out)
    placed = clips.with_columns(
        pl.when(seen).then(pl.lit("validation")).otherwise(pl.lit("train")).alias("part"),
        pl.when(~in_classes)
        .then(pl.lit("unchosen_class"))
        .when(~pl.col("condition").is_in([str(name) for name in params.conditions]))
        .then(pl.lit("unchosen_condition"))
        .when(seen != heard)
        .then(pl.lit("crosses_parts"))
        .otherwise(pl.lit(""))
        .alias("reason"),
        pl.Series("order", [fingerprint(params.seed, "clip", name) for name in clips["id"]], dtype=_STR),
    )
    if params.donors is not None:
        rank = pl.col("order").rank("ordinal").over("base_id", "condition", "reason")
        surplus = (pl.col("reason") == "") & (pl.col("condition") == Condition.MISALIGNED) & (rank > params.donors)
        placed = _left_out(placed, surplus, "beyond_donors")
    if (wanted := params.validation_clips) is not None:
        rank = pl.col("order").rank("ordinal").over("part", "condition", "reason")
        surplus = (pl.col("reason") == "") & (pl.col("part") == "validation") & (rank > wanted)
        placed = _left_out(placed, surplus, "beyond_questions")
    return placed.sort("id")


def _held_out(clips: pl.DataFrame, params: SftParams) -> frozenset[str]:
    aligned = clips.filter(pl.col("condition") == Condition.ALIGNED)
    if aligned.is_empty():
        return frozenset()
    if params.validation_share is not None:
        return held_out(aligned, params.validation_share, params.seed)
    chosen = clips.filter(pl.col("condition").is_in([str(name) for name in params.conditions]))
    return held_out_for(chosen, aligned, params)


def _left_out(placed: pl.DataFrame, which: pl.Expr, reason: str) -> pl.DataFrame:
    return placed.with_columns(pl.when(which).then(pl.lit(reason)).otherwise(pl.col("reason")).alias("reason"))


def copies(used: pl.DataFrame) -> dict[str, int]:
    """Clip id → how many copies of each question it gets, at least one.

    In the train part, the clips of the smaller condition are repeated until both conditions have equally many.

    Args:
        used: Columns id, part, condition, order.
    """
    times = dict.fromkeys(used["id"].to_list(), 1)
    train = used.filter(pl.col("part") == "train").sort("order")
    groups = [rows["id"].to_list() for _, rows in train.group_by("condition", maintain_order=True)]
    if len(groups) == 2:
        few, many = sorted(groups, key=len)
        whole, rest = divmod(len(many), len(few))
        times.update({name: whole + (index < rest) for index, name in enumerate(few)})
    return times


def examples(clips: pl.DataFrame, params: SftParams) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The table of examples (schema EXAMPLES) and the counts in `facts.json`.

    Args:
        clips: Schema SFT_CLIPS: the aligned and misaligned rows of the dataset's train split.

    Raises:
        ConfigError: `sft.classes` names a class that the dataset lacks.
        DataError: A part lacks a condition, an answer is not among its options, or a clip's base is missing.
    """
    placed = parted(clips, params)
    used = placed.filter(pl.col("reason") == "")
    if not clips.is_empty():
        _refuse_an_empty_part(clips, placed, params)
    times = copies(used)
    rows = []
    for clip in used.iter_rows(named=True):
        for question in QUESTIONS:
            answer = expected(Protocol.FORCED_CHOICE, clip, question)
            if answer not in clip["options"]:
                raise DataError(
                    f"{clip['id']}: the {question} answer {answer!r} is not among its options",
                    hint="run `dvc repro` to package the dataset again",
                )
            asked = {"question": question, "prompt": text_of(Protocol.FORCED_CHOICE, clip, question), "answer": answer}
            rows += [
                {**clip, **asked, "copy": copy, "example_id": f"{clip['id']}.{question}.{copy}"}
                for copy in range(times[clip["id"]])
            ]
    return from_rows(rows, EXAMPLES), _counts(placed, used, times, [str(name) for name in params.conditions])


def _refuse_an_empty_part(clips: pl.DataFrame, placed: pl.DataFrame, params: SftParams) -> None:
    empty = _empty_part(placed, params)
    if empty is None:
        return
    part, condition = empty
    rows = placed.filter((pl.col("part") == part) & (pl.col("condition") == condition))
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(Counter(rows["reason"]).items()))
    hint = "use more clips or classes"
    if params.validation_questions is not None:
        hint = f"lower sft.validation_questions, or {hint}"
    else:
        others = [params.model_copy(update={"validation_share": share}) for share in (*_SHARES, 0.0)]
        enough = [other.validation_share for other in others if _empty_part(parted(clips, other), other) is None]
        if enough:
            without = "" if enough[0] else ", that is, without a validation part"
            hint = f"set sft.validation_share to {enough[0]:g}{without}, or {hint}"
    raise DataError(f"the {part} part has no {condition} clip (left out: {reasons or 'none'})", hint=hint)


def _empty_part(placed: pl.DataFrame, params: SftParams) -> tuple[str, str] | None:
    """The first part and condition without a clip, if there is one."""
    for part in PARTS if params.has_validation else PARTS[:1]:
        for condition in params.conditions:
            if placed.filter(part=part, condition=condition, reason="").is_empty():
                return part, condition
    return None


def _counts(
    placed: pl.DataFrame, used: pl.DataFrame, times: Mapping[str, int], conditions: Sequence[str]
) -> dict[str, Any]:
    clips, asked, repeated = {}, {}, {}
    for condition in sorted(placed["condition"].unique()):
        reasons = Counter(placed.filter(pl.col("condition") == condition)["reason"])
        taken = reasons.pop("", 0)
        clips[condition] = {"in": reasons.total() + taken, **dict(sorted(reasons.items())), "ok": taken}
    for part in PARTS:
        of_part = {
            name: [times[i] for i in used.filter((pl.col("part") == part) & (pl.col("condition") == name))["id"]]
            for name in conditions
        }
        asked[part] = {name: dict.fromkeys(QUESTIONS, sum(each)) for name, each in of_part.items()}
        repeated[part] = {
            name: {"clips": len(each), "fewest": min(each, default=0), "most": max(each, default=0)}
            for name, each in of_part.items()
        }
    train = used.filter(pl.col("part") == "train")
    classes = sorted({*train["visual_class"], *train["audio_class"]})
    return {"clips": clips, "examples": asked, "copies": repeated, "classes": classes}


def read_clips(benchmark: Benchmark, conditions: Sequence[str]) -> pl.DataFrame:
    """The aligned and misaligned rows of a split (schema SFT_CLIPS), without the media; none if it has no rows at all.

    Raises:
        ConfigError: The split has rows, but not the aligned ones, or lacks one of `conditions`; names it.
    """
    there = conditions_of(benchmark)
    if there:
        chosen_conditions(benchmark, [str(Condition.ALIGNED), *conditions])
    return from_rows([row for name in there for row in benchmark.rows(name, list(SFT_CLIPS))], SFT_CLIPS)


def conditions_of(benchmark: Benchmark) -> list[str]:
    """Those of `aligned` and `misaligned` that the split has."""
    return [name for name in benchmark.conditions() if name in (Condition.ALIGNED, Condition.MISALIGNED)]


def main(
    params: SftParams, *, dataset: str = str(layout.PACKAGE), revision: str | None = None, out: Path = layout.SFT
) -> None:
    """Run the stage.

    Args:
        params: The namespace `sft` of params.yaml.
        dataset: A folder that `mma-bench build package` wrote, or a dataset's name on the Hub.
        revision: Tag or commit on the Hub; a folder has none.
        out: The folder to write.
    """
    benchmark = Benchmark(dataset, revision=revision, split=Split.TRAIN)
    clips = read_clips(benchmark, params.conditions)
    if clips.is_empty():
        print(f"sft: {dataset} has no train split, so there are no tuning examples")
    table, counts = examples(clips, params)
    facts = {
        "dataset": {
            "name": dataset,
            "revision": revision,
            "split": str(Split.TRAIN),
            "sha256": {name: benchmark.fingerprint(name) for name in conditions_of(benchmark)},
        },
        "prompt_version": PROMPT_VERSION,
        "params": params.model_dump(mode="json", exclude_unset=True),
        **counts,
    }
    write_table(table, out / layout.SFT_EXAMPLES, EXAMPLES, sort_by=["example_id"])
    write_text(out / layout.SFT_CLASSES, "".join(f"{name}\n" for name in counts["classes"]))
    write_json(out / layout.SFT_FACTS, facts)
    for part, conditions in counts["examples"].items():
        print(f"{part}: {sum(n for each in conditions.values() for n in each.values())} examples {conditions}")
