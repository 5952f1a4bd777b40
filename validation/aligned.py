"""Invariants of `aligned.parquet`, the source of all conditions: accepted, with motion, no leaks between splits."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.near_hashes import HASH_BITS
from mma_bench.schema import ACQUIRED, ALIGNED, FACTS, FILE, IDENTITY, NORMALISED, VERDICTS
from mma_bench.validation.accounts import counts_beside, differs_in, outer_join_ids
from mma_bench.validation.expect import above, absent, at_least, equal, holds, one_of, unique
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.leaks import nearest_pictures, shared_with
from mma_bench.validation.promises import Frames, Promise

TABLE = layout.ALIGNED

_SHARED = ("video_id", "source_sha256", "video_sha256", "audio_sha256")


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the tables and compute the facts."""
    acquired = inputs.table(layout.ACQUIRED, ACQUIRED)
    normalised = inputs.table(layout.NORMALISED, NORMALISED)
    verdicts = inputs.table(layout.VERDICTS, VERDICTS)
    aligned = inputs.table(layout.ALIGNED, ALIGNED)
    metric = inputs.json(layout.metrics("verify"))
    passed = verdicts.filter(pl.col("status") == "ok")
    dropping = [split for split, counts in metric.items() if counts["ok"] < counts["in"]]
    may_lack = passed.filter(pl.col("split").is_in(dropping))["clip_id"].to_list()
    kept = pl.col("present") | pl.col("clip_id").is_in(may_lack)
    return {
        "rows": aligned_facts(aligned, acquired, normalised, passed, params.validate_.near_duplicate_bits),
        "ids": outer_join_ids(passed["clip_id"], aligned["clip_id"]).with_columns(kept=kept),
        "splits": pl.DataFrame(
            {
                "split": list(params.conditions()),
                "clips": [aligned.filter(pl.col("split") == split).height for split in params.conditions()],
            },
            schema={"split": pl.String(), "clips": pl.Int64()},
        ),
        "counts": verify_counts(metric, passed, aligned),
    }


def aligned_facts(
    aligned: pl.DataFrame, acquired: pl.DataFrame, normalised: pl.DataFrame, passed: pl.DataFrame, bits: int
) -> pl.DataFrame:
    """The table without its labels, and what it shares with the other split.

    `altered`: the first column that differs from `normalised`; `wrong_judge`: the same for the verdict; `<key>_twin`: a
    clip of the other split with the same value, null if there is none; `nearest_bits`, `nearest_clip`: a clip of the
    other split whose picture differs in at most `bits` bits; `unsupported`: a description if a clip is verified without
    evidence, or has evidence but is not verified.
    """
    columns = [column for column in (*IDENTITY, *FILE, *FACTS) if column != "clip_id"]
    files = acquired.unique("clip_id", keep="first", maintain_order=True).select("clip_id", source_sha256="sha256")
    aligned = aligned.join(files, on="clip_id", how="left", maintain_order="left")
    return aligned.drop("label_ids").with_columns(
        differs_in(aligned, normalised.unique("clip_id", keep="first", maintain_order=True), "clip_id", columns).alias(
            "altered"
        ),
        differs_in(aligned, passed.unique("clip_id", keep="first", maintain_order=True), "clip_id", ["judge"]).alias(
            "wrong_judge"
        ),
        *(shared_with(aligned, key).alias(f"{key}_twin") for key in _SHARED),
        *nearest_pictures(aligned, bits),
        pl.when((pl.col("evidence") != "") != pl.col("human_verified"))
        .then(pl.format("{} evidence, human_verified = {}", pl.col("evidence"), pl.col("human_verified")))
        .alias("unsupported"),
    )


def verify_counts(metric: Mapping[str, Mapping[str, int]], passed: pl.DataFrame, aligned: pl.DataFrame) -> pl.DataFrame:
    """The clips in and out of each split, as reported by the stage and as counted."""
    said: dict[str, int] = {}
    counted: dict[str, int] = {}
    for split, counts in metric.items():
        said |= {f"{split}.in": counts["in"], f"{split}.ok": counts["ok"], f"{split}.sum": counts["in"]}
        counted[f"{split}.sum"] = sum(counts.values()) - counts["in"]
    for key, table in (("in", passed), ("ok", aligned)):
        counted |= {f"{split}.{key}": rows for split, rows in table.group_by("split").len().iter_rows()}
    return counts_beside(said, counted)


