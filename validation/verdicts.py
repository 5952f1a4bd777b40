"""Invariants of `verdicts.parquet`: each good clip is judged by the same judge, and must pass all four checks."""

from functools import partial

import polars as pl

from mma_bench import layout
from mma_bench.config import EncoderJudgeParams, JudgeSection, NoJudgeParams, OmniJudgeParams, Params
from mma_bench.models.encoders.thresholds import read_thresholds
from mma_bench.prompts import SAYS_YES
from mma_bench.schema import CHECKS, NORMALISED, VERDICTS
from mma_bench.validation.accounts import count_rows, differs_in, first_null, outer_join_ids
from mma_bench.validation.expect import SHA256, Column, absent, between, equal, holds, matches, one_of, unique
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.promises import Frames, Promise

TABLE = layout.VERDICTS

_OK, _REJECTED = Column("status") == "ok", Column("status") == "rejected"
_JUDGED = Column("status").is_in(["ok", "rejected"])
_PASSES = [f"{check}_pass" for check in CHECKS]
_SCORES = [f"{check}_score" for check in CHECKS]


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the tables and compute the facts."""
    normalised = inputs.table(layout.NORMALISED, NORMALISED)
    verdicts = inputs.table(layout.VERDICTS, VERDICTS)
    metric = inputs.json(layout.metrics("judge"))
    return {
        "rows": unchecked_facts(verdicts, normalised)
        if isinstance(params.judge, NoJudgeParams)
        else verdict_facts(verdicts, normalised, params.judge),
        "ids": outer_join_ids(normalised.filter(pl.col("status") == "ok")["clip_id"], verdicts["clip_id"]),
        "counts": count_rows(metric, verdicts),
        "judges": judge_facts(verdicts),
    }


def altered(verdicts: pl.DataFrame, normalised: pl.DataFrame) -> pl.Expr | pl.Series:
    """The first column that differs from `normalised`."""
    clips = normalised.unique("clip_id", keep="first", maintain_order=True)
    return differs_in(verdicts, clips, "clip_id", ["split", "class_name"]).alias("altered")


def unchecked_facts(verdicts: pl.DataFrame, normalised: pl.DataFrame) -> pl.DataFrame:
    """The table with `altered` and `passed_unchecked`, for a build without a judge."""
    empty = pl.all_horizontal(pl.col(name).is_null() for name in (*_PASSES, *_SCORES))
    return verdicts.with_columns(altered(verdicts, normalised), passed_unchecked=(pl.col("status") == "ok") & empty)


def verdict_facts(verdicts: pl.DataFrame, normalised: pl.DataFrame, judge: JudgeSection) -> pl.DataFrame:
    """The table with `failed_check`, the first check in the paper's order that failed, null if none did.

    `unanswered`: the first check without a score or an answer; `misjudged`: the first check whose decision does not
    follow the judge's rule from its score or answer; `altered`: the first column that differs from `normalised`.
    """
    misjudged = [
        pl.when(pl.col(f"{check}_pass") != decision(check, judge).fill_null(value=False)).then(pl.lit(check))
        for check in CHECKS
    ]
    failed = [pl.when(~pl.col(f"{check}_pass")).then(pl.lit(check)) for check in CHECKS]
    return verdicts.with_columns(
        pl.coalesce(*failed, pl.lit(None, pl.String())).alias("failed_check"),
        pl.coalesce(*misjudged, pl.lit(None, pl.String())).alias("misjudged"),
        first_null([*_PASSES, *_SCORES]).alias("unanswered"),
        altered(verdicts, normalised),
    )


def decision(check: str, judge: JudgeSection) -> pl.Expr:
    """Whether a check passes, by the rule in params.yaml: the judge's answer, or its score and the threshold."""
    if isinstance(judge, OmniJudgeParams) and judge.decide_by == "answer":
        return pl.col(f"{check}_answer").str.contains(SAYS_YES)
    if isinstance(judge, EncoderJudgeParams):
        thresholds, _ = read_thresholds(judge)
        of_class = thresholds["visual" if check.startswith("visual") else "audio"]
        return pl.col(f"{check}_score") >= pl.col("class_name").replace_strict(
            of_class, default=None, return_dtype=pl.Float64
        )
    threshold = judge.visual_threshold if check.startswith("visual") else judge.audio_threshold
    return pl.col(f"{check}_score") >= threshold


