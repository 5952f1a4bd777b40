"""How often the intervals of differences of Cohen's d hold the truth, and how often their tests find what is not there.

    python benchmarks/coverage_attention.py [ROUNDS]

Each clip's share of attention on video is drawn from normal distributions, so that every d is known: an effect of its
picture, one of its sound, the question's effect, and noise. The sound of a misaligned clip, and how strongly the
question shifts attention to it, are its donor's. The clips are a sample of the benchmark's 655, as are the donors: few
are shared if all clips lend their sound, most if only 50 do. Wanted: a coverage of 93 to 97 %, and at most 7 % of tests
with p below 0.05 where nothing differs.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))

from mma_bench.clusters import codes_of
from mma_bench.evaluation.attention.contrast import contrasts, moments

ROUNDS = 1_000
RESAMPLES = 599
CLIPS = 100  # the paper's number
ALL_CLIPS = 655
DONORS = (ALL_CLIPS, 50)

Array = npt.NDArray[np.float64]
Cell = tuple[str, str]

CONTRASTS: Mapping[str, Mapping[Cell, int]] = {
    "misaligned - aligned": {("before", "misaligned"): 1, ("before", "aligned"): -1},
    "after - before": {("after", "misaligned"): 1, ("before", "misaligned"): -1},
    "difference of differences": {
        ("after", "misaligned"): 1,
        ("after", "aligned"): -1,
        ("before", "misaligned"): -1,
        ("before", "aligned"): 1,
    },
}
# The true d of each cell; under "same" no contrast differs from 0, although d itself does.
TRUTHS: Mapping[str, Mapping[Cell, float]] = {
    "none": dict.fromkeys(CONTRASTS["difference of differences"], 0.0),
    "same": dict.fromkeys(CONTRASTS["difference of differences"], 0.6),
    "large and same": dict.fromkeys(CONTRASTS["difference of differences"], 1.6),
    "as in the paper": {
        ("before", "aligned"): 0.3,
        ("before", "misaligned"): 0.6,
        ("after", "aligned"): 0.9,
        ("after", "misaligned"): 1.6,
    },
}
_NOISE = 0.8
_SPREAD = {"before": 0.02, "after": 0.05}  # of shares; d does not depend on it, and neither may the test


class Line(NamedTuple):
    """One contrast: the share of rounds in which the interval holds the truth and in which p is below 0.05."""

    contrast: str
    truth: str
    donors: int
    true: float
    covered: float
    found: float


def world(rng: np.random.Generator, truth: Mapping[Cell, float], donors: npt.NDArray[np.intp]) -> dict[Cell, Array]:
    """Shares of video [2 questions, clips] by cell, with the wanted d."""
    clips = len(donors)
    picture, sound, turned = rng.normal(0, (1.0, 0.7, 0.6), (ALL_CLIPS, 3)).T
    heard = {"aligned": np.arange(clips), "misaligned": donors}
    cells = {}
    for (state, condition), d in truth.items():
        own = picture[:clips] + sound[heard[condition]]
        # The variances of the two questions are 2.13 and 2.49.
        shift = d * np.sqrt((2 * (1 + 0.49 + _NOISE**2) + 0.36) / 2)
        visual = own + turned[heard[condition]] + shift + rng.normal(0, _NOISE, clips)
        audio = own + rng.normal(0, _NOISE, clips)
        level = 0.3 if condition == "misaligned" else 0.5
        cells[state, condition] = level + _SPREAD[state] * np.stack([visual, audio])
    return cells


def coverage(rounds: int, seed: int = 0) -> Iterator[Line]:
    """Of every contrast, by the number of clips that lend their sound."""
    for few in DONORS:
        for name, truth in TRUTHS.items():
            rng = np.random.default_rng(seed)
            held, found = dict.fromkeys(CONTRASTS, 0), dict.fromkeys(CONTRASTS, 0)
            true = {kind: sum(sign * truth[cell] for cell, sign in of.items()) for kind, of in CONTRASTS.items()}
            for _ in range(rounds):
                donors = rng.choice(rng.permutation(ALL_CLIPS)[:few], CLIPS)
                cells = world(rng, truth, donors)
                for kind, signs in CONTRASTS.items():
                    sums = [np.concatenate(list(map(moments, cells[cell]))) for cell in signs]
                    weights, clusters = np.array(list(signs.values()), float), codes_of(donors.tolist())
                    one, _ = contrasts(np.stack(sums)[None], weights, clusters, resamples=RESAMPLES)
                    assert one.low is not None
                    assert one.high is not None
                    assert one.p is not None
                    held[kind] += one.low <= true[kind] <= one.high
                    found[kind] += one.p < 0.05
            for kind in CONTRASTS:
                yield Line(kind, name, few, true[kind], held[kind] / rounds, found[kind] / rounds)


def main() -> None:
    """Print a line for every contrast."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{'contrast':<26} {'true d':<16} {'donors':>6} {'truth':>6} {'covered':>8} {'p < 0.05':>9}")
    for line in coverage(rounds):
        good = 0.93 <= line.covered <= 0.97 and (line.true != 0 or line.found <= 0.07)
        print(
            f"{line.contrast:<26} {line.truth:<16} {line.donors:>6} {line.true:>6.1f} {line.covered:>8.3f} "
            f"{line.found:>9.3f}{'' if good else '  *'}"
        )


if __name__ == "__main__":
    main()
