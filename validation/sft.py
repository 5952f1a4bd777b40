"""Invariants of `examples.parquet`, the fine-tuning data: correct prompts and answers, no leaks from the test split."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.classes import chosen_classes
from mma_bench.config import Params, SftParams
from mma_bench.prompts import forced_choice
from mma_bench.schema import EXAMPLES, Modality, Schema, Split
from mma_bench.validation.accounts import counts_beside, differs_in
from mma_bench.validation.expect import Column, absent, at_least, at_most, equal, holds, one_of, unique
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.promises import Frames, Promise

TABLE = layout.SFT / layout.SFT_EXAMPLES

_STR, _LABELS = pl.String(), pl.List(pl.String())
# The columns needed from the dataset.
_PACKAGED: Final[Schema] = {
    **dict.fromkeys(("id", "condition", "base_id", "donor_id", "visual_class", "audio_class"), _STR),
    **dict.fromkeys(("video_sha256", "audio_sha256"), _STR),
    "options": _LABELS,
}
_COPIED = ("condition", "base_id", "visual_class", "audio_class", "options")
_MEDIA = ("clip", "picture", "sound")


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the table and the dataset that it was made from, and compute the facts."""
    examples = inputs.table(TABLE, EXAMPLES)
    facts = inputs.json(layout.SFT / layout.SFT_FACTS)
    train, test = (packaged(inputs, split) for split in (Split.TRAIN, Split.TEST))
    aligned = train.filter(pl.col("condition") == "aligned")
    classes = chosen_classes(aligned["visual_class"], params.sft.classes, params.sft.seed) if aligned.height else []
    return {
        "rows": example_facts(examples, train, classes),
        "clips": clip_facts(examples),
        "media": medium_facts(examples, train, test),
        "balance": balance(examples, [str(name) for name in params.sft.conditions]),
        "parts": part_facts(examples, params.sft if aligned.height else None),
        "bases": base_facts(examples),
        "counts": example_counts(facts, examples),
    }


def packaged(inputs: Inputs, split: Split) -> pl.DataFrame:
    """The rows of one split of the dataset without the media; empty if it has no shards."""
    shards = sorted((layout.PACKAGE / "data").glob(f"*/{split}-*.parquet"))
    tables = [pl.read_parquet(inputs.note(path), columns=list(_PACKAGED)) for path in shards]
    return pl.concat([pl.DataFrame(schema=_PACKAGED), *(table.cast(pl.Schema(_PACKAGED)) for table in tables)])


