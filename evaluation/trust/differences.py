"""How far apart two runs on the same clips switch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mma_bench.evaluation.trust.sentences import NAMES, number, threshold_text

Row = Mapping[str, Any]

_IDENTITY = ("protocol", "condition", "manipulation", "question")


def threshold_differences(first: Sequence[Row], second: Sequence[Row]) -> list[dict[str, Any]]:
    """The second run's thresholds minus the first's, for the questions about the degraded sense in both.

    The interval is made from those of both runs (Zou and Donner, "Construction of confidence limits about effect
    measures: a general approach", Statistics in Medicine 2008), as if they were independent: on the same clips they
    rather agree, which only makes the difference more certain. Where a run has only a bound, the difference has one at
    most, from the bounds of both.

    Args:
        first: Rows of `trust_thresholds`.
        second: Those of another run on the same clips.

    Returns:
        Rows with `first` and `second` (thresholds as text), `difference`, `low` and `high` in the level's unit; None
        where nothing can be said.
    """
    of = {tuple(row[name] for name in _IDENTITY): row for row in first}
    return [
        {
            **{name: row[name] for name in (*_IDENTITY, "unit")},
            "first": threshold_text(before),
            "second": threshold_text(row),
            **_difference(before, row),
        }
        for row in second
        if row["role"] == "curve" and (before := of.get(tuple(row[name] for name in _IDENTITY))) is not None
    ]


def _difference(one: Row, two: Row) -> dict[str, float | None]:
    if one["status"] == two["status"] == "estimated":
        difference = two["threshold"] - one["threshold"]
        below, above = _lengths(one), _lengths(two)
        return {
            "difference": difference,
            "low": None if above[0] is None or below[1] is None else difference - math.hypot(above[0], below[1]),
            "high": None if above[1] is None or below[0] is None else difference + math.hypot(above[1], below[0]),
        }
    return {
        "difference": None,
        "low": None if two["low"] is None or one["high"] is None else two["low"] - one["high"],
        "high": None if two["high"] is None or one["low"] is None else two["high"] - one["low"],
    }


def _lengths(row: Row) -> tuple[float | None, float | None]:
    """Of the interval, below and above the threshold."""
    low = None if row["low"] is None else row["threshold"] - row["low"]
    return low, None if row["high"] is None else row["high"] - row["threshold"]


def difference_text(row: Row) -> str:
    """`+4 [+1, +7] dB`; `more than +2 dB` or `less than −2 dB` where there is only a bound; a dash without one."""
    unit = row["unit"]

    def signed(value: float) -> str:
        return number(value, "dB")

    if row["difference"] is not None:
        low = "open" if row["low"] is None else signed(row["low"])
        high = "open" if row["high"] is None else signed(row["high"])
        return f"{signed(row['difference'])} [{low}, {high}] {unit}"
    if row["low"] is not None:
        return f"more than {signed(row['low'])} {unit}"
    return "–" if row["high"] is None else f"less than {signed(row['high'])} {unit}"


def shown(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows with what a page shows of them."""
    return [{**row, "heading": NAMES[row["manipulation"]], "difference_text": difference_text(row)} for row in rows]