def judge_facts(verdicts: pl.DataFrame) -> pl.DataFrame:
    """One row per judge and revision that gave verdicts, with `is_the_only_one`."""
    given = verdicts.filter(pl.col("status").is_in(["ok", "rejected"]))
    judges = given.group_by("judge", "judge_revision").agg(pl.len().alias("verdicts")).sort("judge", "judge_revision")
    return judges.with_columns(is_the_only_one=pl.lit(judges.height == 1))


_rule = partial(Promise, hint="run `mma-bench build judge` again, then `dvc repro`")


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    if isinstance(params.judge, NoJudgeParams):
        return [*_of_the_table(), *_of_no_judge()]
    return [*_of_the_table(), *_of_the_checks()]


def _of_the_table() -> list[Promise]:
    return [
        _rule(
            "every_good_clip_is_judged",
            "Each normalised clip has a verdict.",
            "appendix B.1",
            holds("present"),
            frame="ids",
        ),
        _rule(
            "nothing_else_is_judged",
            "Each verdict is about a normalised clip.",
            "appendix B.1",
            holds("expected"),
            frame="ids",
        ),
        _rule(
            "counts_add_up",
            "The counts that the judge stage reports match its table, reason by reason.",
            "Table 1",
            equal("reported", "counted"),
            frame="counts",
        ),
        _rule("verdict_is_unique", "No clip has two verdicts.", "appendix B.1", unique("clip_id")),
        _rule(
            "clip_was_judged_for_its_class",
            "Split and class, as given to the judge, match the clip.",
            "appendix B.1",
            absent("altered"),
        ),
        _rule(
            "status_is_known",
            "Each clip is passed, rejected by the judge, or refused or given up because it could not be judged.",
            "the build",
            one_of("status", ["ok", "rejected", "refused", "given_up"]),
            show=("reason", "detail"),
        ),
    ]


def _of_no_judge() -> list[Promise]:
    return [
        _rule(
            "every_clip_passes_unchecked",
            "There is no judge: every clip passes, and none has the score or answer of a check.",
            "the build",
            holds("passed_unchecked"),
        )
    ]


def _of_the_checks() -> list[Promise]:
    return [
        _rule(
            "every_check_is_answered",
            "A judged clip has a score and an answer for each of the four checks.",
            "appendix B.1",
            absent("unanswered", _JUDGED),
        ),
        _rule(
            "answer_follows_the_rule",
            "Each decision follows from the score or answer by the judge's rule in params.yaml.",
            "appendix B.1",
            absent("misjudged", _JUDGED),
        ),
        _rule(
            "passed_clip_passes_all_four_checks",
            "A clip is kept only if all four checks say yes.",
            "appendix B.1",
            absent("failed_check", _OK),
        ),
        _rule(
            "rejected_clip_names_the_check_that_failed",
            "A rejected clip's reason is the first check, in the paper's order, that said no.",
            "appendix B.1",
            equal("reason", "failed_check", _REJECTED),
        ),
        *(
            _rule(
                f"{score}_is_a_score",
                f"The score of the {score.removesuffix('_score').replace('_', ' ')} check is between 0 and 1.",
                "appendix B.1",
                between(score, 0, 1, _JUDGED),
            )
            for score in _SCORES
        ),
        Promise(
            "one_judge_for_all",
            "All clips were judged by the same judge in the same revision: weights, thresholds and code.",
            "appendix B.1",
            holds("is_the_only_one"),
            "delete data/ledgers/judge.jsonl and run `mma-bench build judge` again",
            frame="judges",
            show=("judge_revision",),
        ),
        _rule(
            "prompt_is_on_record",
            "Each verdict has the hash of the prompt.",
            "appendix B.1",
            matches("prompt_sha256", SHA256, _JUDGED),
        ),
    ]
