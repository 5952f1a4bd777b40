"""What the organiser wants to know: each annotator's progress, the decisions so far, how well people agree.

All of it has people's names, so it is for the organiser only: in the terminal, and on the organiser's page.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl
from sqlalchemy import func, select

from mma_bench.builders.review.consensus import Reliability, attention, decisions, pairwise, reliability
from mma_bench.builders.review.export import adjudicators, controls, votes_table
from mma_bench.builders.review.store import Store, items
from mma_bench.stats import format_estimate, interval
from mma_bench.web.store import annotators, organisers


@dataclass(frozen=True)
class AnnotatorProgress:
    """How far one annotator is.

    Attributes:
        code: The anonymous id in exported tables.
        judged: Clips, without controls.
        controls: Controls judged.
        missed: Clip ids of those whose fault they did not find.
    """

    name: str
    code: str
    adjudicator: bool
    judged: int
    controls: int
    missed: tuple[str, ...]

    @property
    def caught(self) -> str:
        """`1 of 2`, or `no` before the first control."""
        return f"{self.controls - len(self.missed)} of {self.controls}" if self.controls else "no"


@dataclass(frozen=True)
class Status:
    """The state of a review.

    Attributes:
        clips: How many there are, without controls.
        people: By name, organisers left out.
        decided: Number of clips by decision; see `consensus.decisions`.
        split: Clip ids on which people disagree, sorted.
        agreement: On each criterion and the verdict; of adjudicators nothing is counted.
    """

    clips: int
    people: tuple[AnnotatorProgress, ...]
    decided: Mapping[str, int]
    split: tuple[str, ...]
    agreement: tuple[Reliability, ...]


def status(store: Store, needed: int) -> Status:
    """The state of the review in `store`, in which `needed` people judge each clip."""
    votes = votes_table(store)
    third = adjudicators(store)
    by_two = votes.filter(~pl.col("annotator").is_in(sorted(third)))
    chosen = select(annotators.c.name, annotators.c.code).outerjoin(organisers).where(organisers.c.annotator.is_(None))
    with store.reading() as connection:
        people = connection.execute(chosen.order_by(annotators.c.name)).all()
        clips = connection.execute(select(func.count()).where(items.c.active & (items.c.failing == ""))).scalar_one()
    judged = Counter(votes.filter(~pl.col("is_control"))["annotator"])
    watched = {row["annotator"]: row for row in attention(votes, controls(store))}
    decision = decisions(by_two, needed)
    decided = Counter(decision.values())
    decided["too_few_reviews"] += clips - decided.total()
    return Status(
        clips=clips,
        people=tuple(
            AnnotatorProgress(
                name,
                code,
                code in third,
                judged[code],
                watched[code]["controls"] if code in watched else 0,
                tuple(watched[code]["missed"]) if code in watched else (),
            )
            for name, code in people
        ),
        decided=dict(sorted(decided.items())),
        split=tuple(sorted(clip for clip, what in decision.items() if what == "split_vote")),
        agreement=tuple(reliability(by_two)),
    )


def lines(store: Store, needed: int) -> Iterator[str]:
    """The report, line by line."""
    found = status(store, needed)
    yield f"{store.where}: {found.clips} clips, {len(found.people)} annotators"
    for who in found.people:
        role = " (adjudicator)" if who.adjudicator else ""
        yield f"  {who.name}{role}, {who.code}: {who.judged} clips judged, {who.caught} controls caught"
    yield "decisions: " + ", ".join(f"{number} {name}" for name, number in found.decided.items())
    for row in found.agreement:
        if row.clips:
            alpha = interval({"kappa": row.alpha, "low": row.low, "high": row.high})
            percent = format_estimate(row.percent)
            yield f"  {row.criterion}: {percent} % agreement on {row.clips} clips, Krippendorff's alpha {alpha}"
    names = {who.code: who.name for who in found.people}
    by_two = votes_table(store).filter(~pl.col("annotator").is_in(sorted(adjudicators(store))))
    for pair in pairwise(by_two):
        both = f"{names[pair.first]} and {names[pair.second]}"
        yield f"  {pair.check}: {both}, {pair.clips} clips, Cohen's kappa {interval(vars(pair))}"
