"""Position bias: whether answers prefer options for their place in the list (Pezeshkpour and Hruschka, "Large Language
Models Sensitivity to The Order of Options in Multiple-Choice Questions", Findings of NAACL 2024).

The list is cut into fifths, or into single positions if there are fewer than five classes. Without position bias an
answer names a class wherever it stands, so under a shuffled order every position is equally likely, whatever the model
knows: the test is Pearson's chi-squared test of the parts against their shares of the list.

All prompts about one base clip list the classes in the same order, so their answers are not independent. Given the
answers, only the orders are random, which gives the variance exactly: the statistic is divided by that design effect
(Rao and Scott, "The Analysis of Categorical Data from Complex Sample Surveys", JASA 1981).

With sorted options, every class always has the same position: a preference for a position cannot be told from one for
a class, and there is no test.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from mma_bench.evaluation.comparisons import corrected
from mma_bench.evaluation.predictions import Prediction, option_order
from mma_bench.prompts import NONE_OF_THE_ABOVE
from mma_bench.stats import share

PARTS: Final = 5
_FEWEST: Final = 5  # expected answers in a part: with fewer, chi-squared is a poor approximation (Cochran, 1954)


def position_bias(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """A row for each protocol and question, over all conditions; p values are Holm-corrected over the rows.

    Only answers that name one of the listed classes count; "None of the above" is always the last and left out.

    Returns:
        Rows with `option_order`; `mean`, `low`, `high`, `n` and `clusters` of the relative position, 0 for the first
        and 1 for the last option; `chosen`, `truth` and `expected`, the shares of the answers, of the right answers and
        of the listed positions in each part; `first`, `last` and `one`, the shares of answers that name the first
        option, the last one, and that any single position would have; `chi2`, already divided by `design_effect`,
        `df` and `p`, None if the order is sorted or there are too few answers.
    """
    groups: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in sorted(predictions, key=lambda row: row.key):
        classes = listed(row)
        if row.answer in classes and len(classes) > 1:
            groups[row.protocol, row.question].append(row)
    return corrected(
        [
            {"protocol": protocol, "question": question, **_bias(groups[protocol, question])}
            for protocol, question in sorted(groups, key=lambda group: (group[0], group[1] != "visual"))
        ]
    )


def listed(row: Prediction) -> list[str]:
    """The classes in the order of the prompt, without "None of the above"."""
    return [option for option in row.options if option != NONE_OF_THE_ABOVE]


def _bias(rows: Sequence[Prediction]) -> dict[str, Any]:
    orders = [listed(row) for row in rows]
    chosen = [classes.index(str(row.answer)) for row, classes in zip(rows, orders, strict=True)]
    true = [classes.index(row.expected) for row, classes in zip(rows, orders, strict=True) if row.expected in classes]
    count = len(orders[0])  # one split offers the same classes everywhere
    parts = min(PARTS, count)
    expected = np.bincount(np.arange(count) * parts // count, minlength=parts) / count
    found = share([position / (count - 1) for position in chosen], [[row.base_id for row in rows]])
    order = option_order(rows[0])
    effect = _design_effect(rows, count)
    observed = _counts(chosen, count, parts)
    tested = order != "sorted" and effect > 0 and len(rows) * expected.min() / effect >= _FEWEST
    chi2 = float(stats.chisquare(observed, len(rows) * expected).statistic) / effect if tested else None
    return {
        "option_order": order,
        **{name: getattr(found, name) for name in ("mean", "low", "high", "n", "clusters")},
        "chosen": _shares(observed),
        "truth": _shares(_counts(true, count, parts)),
        "expected": expected.tolist(),
        "first": chosen.count(0) / len(chosen),
        "last": chosen.count(count - 1) / len(chosen),
        "one": 1 / count,
        "chi2": chi2,
        "df": parts - 1,
        "design_effect": effect,
        "p": None if chi2 is None else float(stats.chi2.sf(chi2, parts - 1)),
    }


def _counts(positions: Sequence[int], count: int, parts: int) -> npt.NDArray[np.intp]:
    """Number of positions in each part of the list: [parts]."""
    return np.bincount(np.asarray(positions, int) * parts // count, minlength=parts)


def _shares(counts: npt.NDArray[np.intp]) -> list[float]:
    total = max(int(counts.sum()), 1)
    return [float(count) / total for count in counts]


def _design_effect(rows: Sequence[Prediction], count: int) -> float:
    """The variance of the counts over random orders, relative to that of independent answers.

    Answers about a clip that name the same class share a position; those that name different classes cannot.
    """
    named: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        named[row.base_id][str(row.answer)] += 1
    variance = sum(
        (count * sum(times**2 for times in answers.values()) - answers.total() ** 2) / (count - 1)
        for answers in named.values()
    )
    return variance / len(rows)
