"""Verify: the judge's passes become the aligned set, through human reviews where the profile asks for them.

In: `normalised.parquet`, `verdicts.parquet` and, if named, a CSV of reviews. Out: `aligned.parquet`. The rule is
appendix B.2 of the paper: `annotators` people judge three criteria each, and a clip stays only if all of them pass it
on all three. Without `verify.required` the judge alone decides and each row says whether people agreed as well.
"""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.errors import ConfigError, DataError
from mma_bench.files import write_json
from mma_bench.schema import ALIGNED, NORMALISED, VERDICTS
from mma_bench.tables import read_table, write_table

CRITERIA = ("object_visible", "audio_pure", "action_dynamic")
_VOTES = {"yes": True, "no": False}

Reviews = dict[str, dict[str, bool]]  # clip → annotator → passed all criteria


def read_reviews(path: Path) -> Reviews:
    """Read reviews: columns clip_id, annotator and the three criteria with `yes` or `no`.

    Raises:
        DataError: A missing column, another value, or a second review by one annotator; names file and line.
    """
    reviews: Reviews = defaultdict(dict)
    mend = f"each row has clip_id, annotator, {', '.join(CRITERIA)}; criteria are yes or no"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream)
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if any(not row.get(column) for column in ("clip_id", "annotator", *CRITERIA)):
                    raise DataError(f"{where}: a column is missing or empty", mend=mend)
                votes = [_VOTES.get(row[criterion].strip().lower()) for criterion in CRITERIA]
                if None in votes:
                    raise DataError(f"{where}: a criterion is neither yes nor no", mend=mend)
                if row["annotator"] in reviews[row["clip_id"]]:
                    raise DataError(f"{where}: {row['annotator']} reviewed {row['clip_id']} twice", mend="keep one row")
                reviews[row["clip_id"]][row["annotator"]] = all(votes)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", mend="correct verify.reviews in params.yaml") from None
    return dict(reviews)


def consensus(votes: dict[str, bool], annotators: int) -> str:
    """`ok` if all of at least `annotators` people passed the clip, else why not."""
    if len(votes) < annotators:
        return "too_few_reviews"
    if all(votes.values()):
        return "ok"
    return "split_vote" if any(votes.values()) else "failed_review"


def verify(
    normalised: pl.DataFrame, verdicts: pl.DataFrame, reviews: Reviews, *, required: bool, annotators: int
) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """The aligned set (schema ALIGNED) and the counts by split: `in`, each reason to drop a clip, `ok`."""
    passed = verdicts.filter(pl.col("status") == "ok").select("split", "clip_id", "judge")
    clips = normalised.filter(pl.col("status") == "ok").join(passed, on=["split", "clip_id"], how="inner")
    decisions = [consensus(reviews.get(clip_id, {}), annotators) for clip_id in clips["clip_id"]]
    clips = clips.with_columns(
        pl.Series("decision", decisions, dtype=pl.String()),
        pl.Series("human_verified", [decision == "ok" for decision in decisions], dtype=pl.Boolean()),
    )
    counts: dict[str, dict[str, int]] = {}
    for (split,), rows in sorted(clips.group_by("split")):
        dropped = Counter(rows["decision"].to_list() if required else [])
        kept = dropped.pop("ok", 0) if required else rows.height
        counts[str(split)] = {"in": rows.height, **dict(sorted(dropped.items())), "ok": kept}
    if required:
        clips = clips.filter(pl.col("human_verified"))
    return clips.select(list(ALIGNED)), counts


def main(params: Params) -> None:
    """Run the stage."""
    rule = params.verify
    if rule.required and rule.reviews is None:
        raise ConfigError("verify.required is true, but verify.reviews names no file", mend="name the CSV of reviews")
    aligned, counts = verify(
        read_table(layout.NORMALISED, NORMALISED),
        read_table(layout.VERDICTS, VERDICTS),
        read_reviews(Path(rule.reviews)) if rule.reviews else {},
        required=rule.required,
        annotators=rule.annotators,
    )
    if aligned.is_empty():
        raise DataError("no clip passed", mend="see metrics/judge.json and metrics/verify.json for the reasons")
    write_table(aligned, layout.ALIGNED, ALIGNED, sort_by=["split", "clip_id"])
    write_json(layout.metrics("verify"), counts)
