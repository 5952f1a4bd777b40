"""Three-way conflict: which sense answers follow where picture, sound and caption all name different classes.

Asked what is seen, heard or written, an answer may follow the sense that was asked about, or be captured by one of the
two others, or follow none. The senses are ranked from the captured answers: each is a comparison of the two senses that
were not asked about, so that the ranking does not depend on how well the model does what it is asked. The model is
that of Bradley and Terry ("Rank analysis of incomplete block designs: I. The method of paired comparisons", Biometrika
1952): a sense has a strength, and the log-odds that it is followed rather than another is the difference of their
strengths. No ties arise, as the three classes differ. Over the three questions every pair of senses is compared; two
questions suffice, since strengths add up.

Three senses make a logistic regression with two parameters; `choix`, which fits such models of any size, gives no
intervals, and the answers share clips (`adjusted`).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, groupby
from typing import Any, Final

import numpy as np
from scipy import special

from mma_bench.clusters import Array, codes_of
from mma_bench.evaluation.cells import clusters, estimated, outcomes
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.trust.adjusted import Groups, ends
from mma_bench.schema import Condition

SENSES: Final = ("picture", "sound", "caption")
ASKED: Final[Mapping[str, str]] = {"visual": "picture", "audio": "sound", "text": "caption"}
_WIDEST: Final = 8.0  # log-odds; a larger difference is not told from an infinite one
_STEPS: Final = 321
_ROUNDS: Final = 60


def shown(row: Prediction, sense: str) -> str | None:
    """The class that a sense gives."""
    return {"picture": row.visual_class, "sound": row.audio_class, "caption": row.caption}[sense]


def followed(row: Prediction) -> str:
    """The sense that an answer follows, or `neither`."""
    return next((sense for sense in SENSES if row.answer is not None and row.answer == shown(row, sense)), "neither")


def three_way_tables(predictions: Sequence[Prediction]) -> dict[str, list[dict[str, Any]]]:
    """The tables of three-way conflict by protocol; empty without such answers.

    Returns:
        `three_way`: for each question the shares of the answers that follow each sense, or neither, which add up to 1.
        `three_way_pairs`: for two senses, the share of the first among the captured answers that follow either, as
        fitted, and its log-odds, with 95 % intervals; None where they are open.
        `three_way_strengths`: of each sense, the log-odds against the mean of the two others; the same.
    """
    rows = [row for row in predictions if row.condition == Condition.THREE_WAY and row.is_answered]
    if not rows:
        return {}
    tables: dict[str, list[dict[str, Any]]] = {"three_way": [], "three_way_pairs": [], "three_way_strengths": []}
    order = list(ASKED)
    for protocol, own in groupby(sorted(rows, key=lambda row: (row.protocol, row.key)), key=lambda row: row.protocol):
        asked = list(own)
        for question in order:
            answers = [row for row in asked if row.question == question]
            if not answers:
                continue
            rules: list[tuple[str, Callable[[Prediction], bool]]] = [
                (name, lambda row, name=name: followed(row) == name)  # type: ignore[misc]
                for name in (*SENSES, "neither")
            ]
            tables["three_way"] += [
                {"protocol": protocol, "question": question, "followed": name, **estimated(outcomes(answers, rule))}
                for name, rule in rules
            ]
        tables["three_way_pairs"] += [{"protocol": protocol, **row} for row in pairs(asked)]
        tables["three_way_strengths"] += [{"protocol": protocol, **row} for row in strengths(asked)]
    return tables


def pairs(rows: Sequence[Prediction]) -> list[dict[str, Any]]:
    """How often the first of two senses is followed rather than the second, from the captured answers."""
    found = []
    for one, two in combinations(range(len(SENSES)), 2):
        contrast = np.zeros(len(SENSES))
        contrast[[one, two]] = 1, -1
        fit = _fitted(rows, contrast)
        shares = {
            f"share{end}": None if (odds := fit[f"log_odds{end}"]) is None else float(special.expit(odds))
            for end in ("", "_low", "_high")
        }
        found.append({"first": SENSES[one], "second": SENSES[two], **shares, **fit})
    return found


def strengths(rows: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The strength of each sense against the mean of the two others, from the captured answers."""
    found = []
    for place, sense in enumerate(SENSES):
        contrast = np.full(len(SENSES), -0.5)
        contrast[place] = 1
        found.append({"sense": sense, **_fitted(rows, contrast)})
    return found


def _captured(rows: Sequence[Prediction]) -> list[tuple[str, Prediction]]:
    """The answers that follow a sense which was not asked about, with that sense."""
    found = [(followed(row), row) for row in rows]
    return [(sense, row) for sense, row in found if sense not in ("neither", ASKED[row.question])]


def _fitted(rows: Sequence[Prediction], contrast: Array) -> dict[str, Any]:
    """A contrast of the strengths [senses], whose sum is 0, with its interval."""
    captured = _captured(rows)
    nothing = {"log_odds": None, "log_odds_low": None, "log_odds_high": None, "n": len(captured)}
    if not captured:
        return nothing
    compared = [[sense for sense in SENSES if sense != ASKED[row.question]] for _, row in captured]
    place = codes_of([tuple(pair) for pair in compared])
    first = np.array([sense == pair[0] for (sense, _), pair in zip(captured, compared, strict=True)], np.float64)
    answers = Groups(place, first, [codes_of(keys) for keys in clusters(outcomes(row for _, row in captured))])
    if answers.freedom <= 0:
        return nothing
    designs = np.zeros((int(place.max()) + 1, len(SENSES)))
    for number, pair in zip(place, compared, strict=True):
        designs[number, [SENSES.index(sense) for sense in pair]] = 1, -1
    # Strengths are value × interest + nuisance × rest, both with the sum 0.
    interest = designs @ (contrast / (contrast @ contrast))
    rest = designs @ np.cross(contrast, np.ones(len(SENSES)))
    values = np.linspace(-_WIDEST, _WIDEST, _STEPS)
    expected = _profile(answers, values, interest, rest)
    likelihood = answers.log_likelihood(expected)
    effects = np.array(
        [answers.design_effect(p, p * (1 - p) * interest, (p * (1 - p) * rest)[:, None]) for p in expected]
    )
    excess = 2 * (likelihood.max() - likelihood) / effects - answers.critical()
    low, high = ends(values, excess)
    top = int(likelihood.argmax())
    estimate = float(values[top]) if 0 < top < len(values) - 1 and (low, high) != (None, None) else None
    return {"log_odds": estimate, "log_odds_low": low, "log_odds_high": high, "n": len(captured)}


def _profile(answers: Groups, values: Array, interest: Array, rest: Array) -> Array:
    """The probabilities with the best nuisance at each value, [values, pairs]: Newton's steps, of limited length."""
    nuisance = np.zeros(len(values))
    for _ in range(_ROUNDS):
        p = special.expit(values[:, None] * interest + nuisance[:, None] * rest)
        slope = (answers.hits - answers.sizes * p) @ rest
        curvature = (answers.sizes * p * (1 - p)) @ rest**2
        nuisance = np.clip(nuisance + np.clip(slope / (curvature + 1e-9), -1, 1), -_WIDEST, _WIDEST)
    expected: Array = np.clip(special.expit(values[:, None] * interest + nuisance[:, None] * rest), 1e-6, 1 - 1e-6)
    return expected
