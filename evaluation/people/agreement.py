"""How far people agree, and what the best score is that a person can be expected to reach: the ceiling.

Pure functions of people's answers. Agreement is Krippendorff's alpha (nominal; the options are the categories) and the
share of pairs of answers that are the same. The ceiling is the expected accuracy of one person if the majority of the
others is taken for the truth; a tie among the others counts by the share of its options. All have 95 % intervals over
base clips: they say what other clips would give with these people.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import numpy as np
import numpy.typing as npt

from mma_bench.evaluation.people.answers import Person
from mma_bench.evaluation.people.study import Item
from mma_bench.stats import Estimate, agreement_interval, disagreements, estimate


@dataclass(frozen=True)
class Agreement:
    """People's answers under one protocol, condition and question, over the prompts that at least two answered.

    Attributes:
        same: Share of pairs of answers to one prompt that are the same.
        alpha: Krippendorff's, -1 to 1; None if all answers are the same, or no prompt has two.
        low: Of the 95 % interval of `alpha`; None without it or with a single base clip.
        ceiling: Expected accuracy of one person against the majority of the others.
        accuracy: Against the dataset, of all answers, as a plain share.
    """

    protocol: str
    condition: str
    question: str
    people: int
    prompts: int
    same: Estimate
    alpha: float | None
    low: float | None
    high: float | None
    ceiling: Estimate
    accuracy: float | None


def agreements(people: Sequence[Person], items: Iterable[Item]) -> list[Agreement]:
    """One row for each protocol, condition and question, in the order of the items."""
    cells: dict[tuple[str, str, str], list[Item]] = defaultdict(list)
    for item in items:
        cells[item.cell].append(item)
    return [_agreement(people, own) for own in cells.values()]


def against_majority(answers: Sequence[str]) -> list[float]:
    """For each answer to one prompt: the share of it in the majority of the others, 0 to 1.

    >>> against_majority(["cat", "cat", "dog"])
    [0.5, 0.5, 0.0]
    """
    found = []
    for number, own in enumerate(answers):
        others = Counter(answers[:number]) + Counter(answers[number + 1 :])
        most = max(others.values())
        majority = [option for option, count in others.items() if count == most]
        found.append((own in majority) / len(majority))
    return found


def _agreement(people: Sequence[Person], items: Sequence[Item]) -> Agreement:
    given = {item: [person.given[item.id].option for person in people if item.id in person.given] for item in items}
    several = {item: answers for item, answers in given.items() if len(answers) > 1}
    same: dict[str, list[float]] = defaultdict(list)
    ceiling: dict[str, list[float]] = defaultdict(list)
    for item, answers in several.items():
        same[item.base] += [float(a == b) for a, b in combinations(answers, 2)]
        ceiling[item.base] += against_majority(answers)
    counts = _counts(list(several.values()))
    alpha, low, high = _alpha(counts), None, None
    if alpha is not None and len(same) > 1:
        low, high = _interval(counts, [item.base for item in several])
    right = [option == item.expected for item, answers in given.items() for option in answers]
    return Agreement(
        *items[0].cell,
        people=sum(any(item.id in person.given for item in items) for person in people),
        prompts=len(several),
        same=estimate(same),
        alpha=alpha,
        low=low,
        high=high,
        ceiling=estimate(ceiling),
        accuracy=fmean(right) if right else None,
    )


def _counts(answers: Sequence[Sequence[str]]) -> npt.NDArray[np.int_]:
    """How often each option was chosen [prompts, options]."""
    options = sorted({option for own in answers for option in own})
    counts = [[own.count(option) for option in options] for own in answers]
    return np.array(counts, int).reshape(len(answers), len(options))


def _alpha(counts: npt.NDArray[np.int_]) -> float | None:
    import krippendorff

    if (counts.sum(axis=0) > 0).sum() < 2:  # one answer throughout: there is no disagreement to expect
        return None
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _interval(counts: npt.NDArray[np.int_], bases: Sequence[str]) -> tuple[float, float]:
    """Of alpha; base clips are resampled with all their prompts."""
    rows: Mapping[str, list[int]] = defaultdict(list)
    for number, base in enumerate(bases):
        rows[base].append(number)
    own = list(rows.values())

    def resampled(chosen: npt.NDArray[np.int_]) -> float:
        alpha = _alpha(counts[[number for base in chosen for number in own[base]]])
        return math.nan if alpha is None else alpha

    differing, expected = disagreements(counts)
    by_base: Mapping[str, list[float]] = defaultdict(list)
    for base, value in zip(bases, differing, strict=True):
        by_base[base].append(value)
    return agreement_interval((np.arange(len(own)),), resampled, disagreement=estimate(by_base), expected=expected)
