"""The page of `mma-bench clips`: which clips are hard, which tell runs apart, and which few keep the ranking."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.clip_choice.charts import difficulty_and_discrimination, runs_right
from mma_bench.evaluation.clip_choice.items import ItemFacts, Outcomes
from mma_bench.evaluation.clip_choice.rasch import FEW_RUNS, abilities
from mma_bench.evaluation.clip_choice.subset import Plan, certainty_text
from mma_bench.evaluation.formats import percent
from mma_bench.evaluation.predictions import Prediction
from mma_bench.page import render, svg

LISTED: Final = 100  # rows of a table; the CSV file has all of them


def few_runs(runs: int) -> str | None:
    """The warning that single clips say little; None if there are enough runs."""
    if runs >= FEW_RUNS:
        return None
    return (
        f"{runs} runs: the difficulty of a single clip is uncertain by at least ±{1.96 * 2 / runs**0.5:.1f} logits; "
        f"with {FEW_RUNS} runs by ±0.7 or more. Read groups of clips."
    )


def page(
    runs: Mapping[str, Sequence[Prediction]],
    outcomes: Outcomes,
    facts: Sequence[ItemFacts],
    plan: Plan,
    *,
    heading: str,
    file: str,
) -> str:
    """The HTML page.

    Args:
        runs: The runs by name, in the order of `outcomes`.
        outcomes: What they answered.
        facts: The facts of each item.
        plan: The planned subset.
        heading: The protocol and condition, in words.
        file: The name of the CSV file.
    """
    classes = {row.id: (row.visual_class, row.audio_class) for rows in runs.values() for row in rows}
    hardest = sorted(facts, key=lambda fact: (fact.right, fact.id, fact.question))
    doubtful = sorted(
        (fact for fact in hardest if fact.item_rest is not None and fact.item_rest < 0),
        key=lambda fact: fact.item_rest or 0,
    )
    tables = (
        ("nobody", "Right in no run", [fact for fact in hardest if fact.right == 0]),
        ("everybody", "Right in every run", [fact for fact in hardest if fact.right == 1]),
        ("doubtful", "Better runs are wrong more often", doubtful),
        ("all", "All clips and questions, hardest first", hardest),
    )
    return render(
        "clips.html",
        "mma_bench.evaluation",
        title="Which clips matter",
        heading=heading,
        file=file,
        runs=_ranked(list(runs), outcomes),
        names=list(runs),
        facts=facts,
        plan=plan,
        total=len(set(outcomes.bases)),
        subset=Subset.of(plan.clips) if plan.clips else None,
        chosen=frozenset(plan.clips),
        warning=few_runs(len(runs)),
        tables=[(anchor, title, rows[:LISTED], len(rows)) for anchor, title, rows in tables],
        classes=classes,
        percent=percent,
        certainty=certainty_text,
        bars=svg(runs_right(facts, len(runs)), "Clips by the number of runs that are right"),
        dots=svg(difficulty_and_discrimination(facts), "Difficulty and correlation with the rest")
        if any(fact.item_rest is not None for fact in facts)
        else None,
    )


def _ranked(names: Sequence[str], outcomes: Outcomes) -> list[dict[str, Any]]:
    """The runs, best first, with the share that they get right and their ability, None if it is not finite."""
    of_runs = abilities(outcomes.right)
    rows = [
        {"name": name, "right": float(right.mean()), "ability": float(ability) if np.isfinite(ability) else None}
        for name, right, ability in zip(names, outcomes.right, of_runs, strict=True)
    ]
    return sorted(rows, key=lambda row: -float(str(row["right"])))
