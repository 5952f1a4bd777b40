"""How often the evaluation's intervals hold the truth, and how often its tests find what is not there.

    python benchmarks/coverage.py [ROUNDS]

Responders answer at known rates about 655 base clips over 49 classes, with the donors that the build chooses. In every
round each clip's picture and sound are drawn anew, easy or hard, and so is every answer; `alike` is the correlation of
two answers about the same sound (or picture), which clips that share a donor share. Wanted: a coverage of 93 to 97 %,
and at most 6 % of tests with p below 0.05 where nothing differs. Near 0 and 100 % the interval is on the safe side.
"""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

sys.path.insert(0, str(Path(__file__).parents[1]))

from mma_bench import stats
from tests.evaluation.responders import class_of, donor_of

ROUNDS = 1_000
RATES = (0.02, 0.2, 0.5, 0.8, 0.98)
ALIKE = (0.0, 0.3, 1.0)

Array = npt.NDArray[np.float64]

_CLIPS = list(class_of())
_BASE = np.arange(len(_CLIPS))
_DONOR = np.array([_CLIPS.index(donor_of()[clip]) for clip in _CLIPS])
_CLASS = np.array([sorted(set(class_of().values())).index(name) for name in class_of().values()])


class Line(NamedTuple):
    """One interval or test: the share of rounds in which it holds the truth, or finds a difference."""

    what: str
    alike: float
    rate: float
    share: float


def ease(rng: np.random.Generator, rate: float, alike: float) -> Array:
    """How often each clip is answered rightly [clips]: `rate` on average, two answers about a clip alike by `alike`."""
    if alike == 0:
        return np.full(len(_CLIPS), rate)
    if alike == 1:
        return (rng.random(len(_CLIPS)) < rate).astype(float)
    size = 1 / alike - 1
    return rng.beta(rate * size, (1 - rate) * size, len(_CLIPS))


def answered(rng: np.random.Generator, chances: Array) -> Array:
    """Right (1.0) or not [clips]."""
    return (rng.random(len(chances)) < chances).astype(float)


def coverage(rounds: int, seed: int = 0) -> Iterator[Line]:
    """Of every interval."""
    both = [list(_BASE), list(_DONOR)]
    for alike, rate in product(ALIKE, RATES):
        rng = np.random.default_rng(seed)
        held: dict[str, int] = {}
        for _ in range(rounds):
            seen, heard, other = (ease(rng, rate, alike) for _ in range(3))
            sight, sound = answered(rng, seen), answered(rng, heard[_DONOR])
            again = answered(rng, heard)[_DONOR]  # one answer about each donor's own aligned clip
            intervals = {
                "aligned": (stats.share(list(answered(rng, seen)), both[:1]), rate),
                "misaligned, audio": (stats.share(list(sound), both), rate),
                "misaligned, both": (stats.share(list(sight * sound), both), rate**2),
                "class-balanced, audio": (stats.share(list(sound), both, list(_CLASS[_DONOR])), rate),
                "three seeds": (stats.estimate({str(i): list(answered(rng, seen[[i] * 3])) for i in _BASE}), rate),
            }
            changes = {
                "change from aligned, audio": stats.paired(list(sound - again), both),
                "two models, audio": stats.paired(list(answered(rng, other[_DONOR]) - sound), both),
                "two models, aligned": stats.paired(list(answered(rng, other) - sight), both[:1]),
            }
            for name, (found, truth) in intervals.items():
                assert found.low is not None
                assert found.high is not None
                held[name] = held.get(name, 0) + (found.low <= truth <= found.high)
            for name, change in changes.items():
                assert change.low is not None
                assert change.high is not None
                assert change.p is not None
                held[name] = held.get(name, 0) + (change.low <= 0 <= change.high)
                held[f"test: {name}"] = held.get(f"test: {name}", 0) + (change.p < 0.05)
        yield from (Line(name, alike, rate, count / rounds) for name, count in held.items())


class OfPeople(NamedTuple):
    """Intervals of the mean of several people: the shares of rounds that hold the mean of all people over all clips.

    Attributes:
        spread: Of people's skill, in logits; clips differ by 1.
        clips_only: The same for intervals that are clustered by clip alone.
    """

    people: int
    clips: int
    spread: float
    share: float
    clips_only: float


_PEOPLE: Final = ((5, 50, 0.0), (5, 50, 0.5), (5, 200, 0.5), (10, 100, 0.5))  # people, clips, spread
_SKILL: Final = 1.386  # logits, that is 80 % for the average person and clip


def coverage_of_people(rounds: int, seed: int = 0) -> Iterator[OfPeople]:
    """Both the people and the clips are drawn anew in every round; everybody answers everything."""
    for people, clips, spread in _PEOPLE:
        rng = np.random.default_rng(seed)
        truth = float(special.expit(_SKILL + rng.normal(size=1_000_000) * np.hypot(spread, 1)).mean())
        base, person = list(np.tile(np.arange(clips), people)), list(np.repeat(np.arange(people), clips))
        held = {"clips": 0, "both": 0}
        for _ in range(rounds):
            logits = _SKILL + spread * rng.normal(size=(people, 1)) + rng.normal(size=(1, clips))
            right = list(answered(rng, special.expit(logits).ravel()))
            for name, ways in (("clips", [base]), ("both", [base, base, person])):
                found = stats.share(right, ways)
                assert found.low is not None
                assert found.high is not None
                held[name] += found.low <= truth <= found.high
        yield OfPeople(people, clips, spread, held["both"] / rounds, held["clips"] / rounds)


def main() -> None:
    """Print a line for every interval and test."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{'interval or test':<34} {'alike':>5} {'rate':>5}   share of {rounds:,} rounds")
    for line in sorted(coverage(rounds), key=lambda line: (line.what.startswith("test"), line.what)):
        wanted = line.share <= 0.06 if line.what.startswith("test") else 0.93 <= line.share <= 0.97
        print(f"{line.what:<34} {line.alike:>5} {line.rate:>5}   {line.share:.3f}{'' if wanted else '  *'}")
    print(f"\n{'people':>6} {'clips':>5} {'spread':>6}   share   clustered by clip alone")
    for row in coverage_of_people(rounds):
        print(f"{row.people:>6} {row.clips:>5} {row.spread:>6}   {row.share:.3f}   {row.clips_only:.3f}")


if __name__ == "__main__":
    main()