def example_facts(examples: pl.DataFrame, train: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
    """One row per example, compared with its clip in the dataset's train split; lists as strings.

    `altered`: the first column that differs; `due_prompt`, `due_answer`: the paper's question about the clip, and the
    class of the modality that it asks about; `due_id`: the example's id from its clip, question and copy.
    """
    first = train.unique("id", keep="first", maintain_order=True)
    options = examples.select("id").join(first.select("id", "options"), on="id", how="left", maintain_order="left")
    asked = zip(examples["question"], options["options"].to_list(), strict=True)
    return examples.select(
        "example_id",
        pl.exclude("example_id", "options"),
        differs_in(examples, first, "id", _COPIED).alias("altered"),
        pl.Series("due_prompt", [_prompt(question, names) for question, names in asked], dtype=_STR),
        pl.when(pl.col("question") == "visual")
        .then("visual_class")
        .otherwise(pl.when(pl.col("question") == "audio").then("audio_class"))
        .alias("due_answer"),
        pl.format("{}.{}.{}", "id", "question", "copy").alias("due_id"),
        pl.col("options").list.contains(pl.col("answer")).alias("answer_is_offered"),
        pl.col("options").list.join(", "),
        (pl.col("visual_class").is_in(classes) & pl.col("audio_class").is_in(classes)).alias("of_chosen_classes"),
    )


def _prompt(question: Modality, options: list[str] | None) -> str | None:
    return forced_choice(question, options) if options is not None and question in ("visual", "audio") else None


def clip_facts(examples: pl.DataFrame) -> pl.DataFrame:
    """One row per clip and part: the number of examples per question, and whether copies are numbered from 0."""
    of_question = {question: pl.col("question") == question for question in ("visual", "audio")}
    return (
        examples.group_by("id", "part")
        .agg(
            *(asked.sum().cast(pl.Int64()).alias(name) for name, asked in of_question.items()),
            pl.all_horizontal(
                (pl.col("copy").filter(asked).sort() == pl.int_range(asked.sum())).all()
                for asked in of_question.values()
            ).alias("copies_run_from_0"),
        )
        .sort("id", "part")
    )


def medium_facts(examples: pl.DataFrame, train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """One row per clip, picture or sound in the examples: `medium`, its id or hash; `kind`, one of _MEDIA; `parts`, the
    number of parts it is in; `in_test`, whether it is in the test split.

    The clips of an example are the sources of its picture and its sound. The pictures and sounds of a part include
    those of the aligned clips that its examples are made from.
    """
    shown = _media(
        examples.select("id", "part").unique().join(train.unique("id"), on="id", how="inner"), train, ["part"]
    )
    tested = _media(test, test, []).unique().with_columns(in_test=pl.lit(True))
    return (
        shown.group_by("medium", "kind")
        .agg(pl.col("part").n_unique().cast(pl.Int64()).alias("parts"))
        .join(tested, on=["medium", "kind"], how="left")
        .with_columns(pl.col("in_test").fill_null(False))
        .sort("kind", "medium")
    )


def _media(rows: pl.DataFrame, split: pl.DataFrame, keep: list[str]) -> pl.DataFrame:
    """`medium` and `kind` of all media in `rows`, with the columns `keep`."""
    aligned = split.filter(pl.col("condition") == "aligned").select("base_id", "video_sha256", "audio_sha256")
    clips = pl.concat(
        [
            rows.select(*keep, medium=pl.col("base_id")),
            rows.select(*keep, medium=pl.col("donor_id").fill_null(pl.col("base_id"))),
        ]
    )
    whole = clips.join(aligned, left_on="medium", right_on="base_id", how="inner")
    found = {
        "clip": [clips],
        "picture": [frame.select(*keep, medium=pl.col("video_sha256")) for frame in (rows, whole)],
        "sound": [frame.select(*keep, medium=pl.col("audio_sha256")) for frame in (rows, whole)],
    }
    return pl.concat(
        frame.with_columns(kind=pl.lit(kind)).select("medium", "kind", *keep)
        for kind, listed in found.items()
        for frame in listed
    )


def balance(examples: pl.DataFrame, conditions: list[str]) -> pl.DataFrame:
    """One row per question: examples of the train part by condition; a single configured condition counts twice."""
    train = examples.filter(pl.col("part") == "train")
    counted = {
        condition: [
            train.filter((pl.col("question") == question) & (pl.col("condition") == condition)).height
            for question in ("visual", "audio")
        ]
        for condition in conditions
    }
    first, last = counted[conditions[0]], counted[conditions[-1]]
    return pl.DataFrame(
        {"question": ["visual", "audio"], "first": first, "last": last},
        schema={"question": _STR, "first": pl.Int64(), "last": pl.Int64()},
    )


def part_facts(examples: pl.DataFrame, rule: SftParams | None) -> pl.DataFrame:
    """One row per part and condition that is expected or exists, with its number of examples.

    None are expected of a dataset without a train split: its parameters are None.
    """
    due = (
        [
            f"{part}, {condition}"
            for part in (("train", "validation") if rule.has_validation else ("train",))
            for condition in rule.conditions
        ]
        if rule is not None
        else []
    )
    there = {f"{part}, {name}": rows for part, name, rows in examples.group_by("part", "condition").len().iter_rows()}
    keys = sorted({*due, *there})
    return pl.DataFrame(
        {"part": keys, "examples": [there.get(key, 0) for key in keys], "due": [key in due for key in keys]},
        schema={"part": _STR, "examples": pl.Int64(), "due": pl.Boolean()},
    )


def base_facts(examples: pl.DataFrame) -> pl.DataFrame:
    """One row per base clip: its number of misaligned clips."""
    misaligned = pl.col("id").filter(pl.col("condition") == "misaligned").n_unique().cast(pl.Int64())
    return examples.group_by("base_id").agg(misaligned.alias("donors")).sort("base_id")


def example_counts(facts: Mapping[str, Any], examples: pl.DataFrame) -> pl.DataFrame:
    """The counts per part, condition and question in facts.json, next to those of the table."""
    said = {
        f"{part}.{condition}.{question}": count
        for part, conditions in facts["examples"].items()
        for condition, questions in conditions.items()
        for question, count in questions.items()
    }
    groups = examples.group_by("part", "condition", "question").len().iter_rows()
    return counts_beside(said, {f"{part}.{condition}.{question}": count for part, condition, question, count in groups})


_rule = partial(Promise, hint="run `mma-bench sft` again, then `dvc repro`")


def _stated_questions(params: Params) -> Promise:
    """Every clip is asked both questions, so the two questions are balanced if the conditions are."""
    of_condition = 2 * (params.sft.validation_clips or 0)
    return _rule(
        "validation_has_the_stated_questions",
        f"The validation part has {of_condition:,} questions under each condition (sft.validation_questions).",
        "section 5.2",
        one_of(
            "examples", [of_condition], Column("part").is_in([f"validation, {name}" for name in params.sft.conditions])
        ),
        frame="parts",
    )


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    most = params.sft.donors
    return [
        _rule("example_id_is_unique", "No two examples have the same id.", "the build", unique("example_id")),
        _rule(
            "example_id_names_clip_question_and_copy",
            "An example's id consists of its clip's id, the question and the copy number.",
            "the build",
            equal("example_id", "due_id"),
        ),
        _rule(
            "row_says_what_the_dataset_says",
            "Each example is about a row of the dataset's train split, with its condition, base, classes and options.",
            "section 5.1",
            absent("altered"),
        ),
        _rule(
            "part_is_known",
            "An example is for training or for validation.",
            "section 5.1",
            one_of("part", ["train", "validation"]),
        ),
        _rule(
            "prompt_is_that_of_the_paper",
            "The prompt is the paper's forced choice about one modality, with the options of the train split.",
            "Figure 5",
            equal("prompt", "due_prompt"),
        ),
        _rule(
            "answer_is_among_the_options",
            "The answer is one of the options in the prompt.",
            "section 3",
            holds("answer_is_offered"),
            show=("answer",),
        ),
        _rule(
            "answer_is_the_class_of_the_modality_asked",
            "The answer to the visual question is the class seen, to the audio question the class heard.",
            "section 5.1",
            equal("answer", "due_answer"),
        ),
        _rule(
            "classes_are_the_chosen_ones",
            "The classes seen and heard are among those that sft.classes selects.",
            "appendix H",
            holds("of_chosen_classes"),
            show=("visual_class", "audio_class"),
        ),
        _rule(
            "clip_is_asked_both_questions",
            "Each clip is asked both questions, equally often.",
            "section 5.1",
            equal("visual", "audio"),
            frame="clips",
            show=("part",),
        ),
        _rule(
            "copies_run_from_0",
            "A clip's copies are numbered from 0 without gaps.",
            "appendix D",
            holds("copies_run_from_0"),
            frame="clips",
        ),
        _rule(
            "validation_repeats_nothing",
            "In the validation part each clip is asked each question once.",
            "the build",
            at_most("visual", 1, Column("part") == "validation"),
            frame="clips",
        ),
        _rule(
            "conditions_have_equal_shares",
            "In the train part there are as many aligned as misaligned examples of each question.",
            "appendix D",
            equal("first", "last"),
            frame="balance",
        ),
        _rule(
            "part_has_every_condition",
            "Each part has examples of each condition that sft.conditions names.",
            "section 5.1",
            at_least("examples", 1),
            frame="parts",
        ),
        _rule(
            "nothing_else_is_in_a_part",
            "There are no parts or conditions other than those in params.yaml.",
            "section 5.1",
            holds("due"),
            frame="parts",
        ),
        *([] if params.sft.validation_clips is None else [_stated_questions(params)]),
        _rule(
            "donors_are_no_more_than_asked",
            f"Each base clip has at most {'as many donors as the dataset' if most is None else most} (sft.donors).",
            "section 5.1",
            at_most("donors", 2**53 if most is None else most),
            frame="bases",
        ),
        *(
            promise
            for kind in _MEDIA
            for promise in (
                _rule(
                    f"{kind}_is_in_one_part",
                    f"No {kind} is both in the train and in the validation part.",
                    "section 5.1",
                    one_of("parts", [1], Column("kind") == kind),
                    frame="media",
                ),
                Promise(
                    f"{kind}_is_not_in_the_test_split",
                    f"No {kind} of the test split is in the examples.",
                    "section 5.1",
                    one_of("in_test", [False], Column("kind") == kind),
                    hint="run `mma-bench build verify` again, which drops such clips, then `dvc repro`",
                    frame="media",
                ),
            )
        ),
        _rule(
            "counts_are_those_of_the_facts",
            "The counts in facts.json per part, condition and question match the table.",
            "the build",
            equal("reported", "counted"),
            frame="counts",
        ),
    ]
