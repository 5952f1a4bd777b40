"""Invariants of `normalised.parquet`: every acquired clip has a status, and every good clip the required format.

Also checks `acquired.parquet`, which has no gate of its own because this is the first stage that reads it.
"""

from functools import partial
from pathlib import Path

import polars as pl

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.executor.task import SETTLED
from mma_bench.frozen import read_frozen_manifest
from mma_bench.schema import ACQUIRED, CANDIDATES, IDENTITY, NORMALISED, Split
from mma_bench.validation.accounts import count_rows, counts_beside, differs_in, outer_join_ids
from mma_bench.validation.clips import OK, clip_facts, clip_promises
from mma_bench.validation.expect import Column, above, absent, at_least, at_most, between, equal, holds, one_of, unique
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.promises import Frames, Promise

TABLE = layout.NORMALISED

_MIN_SOUND_SHARE = 0.9
_TEST = OK & (Column("split") == str(Split.TEST))
_TRAIN = OK & (Column("split") == str(Split.TRAIN))


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the tables and compute the facts."""
    candidates = inputs.table(layout.CANDIDATES, CANDIDATES)
    acquired = inputs.table(layout.ACQUIRED, ACQUIRED)
    normalised = inputs.table(layout.NORMALISED, NORMALISED)
    metrics = {stage: inputs.json(layout.metrics(stage)) for stage in ("acquire", "normalise")}
    identity = [column for column in IDENTITY if column != "clip_id"]
    return {
        "rows": clip_facts(normalised, "validate_normalised", params).with_columns(
            (pl.col("audio_duration_s") / pl.col("video_duration_s")).alias("sound_share"),
            differs_in(
                normalised, acquired.unique("clip_id", keep="first", maintain_order=True), "clip_id", identity
            ).alias("altered"),
        ),
        "acquired": acquired_facts(acquired, candidates, params),
        "due": clips_due(acquired, candidates, params),
        "splits": class_counts(normalised, params),
        "ids": outer_join_ids(acquired.filter(pl.col("status") == "ok")["clip_id"], normalised["clip_id"]),
        "counts": pl.concat(
            count_rows(metrics[stage], table).with_columns(f"{stage}." + pl.col("count"))
            for stage, table in (("acquire", acquired), ("normalise", normalised))
        ),
    }


def acquired_facts(acquired: pl.DataFrame, candidates: pl.DataFrame, params: Params) -> pl.DataFrame:
    """`acquired` without its lists, and `altered`: the first column that differs from the candidate of its split."""
    split = pl.col("subset").replace_strict(params.subsets(), default=None, return_dtype=pl.String())
    due = candidates.with_columns(split=split).drop_nulls("split").unique("clip_id", keep="first", maintain_order=True)
    columns = ["split", *(column for column in IDENTITY if column in CANDIDATES and column != "clip_id")]
    return acquired.drop("label_ids").with_columns(differs_in(acquired, due, "clip_id", columns).alias("altered"))


def clips_due(acquired: pl.DataFrame, candidates: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Split → `reported`, the number of candidates (up to acquire.limit, or those in acquire.manifest), and `counted`,
    its rows in `acquired`.
    """
    limit = params.acquire.limit
    manifest = read_frozen_manifest(Path(params.acquire.manifest)) if params.acquire.manifest is not None else None
    due: dict[str, int] = {}
    counted: dict[str, int] = {}
    for split, subsets in params.acquire.splits.items():
        clips = candidates.filter(pl.col("subset").is_in(subsets))["clip_id"].n_unique()
        if manifest is not None:
            clips = manifest.filter(pl.col("split") == split).height
        due[split] = clips if limit is None else min(clips, limit)
        counted[split] = acquired.filter(pl.col("split") == split).height
    return counts_beside(due, counted)


def class_counts(normalised: pl.DataFrame, params: Params) -> pl.DataFrame:
    """One row per split that is built: the `classes` of its good clips, the `donors` that each clip needs, from as many
    other classes, and whether there are `enough`.
    """
    good = normalised.filter(pl.col("status") == "ok")
    chosen = {} if params.pair.given else params.pair.donors  # given pairs need no classes to choose from
    splits = [split for split in chosen if params.acquire.splits.get(split)]
    return pl.DataFrame(
        [
            (split, good.filter(pl.col("split") == split)["class_name"].n_unique(), params.pair.donors[split])
            for split in splits
        ],
        schema={"split": pl.String(), "classes": pl.Int64(), "donors": pl.Int64()},
        orient="row",
    ).with_columns(enough=pl.col("classes") > pl.col("donors"))


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    return [
        *_of_the_collection(),
        *clip_promises(["ok", "refused", "given_up"], _rule.keywords["hint"]),
        *_of_the_form(params),
    ]


