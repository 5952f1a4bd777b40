"""What the report of a run shows of its trust curves and of three-way conflict, for one protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

from mma_bench.evaluation.trust import charts
from mma_bench.evaluation.trust.sentences import (
    NAMES,
    ranking_sentence,
    share_text,
    slope_text,
    threshold_sentence,
    threshold_text,
)
from mma_bench.page import svg

TABLES = ("trust", "trust_thresholds", "three_way", "three_way_pairs", "three_way_strengths")

Row = Mapping[str, Any]


def trust_panels(section: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """For each condition and manipulation its heading, sentence, rows and chart."""
    panels = []
    for condition, manipulation in dict.fromkeys((row["condition"], row["manipulation"]) for row in section["trust"]):
        rows, thresholds = (
            [row for row in section[table] if (row["condition"], row["manipulation"]) == (condition, manipulation)]
            for table in ("trust", "trust_thresholds")
        )
        name = NAMES[manipulation]
        panels.append(
            {
                "heading": name,
                "sentences": [threshold_sentence(row) for row in thresholds if row["role"] == "curve"],
                "chart": svg(charts.trust_curve(rows, thresholds), f"{name}, {rows[0]['protocol']}"),
                "levels": by_level(rows),
                "thresholds": [
                    {**row, "threshold_text": threshold_text(row), "slope_text": slope_text(row)} for row in thresholds
                ],
            }
        )
    return panels


def by_level(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each question and level, with the estimates by what was followed."""
    cells: dict[tuple[str, float | None], dict[str, Any]] = {}
    for row in rows:
        cell = cells.setdefault((row["question"], row["level"]), {**row, "by": {}})
        cell["by"][row["followed"]] = row
    return list(cells.values())


def three_way_panel(section: Mapping[str, Sequence[Row]]) -> dict[str, Any] | None:
    """The sentence, rows and charts of three-way conflict; None without it."""
    if not section["three_way"]:
        return None
    rows, pairs, strengths = (section[table] for table in ("three_way", "three_way_pairs", "three_way_strengths"))
    protocol = rows[0]["protocol"]
    return {
        "sentence": ranking_sentence(pairs, strengths),
        "followed_chart": svg(charts.followed_senses(rows), f"Senses that answers follow, {protocol}"),
        "strengths_chart": svg(charts.sense_strengths(strengths), f"Strengths of the senses, {protocol}"),
        "rows": rows,
        "pairs": [{**row, "share_text": share_text(row)} for row in pairs],
    }
