"""What the organiser wants to know: each annotator's progress, the decisions so far, how well people agree."""

from collections import Counter
from collections.abc import Iterator

import polars as pl
from sqlalchemy import func, select

from mma_bench.builders.review.consensus import attention, decisions, pairwise, reliability
from mma_bench.builders.review.export import adjudicators, controls, votes_table
from mma_bench.builders.review.store import Store, annotators, items
from mma_bench.stats import format_estimate, interval


def lines(store: Store, needed: int) -> Iterator[str]:
    """The report, line by line. It has people's names, so it is for the organiser only."""
    votes = votes_table(store)
    third = adjudicators(store)
    by_two = votes.filter(~pl.col("annotator").is_in(sorted(third)))
    with store.reading() as connection:
        people = connection.execute(select(annotators.c.name, annotators.c.code).order_by(annotators.c.name)).all()
        clips = connection.execute(select(func.count()).where(items.c.active & (items.c.failing == ""))).scalar_one()
    yield f"{store.where}: {clips} clips, {len(people)} annotators"
    judged = Counter(votes.filter(~pl.col("is_control"))["annotator"])
    caught = {row["annotator"]: f"{row['caught']} of {row['controls']}" for row in attention(votes, controls(store))}
    for name, code in people:
        role = " (adjudicator)" if code in third else ""
        yield f"  {name}{role}, {code}: {judged[code]} clips judged, {caught.get(code, 'no')} controls caught"
    decided = Counter(decisions(by_two, needed).values())
    decided["too_few_reviews"] += clips - decided.total()
    yield "decisions: " + ", ".join(f"{number} {name}" for name, number in sorted(decided.items()))
    for row in reliability(by_two):
        if row.clips:
            alpha = interval({"kappa": row.alpha, "low": row.low, "high": row.high})
            percent = format_estimate(row.percent)
            yield f"  {row.criterion}: {percent} % agreement on {row.clips} clips, Krippendorff's alpha {alpha}"
    names = {code: name for name, code in people}
    for pair in pairwise(by_two):
        both = f"{names[pair.first]} and {names[pair.second]}"
        yield f"  {pair.check}: {both}, {pair.clips} clips, Cohen's kappa {interval(vars(pair))}"
