"""Verify: the clips that the judge passed become the aligned set, after human review if the profile requires it.

In: `acquired.parquet`, `normalised.parquet`, `verdicts.parquet` and the evidence listed in `verify.evidence`. Out:
`aligned.parquet`. The rule is appendix B.2 of the paper: `annotators` people judge three criteria each, and a clip is
kept only if all of them pass it on all three. Without `verify.required` the judge alone decides, and each row records
whether people agreed.

- `app`: the reviews in the file `verify.reviews`.
- `vggsounder`: the labels of VGGSounder (`labels/vggsounder.py`). On their own they decide, since each reflects several
  people; together with `app` they count as one more reviewer, who has no vote on most clips.

Last, clips are dropped that cannot be in one dataset with the others; see `dataset/filters.py`.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import BeforeValidator

from mma_bench import layout
from mma_bench.builders.dataset.filters import leaks, unlicensed, without_donors
from mma_bench.builders.labels import vggsounder
from mma_bench.config import Params
from mma_bench.csv_rows import CsvRow, Filled, read_rows, warn_unknown
from mma_bench.errors import DataError
from mma_bench.files import named_file, write_json, write_text
from mma_bench.schema import ACQUIRED, ALIGNED, NORMALISED, REVIEWS, VERDICTS
from mma_bench.tables import conform, drops_text, read_table, write_table

CRITERIA = ("object_visible", "audio_pure", "action_dynamic")
_VOTES = {"yes": True, "no": False}

Reviews = dict[str, dict[str, bool]]  # clip → annotator → passed all criteria


def read_reviews(path: Path) -> Reviews:
    """Read the output of `mma-bench review export` (Parquet, schema REVIEWS; control clips are not votes), or a CSV.

    A CSV has the columns clip_id, annotator and the three criteria with `yes` or `no`; it passes a clip if all are yes.

    Raises:
        ConfigError: No such file.
        DataError: See `read_rows`; an invalid value, a pass despite a failed criterion, or a second review by one
            annotator; names the file and the line, or the clip and the annotator.
    """
    named_file(path, "verify.reviews", "correct the key in params.yaml")
    reviews = _from_table(path) if path.suffix == ".parquet" else _from_csv(path)
    for clip_id, annotators in reviews.items():
        if vggsounder.NAME in annotators:
            raise DataError(
                f"{path}: an annotator of {clip_id} is called {vggsounder.NAME}", hint="rename the annotator"
            )
    return reviews


def _from_table(path: Path) -> Reviews:
    reviews: Reviews = defaultdict(dict)
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error})", hint="export the reviews again") from None
    table = conform(table.select([column for column in table.columns if column in REVIEWS]), REVIEWS, str(path))
    for row in table.filter(~pl.col("is_control")).rows(named=True):
        clip_id, annotator = row["clip_id"], row["annotator"]
        where = f"{path}: {annotator} on {clip_id}"
        if any(row[column] is None for column in ("clip_id", "annotator", "passed", *CRITERIA)):
            raise DataError(f"{where}: a value is missing", hint="export the reviews again")
        if row["passed"] and not all(row[criterion] for criterion in CRITERIA):
            raise DataError(f"{where}: passed despite a failed criterion", hint="have the clip reviewed again")
        if annotator in reviews[clip_id]:
            raise DataError(f"{where}: reviewed twice", hint="keep one row")
        reviews[clip_id][annotator] = row["passed"]
    return dict(reviews)


def _vote(text: str) -> bool:
    if (vote := _VOTES.get(text.strip().lower())) is None:
        raise ValueError(f"{text!r} is neither yes nor no")
    return vote


_Vote = Annotated[bool, BeforeValidator(_vote)]


class _Review(CsvRow):
    clip_id: Filled
    annotator: Filled
    object_visible: _Vote
    audio_pure: _Vote
    action_dynamic: _Vote


def _from_csv(path: Path) -> Reviews:
    reviews: Reviews = defaultdict(dict)
    for row in read_rows(path, _Review, unique=["clip_id", "annotator"]):
        reviews[row.clip_id][row.annotator] = all(getattr(row, criterion) for criterion in CRITERIA)
    return dict(reviews)


def with_votes(reviews: Reviews, votes: dict[str, bool]) -> Reviews:
    """The reviews with VGGSounder's votes as those of one more annotator."""
    voices = {clip_id: {vggsounder.NAME: vote} for clip_id, vote in votes.items()}
    return {clip_id: reviews.get(clip_id, {}) | voices.get(clip_id, {}) for clip_id in reviews.keys() | voices.keys()}


def evidence_of(votes: dict[str, bool]) -> str:
    """Who voted, as recorded in `aligned.parquet`: "app", "vggsounder", "app, vggsounder" or ""."""
    sources = {vggsounder.NAME if annotator == vggsounder.NAME else "app" for annotator in votes}
    return ", ".join(sorted(sources))


