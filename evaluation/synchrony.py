"""Time: does a model notice that the sound is early or late, and does it recognise the clip less well then?

Under the protocol `synchrony` a model is asked whether sound and picture fit in time, about the aligned clip and about
the same clip with its sound shifted (`shifted_audio`; levels in seconds, above 0 late). Three measures, by shift; the
aligned clip is the shift 0:

* `says_yes`: the share of answers that they fit. A model that always says so has the same share at every shift.
* `told_apart`: the mean of the right answers to the aligned and to the shifted clip, paired by clip. 50 % is chance
  whatever the model prefers to say. `d_prime` is the sensitivity in standard deviations (Green and Swets, "Signal
  Detection Theory and Psychophysics", 1966), with the log-linear correction, so that it is finite (Hautus, "Corrections
  for extreme proportions and their biasing effects on estimated values of d'", Behavior Research Methods, Instruments,
  & Computers 1995).
* `accuracy`: of the classes that the other protocols ask for.

"Do State-of-the-art Audio-visual VLMs Understand Audio-video Temporal Misalignment" (Gen4AVC workshop 2025,
openreview.net/forum?id=MNfjdwOan0) shifts the sound of real clips likewise and finds two models below chance. Here the
shift is exact to an AAC frame, the share of Yes to aligned clips is part of the measure, and intervals are clustered.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scipy.stats import norm

from mma_bench.evaluation.cells import TIME, Cell, Outcome, chance, estimated, labelled, outcomes
from mma_bench.evaluation.comparisons import by_clip
from mma_bench.evaluation.predictions import Prediction
from mma_bench.prompts import YES
from mma_bench.schema import Condition
from mma_bench.stats import format_estimate

MEASURES: Final = {
    "says_yes": "Says that they fit",
    "told_apart": "Told apart from aligned",
    "accuracy": "Accuracy",
}


def synchrony(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """The table `time` of the scores; empty unless shifted clips were asked about.

    Returns:
        Rows of `measure`, `level` (the shift in seconds, 0 for aligned), an estimate and `chance` (None for `says_yes`,
        where no value is right); `told_apart` has `d_prime` too.
    """
    shifted = str(Condition.SHIFTED_AUDIO)
    table = []
    for (protocol, condition, question), rows in cells.items():
        if condition != shifted:
            continue
        aligned = cells.get((protocol, str(Condition.ALIGNED), question), [])
        levels = {**({0.0: list(aligned)} if aligned else {}), **_by_level(rows)}
        for level, asked in sorted(levels.items()):
            cell = protocol, str(Condition.ALIGNED) if asked is levels.get(0.0) else shifted, question
            for measure, values in _measured(question, asked, aligned, shift=level):
                table.append(labelled(cell, {"measure": measure, "level": level, **values}))
    return sorted(table, key=lambda row: (row["protocol"], row["question"], list(MEASURES).index(row["measure"])))


def _by_level(rows: Sequence[Prediction]) -> dict[float, list[Prediction]]:
    levels: dict[float, list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.level is not None:
            levels[row.level].append(row)
    return levels


def _measured(
    question: str, asked: Sequence[Prediction], aligned: Sequence[Prediction], *, shift: float
) -> list[tuple[str, dict[str, Any]]]:
    if question != TIME:
        return [("accuracy", {**estimated(outcomes(asked)), "chance": chance(asked)})]
    found = [("says_yes", {**estimated(outcomes(asked, _says_yes)), "chance": None})]
    if shift and aligned:
        found.append(("told_apart", _told_apart(asked, aligned)))
    return found


def _told_apart(shifted: Sequence[Prediction], aligned: Sequence[Prediction]) -> dict[str, Any]:
    """Of the clips with an answer to both."""
    right = [{each.base: each for each in by_clip(outcomes(rows)).values()} for rows in (aligned, shifted)]
    both = sorted(right[0].keys() & right[1].keys())
    pairs = [Outcome(base, base, base, (right[0][base].value + right[1][base].value) / 2) for base in both]
    d_prime = _d_prime(_said_yes(aligned, both), _said_yes(shifted, both), len(both)) if both else None
    return {**estimated(pairs), "chance": 0.5, "d_prime": d_prime}


def _said_yes(rows: Sequence[Prediction], bases: Sequence[str]) -> float:
    said = {each.base: each.value for each in by_clip(outcomes(rows, _says_yes)).values()}
    return sum(said[base] for base in bases)


def _d_prime(hits: float, false_alarms: float, clips: int) -> float:
    shares = [(said + 0.5) / (clips + 1) for said in (hits, false_alarms)]
    return float(norm.ppf(shares[0]) - norm.ppf(shares[1]))


def _says_yes(row: Prediction) -> bool:
    return row.answer == YES[0]


def sentence(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What the table of the protocol `synchrony` says, in a sentence; None without answers to both kinds of clips."""
    told = [row for row in rows if row["measure"] == "told_apart" and row["mean"] is not None]
    if not told:
        return None
    noticed = [row for row in told if row["low"] > row["chance"]]
    if not noticed:
        best = max(told, key=lambda row: row["mean"])
        return (
            "At no shift does the model tell shifted from aligned clips better than by chance "
            f"(at best {format_estimate(best)} % at {best['level']:+g} s; chance is 50 %)."
        )
    least = min(noticed, key=lambda row: abs(row["level"]))
    return (
        f"The smallest shift at which the model tells shifted from aligned clips better than by chance is "
        f"{least['level']:+g} s ({format_estimate(least)} %; chance is 50 %)."
    )