_rule = partial(Promise, hint="run `mma-bench build normalise` again, then `dvc repro`")
_acquire = partial(Promise, hint="run `mma-bench build acquire` again, then `dvc repro`")


def _of_the_collection() -> list[Promise]:
    tried = sorted(SETTLED - {"rejected"})
    return [
        _acquire(
            "every_candidate_due_was_tried",
            "Each candidate of a split, up to acquire.limit, has a row with the result of acquiring it.",
            "the build",
            equal("reported", "counted"),
            frame="due",
        ),
        _acquire(
            "acquired_clip_is_unique", "No clip was acquired twice.", "the build", unique("clip_id"), frame="acquired"
        ),
        _acquire(
            "acquired_clip_is_a_candidate",
            "An acquired clip is a candidate from a subset of its split, and has its class, labels and times.",
            "appendix A.2",
            absent("altered"),
            frame="acquired",
        ),
        _acquire(
            "acquired_status_is_settled",
            f"Acquiring a clip ended as one of: {', '.join(tried)}.",
            "the build",
            one_of("status", tried),
            frame="acquired",
            show=("reason", "detail"),
        ),
        _rule(
            "every_acquired_clip_is_accounted_for",
            "Each acquired clip has a row here, good or refused.",
            "the build",
            holds("present"),
            frame="ids",
        ),
        _rule(
            "no_clip_comes_from_nowhere",
            "Each row here is a clip that was acquired.",
            "the build",
            holds("expected"),
            frame="ids",
        ),
        Promise(
            "counts_add_up",
            "The counts that acquire and normalise report match their tables, reason by reason.",
            "Table 1",
            equal("reported", "counted"),
            "run `mma-bench build acquire` and `mma-bench build normalise` again, then `dvc repro`",
            frame="counts",
        ),
        _rule("clip_is_unique", "No clip has two rows.", "the build", unique("clip_id")),
        _rule(
            "clip_is_what_was_acquired",
            "Class, labels, split, source video, times, source and licence match the acquired clip.",
            "the build",
            absent("altered"),
        ),
        Promise(
            "split_has_classes_for_its_donors",
            "Each split that is built has good clips of more classes than pair.donors asks of its clips.",
            "section 3, section 5.1",
            holds("enough"),
            "lower pair.donors below the number of classes, acquire more clips, or set acquire.splits.<split> to [] to "
            "build without the split",
            frame="splits",
            show=("classes", "donors"),
        ),
    ]


def _of_the_form(params: Params) -> list[Promise]:
    clip_s, slack, size = params.normalise.clip_s, params.validate_.duration_tolerance_s, params.normalise.train_size
    shortest_s = params.normalise.shortest_train_s
    span = f"{clip_s:g}" if shortest_s == clip_s else f"{shortest_s:g} to {clip_s:g}"
    return [
        _rule(
            "test_clip_is_not_too_long",
            f"A test clip lasts at most {clip_s:g} s, plus {slack:g} s for the last packets.",
            "section 3",
            at_most("duration_s", clip_s + slack, _TEST),
        ),
        _rule(
            "test_clip_is_not_too_short",
            f"The video of a test clip lasts at least {params.normalise.min_test_s:g} s.",
            "section 3",
            at_least("video_duration_s", params.normalise.min_test_s, _TEST),
        ),
        _rule(
            "sound_covers_the_picture",
            f"The sound lasts at least {_MIN_SOUND_SHARE:.0%} of the video, so that both can be asked about.",
            "section 3",
            at_least("sound_share", _MIN_SOUND_SHARE, OK),
        ),
        *(
            _rule(
                f"train_{stream}_has_the_fixed_length",
                f"The {stream} of a train clip lasts {span} ± {slack:g} s; others are discarded.",
                "appendix C",
                between(f"{stream}_duration_s", shortest_s - slack, clip_s + slack, _TRAIN),
            )
            for stream in ("video", "audio")
        ),
        *(
            _rule(
                f"train_{side}_is_fixed",
                f"The {side} of a train clip is {size} pixels: frames are scaled to cover the square, then cropped.",
                "appendix C",
                one_of(side, [size], _TRAIN),
            )
            for side in ("width", "height")
        ),
        _rule(
            "sound_is_audible",
            f"The peak of a good clip is at least {params.normalise.min_rms_dbfs:g} dBFS: it is not silent.",
            "section 3, appendix B.2",
            at_least("audio_peak", params.normalise.min_peak, OK),
        ),
        _rule(
            "picture_is_not_black",
            f"The brightest pixel of a good clip is above {params.validate_.max_black_luma:g} on the scale of 255.",
            "section 3",
            above("luma_max", params.validate_.max_black_luma, OK),
        ),
    ]