def consensus(votes: dict[str, bool], annotators: int) -> str:
    """`ok` if at least `annotators` people voted and all passed the clip, else the reason."""
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
    votes = [reviews.get(clip_id, {}) for clip_id in clips["clip_id"]]
    decisions = [consensus(cast, annotators) for cast in votes]
    spoke = [evidence_of(cast) if decision == "ok" else "" for cast, decision in zip(votes, decisions, strict=True)]
    clips = clips.with_columns(
        pl.Series("decision", decisions, dtype=pl.String()),
        pl.Series("human_verified", [decision == "ok" for decision in decisions], dtype=pl.Boolean()),
        pl.Series("evidence", spoke, dtype=pl.String()),
    )
    counts: dict[str, dict[str, int]] = {}
    for (split,), rows in sorted(clips.group_by("split")):
        dropped = Counter(rows["decision"].to_list() if required else [])
        kept = dropped.pop("ok", 0) if required else rows.height
        counts[str(split)] = {"in": rows.height, **dict(sorted(dropped.items())), "ok": kept}
    if required:
        clips = clips.filter(pl.col("human_verified"))
    return clips.select(list(ALIGNED)), counts


def drop_unfit(
    aligned: pl.DataFrame, acquired: pl.DataFrame, counts: dict[str, dict[str, int]], params: Params
) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """The aligned set without the clips that `dataset/filters.py` drops, and the counts with its reasons.

    Each dropped clip is in `data/dropped.csv` with its reason.
    """
    dropped = dict(unlicensed(aligned, params.package.licences))
    left = aligned.filter(~pl.col("clip_id").is_in(list(dropped)))
    left = left.join(acquired.select("clip_id", source_sha256="sha256"), on="clip_id", how="left")
    dropped |= {
        clip_id: (reason, f"like test clip {twin}")
        for clip_id, (reason, twin) in leaks(left, params.validate_.near_duplicate_bits).items()
    }
    left = aligned.filter(~pl.col("clip_id").is_in(list(dropped)))
    # Given pairs are kept as they are, so no clip is dropped because there is no donor to choose.
    donors = {} if params.pair.given else {str(split): count for split, count in params.pair.donors.items()}
    lonely = without_donors(left, donors, params.pair.slack_s)
    dropped |= dict.fromkeys(lonely, ("no_donor", "fewer classes have a sound that is long enough than pair.donors"))
    kept = aligned.filter(~pl.col("clip_id").is_in(list(dropped)))
    split_of = dict(aligned.select("clip_id", "split").iter_rows())
    rows = [(split_of[clip_id], clip_id, *fate) for clip_id, fate in dropped.items()]
    names = dict.fromkeys(("split", "clip_id", "reason", "detail"), pl.String())
    write_text(layout.DROPPED, pl.DataFrame(rows, schema=names, orient="row").sort("split", "clip_id").write_csv())
    if rows:
        print(f"verify: {len(rows)} clips are dropped, listed in {layout.DROPPED}", file=sys.stderr)
    reasons = Counter((split_of[clip_id], reason) for clip_id, (reason, _) in dropped.items())
    totals = {}
    for split, counted in counts.items():
        ok = counted["ok"] - sum(n for (where, _), n in reasons.items() if where == split)
        more = {reason: n for (where, reason), n in sorted(reasons.items()) if where == split}
        totals[split] = {**{key: n for key, n in counted.items() if key != "ok"}, **more, "ok": ok}
    return kept, totals


def main(params: Params) -> None:
    """Run the stage."""
    rule = params.verify
    by_app = "app" in rule.evidence
    reviews = read_reviews(Path(rule.reviews)) if by_app and rule.reviews is not None else {}
    normalised = read_table(layout.NORMALISED, NORMALISED)
    warn_unknown(Path(rule.reviews or ""), "clip_id", reviews, normalised["clip_id"])
    if vggsounder.NAME in rule.evidence:
        reviews = with_votes(reviews, vggsounder.votes(normalised, vggsounder.read()))
    verdicts = read_table(layout.VERDICTS, VERDICTS)
    aligned, counts = verify(
        normalised,
        verdicts,
        reviews,
        required=rule.required,
        annotators=rule.annotators if by_app else 1,
    )
    aligned, counts = drop_unfit(aligned, read_table(layout.ACQUIRED, ACQUIRED), counts, params)
    write_json(layout.metrics("verify"), counts)
    if aligned.is_empty():
        raise DataError(f"no clip passed: {_reasons(normalised, verdicts, counts)}", hint=_hint(params, counts))
    write_table(aligned, layout.ALIGNED, ALIGNED, sort_by=["split", "clip_id"])


def _hint(params: Params, counts: Mapping[str, Mapping[str, int]]) -> str:
    """What to do if no clip passed: about the licences, if clips passed all else."""
    if params.package.licences and any(counted.get("other_licence") for counted in counts.values()):
        return (
            f"package.licences allows only {', '.join(params.package.licences)}: {layout.DROPPED} has all terms; "
            "allow other licences, or acquire clips under these (see docs/release.md)"
        )
    return (
        f"{layout.VERDICTS} has every score, {layout.NORMALISED} every detail; check the judge's thresholds and "
        "reviews, or acquire other clips"
    )


def _reasons(normalised: pl.DataFrame, verdicts: pl.DataFrame, counts: Mapping[str, Mapping[str, int]]) -> str:
    """How many clips each stage dropped, by reason."""
    reviewed = Counter[str]()
    for counted in counts.values():
        reviewed.update({reason: n for reason, n in counted.items() if reason not in ("in", "ok")})
    by_stage = {
        "normalise": drops_text(normalised),
        "judge": drops_text(verdicts),
        "verify": ", ".join(f"{n:,} {reason}" for reason, n in reviewed.most_common()),
    }
    return "; ".join(f"{stage} dropped {said}" for stage, said in by_stage.items() if said) or "there was none"
