"""What the votes amount to: which clips all reviewers passed, which they split on, and how far people agree.

Pure functions of tables (schema REVIEWS). Agreement is reported on each criterion and on the verdict: percent
agreement, Krippendorff's alpha (nominal, any number of people, clips that some did not judge), and Cohen's kappa for
each pair of people; each with a 95 % interval over clips.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from mma_bench.builders.verify import CRITERIA, consensus
from mma_bench.stats import Agreement, Estimate, agreement, agreement_interval, disagreements, estimate

JUDGED: Final = (*CRITERIA, "passed")


@dataclass(frozen=True)
class Reliability:
    """How far people agree on one criterion, over the clips that at least two judged.

    Attributes:
        percent: Share of pairs of votes on one clip that agree.
        alpha: Krippendorff's, -1 to 1; None if all votes are the same, or no clip has two.
        low: Of the 95 % interval of `alpha`; None without it or with a single clip.
    """

    criterion: str
    clips: int
    percent: Estimate
    alpha: float | None
    low: float | None
    high: float | None


def decisions(reviews: pl.DataFrame, annotators: int) -> dict[str, str]:
    """Clip → `ok`, `split_vote`, `failed_review` or `too_few_reviews`, by the rule of the stage `verify`."""
    return {clip: consensus(votes, annotators) for clip, votes in _by_clip(reviews, "passed").items()}


def settle(reviews: pl.DataFrame, adjudicators: frozenset[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Let a third person decide split votes: what counts, and the votes that were overruled.

    A clip that an adjudicator passed keeps the passes alone, so that the rule of two stays as it is. One that an
    adjudicator failed keeps all its votes, and fails by them.
    """
    by_third = pl.col("annotator").is_in(sorted(adjudicators))
    rescued = reviews.filter(by_third & pl.col("passed") & ~pl.col("is_control"))["clip_id"]
    overruled = pl.col("clip_id").is_in(rescued.to_list()) & ~pl.col("passed") & ~pl.col("is_control") & ~by_third
    return reviews.filter(~overruled), reviews.filter(overruled)


def reliability(reviews: pl.DataFrame) -> list[Reliability]:
    """Agreement of all people on each of JUDGED."""
    return [_reliability(reviews, criterion) for criterion in JUDGED]


def pairwise(reviews: pl.DataFrame) -> list[Agreement]:
    """Cohen's kappa of each two people on each of JUDGED, over the clips that both judged."""
    rows = []
    for criterion in JUDGED:
        votes = _by_clip(reviews, criterion)
        for first, second in combinations(sorted({name for cast in votes.values() for name in cast}), 2):
            both = [cast for _, cast in sorted(votes.items()) if first in cast and second in cast]
            if both:
                answers = [np.array([cast[name] for cast in both], bool) for name in (first, second)]
                rows.append(agreement(first, second, criterion, None, answers[0], answers[1]))
    return rows


def attention(reviews: pl.DataFrame, failing: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """For each person: `controls` judged, how many of them `caught`, and the clip ids of those `missed`.

    A control is caught by a fail with a no where one was due.

    Args:
        failing: Control's clip id → the criteria that are not met.
    """
    rows = []
    for (annotator,), votes in sorted(reviews.filter(pl.col("is_control")).group_by("annotator")):
        missed = sorted(
            vote["clip_id"]
            for vote in votes.iter_rows(named=True)
            if vote["passed"] or any(vote[criterion] for criterion in failing[vote["clip_id"]])
        )
        caught = votes.height - len(missed)
        rows.append({"annotator": annotator, "controls": votes.height, "caught": caught, "missed": missed})
    return rows


def _by_clip(reviews: pl.DataFrame, column: str) -> dict[str, dict[str, bool]]:
    """Clip → annotator → answer; controls left out."""
    answers: dict[str, dict[str, bool]] = {}
    for clip, annotator, answer in (
        reviews.filter(~pl.col("is_control")).select("clip_id", "annotator", column).sort(pl.all()).iter_rows()
    ):
        answers.setdefault(clip, {})[annotator] = answer
    return answers


def _reliability(reviews: pl.DataFrame, criterion: str) -> Reliability:
    several = {clip: list(cast.values()) for clip, cast in _by_clip(reviews, criterion).items() if len(cast) > 1}
    percent = estimate({clip: [float(a == b) for a, b in combinations(cast, 2)] for clip, cast in several.items()})
    counts = np.array([(cast.count(False), cast.count(True)) for cast in several.values()], int).reshape(-1, 2)
    alpha, low, high = _alpha(counts), None, None
    if alpha is not None and len(counts) > 1:
        low, high = _interval(counts)
    return Reliability(criterion, len(several), percent, alpha, low, high)


def _alpha(counts: npt.NDArray[np.int_]) -> float | None:
    """Krippendorff's alpha of [clips, (no, yes)] counts of votes."""
    import krippendorff

    if not counts.sum(axis=0).all():  # one answer throughout: there is no disagreement to expect
        return None
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _interval(counts: npt.NDArray[np.int_]) -> tuple[float, float]:
    def resampled_alpha(no: npt.NDArray[np.int_], yes: npt.NDArray[np.int_]) -> float:
        alpha = _alpha(np.column_stack((no, yes)))
        return math.nan if alpha is None else alpha

    differing, expected = disagreements(counts)
    share = estimate({str(clip): [value] for clip, value in enumerate(differing)})
    return agreement_interval((counts[:, 0], counts[:, 1]), resampled_alpha, disagreement=share, expected=expected)


def as_report(reviews: pl.DataFrame, annotators: int) -> dict[str, Any]:
    """Counts of decisions, the split clips, and agreement, as plain values for JSON."""
    decided = decisions(reviews, annotators)
    return {
        "decisions": {name: list(decided.values()).count(name) for name in sorted(set(decided.values()))},
        "split": sorted(clip for clip, decision in decided.items() if decision == "split_vote"),
        "agreement": [asdict(row) for row in reliability(reviews)],
        "pairs": [
            {key: value for key, value in asdict(row).items() if key != "class_name"} for row in pairwise(reviews)
        ],
    }
