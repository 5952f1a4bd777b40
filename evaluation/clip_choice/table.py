"""The facts of clips as a CSV file, hardest first."""

import csv
import io
from collections.abc import Sequence

from mma_bench.evaluation.clip_choice.items import ItemFacts

COLUMNS = ("id", "question", "base_id", "right", "difficulty", "standard_error", "item_rest", "subset")


def as_csv(facts: Sequence[ItemFacts], subset: frozenset[str]) -> str:
    """A row for each item; `subset` is 1 for those of the base clips given; numbers that do not exist are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for fact in sorted(facts, key=lambda fact: (fact.right, fact.id, fact.question)):
        numbers = (fact.right, fact.difficulty, fact.standard_error, fact.item_rest)
        written = ["" if number is None else f"{number:.3f}" for number in numbers]
        writer.writerow([fact.id, fact.question, fact.base_id, *written, int(fact.base_id in subset)])
    return text.getvalue()
