"""Invariants of every table whose rows are clips with a status, a file and decoded facts."""

from collections.abc import Sequence
from functools import partial

import polars as pl

from mma_bench.config import Params
from mma_bench.schema import FACTS, FILE
from mma_bench.validation.accounts import file_states, first_given, first_null
from mma_bench.validation.expect import SHA256, Column, absent, filled, matches, one_of
from mma_bench.validation.promises import Promise

OK = Column("status") == "ok"
NOT_OK = Column("status") != "ok"

_HASHES = {"sha256": SHA256, "video_sha256": SHA256, "audio_sha256": SHA256, "phash": "^[0-9a-f]{16}$"}


def clip_facts(table: pl.DataFrame, gate: str, params: Params) -> pl.DataFrame:
    """The table (columns of OUTCOME, FILE and FACTS) without its lists, and three columns about each row.

    `lacks` is the first fact that a good row lacks, `stray` the first fact that another row has, null if there is none;
    `file_state` is "as recorded", "missing" or "changed", null for a row without a file.
    """
    ok, facts = pl.col("status") == "ok", [*FILE, *FACTS]
    lists = [column for column, dtype in table.schema.items() if dtype == pl.List(pl.String())]
    return table.drop(lists).with_columns(
        pl.when(ok).then(first_null(facts)).alias("lacks"),
        pl.when(~ok).then(first_given(facts)).alias("stray"),
        file_states(table, gate, params.workers, params.on_ray()),
    )


def clip_promises(statuses: Sequence[str], hint: str) -> list[Promise]:
    """The promises about `clip_facts`.

    Args:
        statuses: The statuses that the stage may give a clip.
        hint: What to do if one is broken.
    """
    rule = partial(Promise, hint=hint)
    return [
        rule(
            "status_is_known",
            f"Each clip ended as one of: {', '.join(statuses)}.",
            "the build",
            one_of("status", statuses),
            show=("reason", "detail"),
        ),
        rule(
            "refusal_has_a_reason",
            "An excluded clip has a reason code, which the funnel counts.",
            "the build",
            matches("reason", "^[a-z][a-z0-9_]*$", NOT_OK),
        ),
        rule(
            "good_clip_has_no_reason",
            "A good clip has no reason for exclusion.",
            "the build",
            one_of("reason", [""], OK),
        ),
        rule(
            "good_clip_has_every_fact",
            "A good clip has a file and all facts decoded from it.",
            "the build",
            absent("lacks", OK),
        ),
        rule(
            "refused_clip_has_no_facts",
            "An excluded clip has neither file nor facts, so that no later stage can use it.",
            "the build",
            absent("stray", NOT_OK),
        ),
        rule(
            "file_is_as_recorded",
            "A good clip's file exists and has the hash in the table, so the facts describe it.",
            "the build",
            one_of("file_state", ["as recorded"], OK),
            show=("path",),
        ),
        *(
            rule(
                f"{column}_is_a_hash",
                f"A good clip's `{column}` is a well-formed hash.",
                "the build",
                matches(column, pattern, OK),
            )
            for column, pattern in _HASHES.items()
        ),
        *(
            Promise(
                f"{column}_is_stated",
                f"Each clip states its {column}: the dataset card needs attribution and terms.",
                "the build",
                filled(column),
                f"name the {column} in the clip source or its manifest, then run `dvc repro`",
            )
            for column in ("source", "licence")
        ),
    ]
