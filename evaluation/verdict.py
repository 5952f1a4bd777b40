"""The verdict of a run: what its headline says, in a sentence and a few numbers.

In: the rows of `headline.headline`. Nothing is recomputed; every number is a row of the scores.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.formats import percent
from mma_bench.schema import MODALITIES, Condition
from mma_bench.stats import format_estimate

_ABSTENTION: Final = "abstention"
_SILENCED: Final = {
    (str(Condition.AUDIO_REMOVED), "audio"),
    ("audio_dropped", "audio"),
    (str(Condition.FRAMES_ZEROED), "visual"),
    (str(Condition.ABSENT_AUDIO), "audio"),
    *(("no_clip", question) for question in MODALITIES),
}
_LOW: Final = ("led_by_other", "led_by_caption")  # measures that count mistakes
# measure, question, heading and explanation of each tile
_TILES: Final = (
    ("accuracy", "visual", "Sees under conflict", "asked what is seen, names it"),
    ("accuracy", "audio", "Hears under conflict", "asked what is heard, names it"),
    ("led_by_other", "audio", "Led astray", "asked what is heard, names what is seen"),
    ("both_right", "both", "Both senses right", "both questions about the same clip answered correctly"),
)


def good_when(row: Mapping[str, Any]) -> str:
    """Which value of a row of `headline` or `accuracy` is good: `high`, `low`, `near chance` or `by kind`.

    A question about a removed modality cannot be answered from the clip, so a high accuracy means that the model
    guesses from the other modality; under abstention the right answer is "None of the above", so high is good.
    A frozen picture still shows its object, other absent pictures show nothing: the table of absent senses tells them
    apart. The right answer about another clip is that of the row, not of what is shown, so low is good.
    """
    if row.get("measure") in _LOW:
        return "low"
    if row["condition"] == "other_clip":
        return "low"
    cell = row["condition"], row["question"]
    if row["protocol"] == _ABSTENTION:
        return "high"
    if cell == (Condition.ABSENT_VIDEO, "visual"):
        return "by kind"
    return "near chance" if cell in _SILENCED else "high"


def verdict(headline: Sequence[Mapping[str, Any]], name: str, options: Mapping[str, str]) -> dict[str, Any] | None:
    """The verdict on forced choice, or on the first protocol that was run; None if no conflict was asked about.

    Args:
        headline: Rows of the scores' `headline`.
        name: The model's name.
        options: Protocol → number of options.

    Returns:
        `protocol`, `options`, `sentence` and `tiles`: rows of the headline with `heading`, `meaning` and `good`.
    """
    protocols = list(dict.fromkeys(row["protocol"] for row in headline if row["mean"] is not None))
    if not protocols:
        return None
    protocol = "forced_choice" if "forced_choice" in protocols else protocols[0]
    rows = {
        (row["measure"], row["question"]): row
        for row in headline
        if row["protocol"] == protocol and row["condition"] == Condition.MISALIGNED and row["mean"] is not None
    }
    tiles = [
        {**rows[measure, question], "heading": heading, "meaning": meaning, "good": good_when(rows[measure, question])}
        for measure, question, heading, meaning in _TILES
        if (measure, question) in rows
    ]
    if not tiles:
        return None
    return {"protocol": protocol, "options": options[protocol], "sentence": _sentence(rows, name), "tiles": tiles}


def _sentence(rows: Mapping[tuple[str, str], Mapping[str, Any]], name: str) -> str:
    said = [
        f"what is {verb} in {_share(row)} of the clips{_against_chance(row)}"
        for question, verb in (("visual", "seen"), ("audio", "heard"))
        if (row := rows.get(("accuracy", question))) is not None
    ]
    text = f"Where video and audio conflict, {name} names {' and '.join(said)}"
    if (led := rows.get(("led_by_other", "audio"))) is not None:
        text += f"; asked what is heard, it names what is seen in {_share(led)}"
    if (both := rows.get(("both_right", "both"))) is not None:
        text += f"; both questions are answered correctly in {_share(both)}"
    return text + "."


def _share(row: Mapping[str, Any]) -> str:
    mean, interval = format_estimate(row).split(" ", 1)
    return f"{mean}\N{NO-BREAK SPACE}% {interval}"


def _against_chance(row: Mapping[str, Any]) -> str:
    """A remark unless the whole interval is above chance."""
    if row["low"] > row["chance"]:
        return ""
    return " (not distinguishable from guessing)" if row["high"] >= row["chance"] else " (worse than guessing)"


def summary_rows(headline: Sequence[Mapping[str, Any]], protocol: str | None = None) -> list[tuple[str, ...]]:
    """The tiles as rows for the terminal: measure, share with its interval, chance, what is good.

    Args:
        headline: Rows of the scores' `headline`.
        protocol: Default: that of the verdict.
    """
    chosen = [row for row in headline if protocol is None or row["protocol"] == protocol]
    found = verdict(chosen, "", dict.fromkeys((row["protocol"] for row in chosen), ""))
    return [
        (tile["heading"], f"{format_estimate(tile)} %", f"{percent(tile['chance'])} %", tile["good"])
        for tile in (found or {"tiles": []})["tiles"]
    ]


ACCURACY_HEADS: Final = ("Accuracy by condition", "visual [95 %]", "audio [95 %]", "chance")


def accuracy_rows(cells: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The accuracies about picture and sound as rows for the terminal, one for each condition in the paper's order.

    Args:
        cells: Rows of the scores' `accuracy`; those of forced choice are shown, or else of the first protocol.
    """
    about = [cell for cell in cells if cell["question"] in MODALITIES]
    protocols = list(dict.fromkeys(cell["protocol"] for cell in about))
    chosen = "forced_choice" if "forced_choice" in protocols else next(iter(protocols), None)
    found = {(cell["condition"], cell["question"]): cell for cell in about if cell["protocol"] == chosen}
    rows = []
    for condition in sorted({condition for condition, _ in found}, key=CONDITIONS.index):
        both = [found.get((condition, question)) for question in MODALITIES]
        chances = dict.fromkeys(f"{percent(cell['chance'])} %" for cell in both if cell and cell["chance"] is not None)
        shares = [f"{format_estimate(cell)} %" if cell and cell["mean"] is not None else "–" for cell in both]
        rows.append((condition.replace("_", " "), *shares, ", ".join(chances) or "–"))
    return rows


STATUSES: Final = {
    "failed": "Failed, not counted",
    "refused": "Refused, not counted",
    "unsupported": "Unsupported, not counted",
    "unparseable": "Unparseable, wrong",
}


def status_rows(counts: Mapping[str, int], total: int) -> list[tuple[str, str]]:
    """The prompts without a readable answer as rows for the terminal, where there are any.

    Args:
        counts: Status → number of prompts.
        total: The number of all prompts.
    """
    return [(name, f"{counts[status]:,} of {total:,}") for status, name in STATUSES.items() if counts.get(status)]


SUMMARY_HEADS: Final = ("Where video and audio conflict", "share [95 %]", "chance", "good is")