_rule = partial(Promise, hint="run `mma-bench build verify` again, then `dvc repro`")


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    bits = params.validate_.near_duplicate_bits
    return [
        Promise(
            "split_has_clips",
            "Each split that acquire.splits builds has aligned clips.",
            "Table 1",
            at_least("clips", 1),
            "acquire more clips, or set acquire.splits.<split> to [] to build without the split",
            frame="splits",
        ),
        _rule(
            "clip_passed_the_judge",
            "Each aligned clip passed all checks of the judge.",
            "appendix B.1",
            holds("expected"),
            frame="ids",
        ),
        _rule(
            "passed_clip_is_kept",
            "Each clip that passed the judge is aligned, unless verify counts a reason why it is not.",
            "appendix B.2",
            holds("kept"),
            frame="ids",
        ),
        _rule(
            "counts_add_up",
            "The counts that verify reports add up and match its tables.",
            "Table 1",
            equal("reported", "counted"),
            frame="counts",
        ),
        _rule(
            "clip_is_unique",
            "No clip is listed twice, not even in different splits.",
            "section 3",
            unique("clip_id"),
            show=("split",),
        ),
        _rule(
            "clip_is_what_was_normalised",
            "Class, labels, file, hashes and decoded facts match the normalised clip.",
            "the build",
            absent("altered"),
        ),
        _rule(
            "judge_is_the_one_who_judged",
            "Each row names the judge that accepted the clip.",
            "appendix B.1",
            absent("wrong_judge"),
        ),
        _rule(
            "verified_means_reviewed",
            "A clip is marked as human-verified if verification is required, and only if there are reviews.",
            "appendix B.2",
            one_of("human_verified", _verified(params)),
        ),
        _rule(
            "evidence_is_on_record",
            "A human-verified clip names its evidence, and no other clip has any.",
            "appendix B.2",
            absent("unsupported"),
        ),
        _rule(
            "evidence_is_what_was_asked_for",
            "Only the evidence that verify.evidence names was used.",
            "appendix B.2",
            one_of("evidence", _voices(params)),
        ),
        _rule(
            "picture_moves",
            f"No still images: frames 0.2 s apart differ by at least {params.validate_.min_motion:g} of 255.",
            "appendix B.2",
            at_least("motion", params.validate_.min_motion),
            hint="run `mma-bench build normalise` again, then `dvc repro`",
        ),
        _rule(
            "source_video_is_on_one_side",
            "No source video has clips in both splits.",
            "section 3",
            absent("video_id_twin"),
            show=("video_id",),
        ),
        _rule(
            "source_file_is_on_one_side",
            "No file, under whatever ids, has clips in both splits.",
            "section 3",
            absent("source_sha256_twin"),
        ),
        _rule(
            "picture_is_on_one_side",
            "No clip's video stream is in both splits.",
            "section 3",
            absent("video_sha256_twin"),
        ),
        _rule(
            "sound_is_on_one_side",
            "No clip's audio stream is in both splits.",
            "section 3",
            absent("audio_sha256_twin"),
        ),
        _rule(
            "near_duplicate_is_on_one_side",
            f"Perceptual hashes of pictures in different splits differ in more than {bits} of {HASH_BITS} bits.",
            "section 3",
            above("nearest_bits", bits),
            show=("nearest_clip",),
        ),
    ]


def _verified(params: Params) -> list[bool]:
    if params.verify.required:
        return [True]
    by_people = "vggsounder" in params.verify.evidence or params.verify.reviews is not None
    return [True, False] if by_people else [False]


def _voices(params: Params) -> list[str]:
    named = sorted(set(params.verify.evidence))
    return ["", *named, *([", ".join(named)] if len(named) > 1 else [])]
