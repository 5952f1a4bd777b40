"""Trust curves and the ranking of senses in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.schema import Manipulation

Row = Mapping[str, Any]

NAMES: Final[Mapping[str, str]] = {
    Manipulation.PINK_NOISE: "Pink noise over the sound",
    Manipulation.MIXTURE: "The donor’s sound over the clip’s own",
    Manipulation.BLUR: "Blurred picture",
    Manipulation.DARKNESS: "Darkened picture",
    Manipulation.LOW_CONTRAST: "Picture of low contrast",
}
# What the answers follow: at the strong end of the degraded sense, and at the other.
_FOLLOWED: Final[Mapping[str, tuple[str, str]]] = {
    Manipulation.PINK_NOISE: ("what it hears", "the picture"),
    Manipulation.MIXTURE: ("the donor’s sound", "the clip’s own picture and sound"),
    **dict.fromkeys(
        (Manipulation.BLUR, Manipulation.DARKNESS, Manipulation.LOW_CONTRAST), ("what it sees", "the sound")
    ),
}
AXES: Final[Mapping[str, str]] = {
    Manipulation.PINK_NOISE: "signal-to-noise ratio, dB",
    Manipulation.MIXTURE: "donor over the clip’s own sound, dB",
    Manipulation.BLUR: "blur, % of the frame’s height",
    Manipulation.DARKNESS: "brightness taken away, %",
    Manipulation.LOW_CONTRAST: "contrast taken away, %",
}


def number(value: float, unit: str) -> str:
    """A level without its unit, dB with a sign: `−3`, `+10`, `40`, `2.5`."""
    rounded = round(value, 1) + 0.0  # no minus zero
    text = f"{rounded:+g}" if unit == "dB" and rounded else f"{rounded:g}"
    return text.replace("-", "−")


def threshold_text(row: Row) -> str:
    """`−3 dB [−6, +1]`, `above +10 dB`, `not estimable` or `no single switch`; an interval's open end is named so."""
    unit = row["unit"]
    if row["status"] in ("above", "below"):
        bound = row["low"] if row["status"] == "above" else row["high"]
        return f"{row['status']} {number(bound, unit)} {unit}"
    if row["status"] in ("not_estimable", "no_single_switch"):
        return str(row["status"]).replace("_", " ")
    low = f"below {number(row['lowest'], unit)}" if row["low"] is None else number(row["low"], unit)
    high = f"above {number(row['highest'], unit)}" if row["high"] is None else number(row["high"], unit)
    return f"{number(row['threshold'], unit)} {unit} [{low}, {high}]"


def slope_text(row: Row) -> str:
    """The slope with its interval, per unit; a dash without one."""
    if row["slope"] is None:
        return "–"
    low = "0" if row["slope_low"] is None else f"{row['slope_low']:.2g}"
    high = "a step" if row["slope_high"] is None else f"{row['slope_high']:.2g}"
    return f"{row['slope']:.2g} [{low}, {high}]"


def threshold_sentence(row: Row) -> str:
    """Where the model stops trusting the degraded sense, for the question about it.

    Args:
        row: Of `trust_thresholds`, with the role `curve`.
    """
    strong, weak = _FOLLOWED[row["manipulation"]]
    found, rising = threshold_text(row), row["unit"] == "dB"
    if row["status"] == "estimated":
        if rising:
            return f"Down to about {found} it follows {strong}; below, it follows {weak}."
        return f"Up to about {found} it follows {strong}; beyond, it follows {weak}."
    if row["status"] == "not_estimable":
        return (
            f"At which level it stops following {strong}, {row['n']:,} answers that follow either do not tell "
            f"({row['clusters']:,} independent clips)."
        )
    if row["status"] == "no_single_switch":
        return (
            f"It does not switch from {strong} to {weak} at one level: how often its answers follow {strong} changes "
            f"with the level in another way ({row['n']:,} answers that follow either)."
        )
    weak_everywhere = (row["status"] == "above") == rising
    end = row["highest"] if row["status"] == "above" else row["lowest"]
    return (
        f"Among answers that follow either, it follows {weak if weak_everywhere else strong} at every level, even at "
        f"{number(end, row['unit'])} {row['unit']}. Its 95 % interval leaves room for a switch {found} only."
    )


def ranking_sentence(pairs: Sequence[Row], strengths: Sequence[Row]) -> str:
    """The order of the senses by what captured answers follow, and what of it is certain.

    Args:
        pairs: Rows of `three_way_pairs` of one protocol.
        strengths: Rows of `three_way_strengths` of the same.
    """
    captured = strengths[0]["n"]
    certain = []
    for row in pairs:
        for first, second, bound in (
            (row["first"], row["second"], row["log_odds_low"]),
            (row["second"], row["first"], None if row["log_odds_high"] is None else -row["log_odds_high"]),
        ):
            if bound is not None and bound > 0:
                certain.append(f"the {first} rather than the {second}")
    if not certain:
        return (
            f"From {captured:,} answers that follow a sense which was not asked about, no order of the senses is found."
        )
    listed = certain[0] if len(certain) == 1 else f"{', '.join(certain[:-1])} and {certain[-1]}"
    open_pairs = len(pairs) - len(certain)
    rest = "" if not open_pairs else f" The order of the other {'pair' if open_pairs == 1 else 'pairs'} is open."
    return f"Where an answer follows a sense that was not asked about, it is {listed}.{rest}"


def share_text(row: Row) -> str:
    """The share of the first of two senses in percent, with its interval; an open end is 0 or 100."""
    if row["share"] is None and row["share_low"] is None and row["share_high"] is None:
        return "–"
    low, high = 100 * (row["share_low"] or 0.0), 100 * (1.0 if row["share_high"] is None else row["share_high"])
    middle = "–" if row["share"] is None else f"{100 * row['share']:.1f}"
    return f"{middle} [{low:.1f}, {high:.1f}]"
