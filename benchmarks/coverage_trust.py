"""How often the intervals of trust curves hold: simulated responders with a known switching point and slope.

`python benchmarks/coverage_trust.py [DRAWS]` prints a row for each setting: clips, steps, the responder, how often the
interval of its threshold and that of its slope hold, the median width of the first, and how often the curve is wrongly
said not to fit, which counts as not held. Where clips switch at different
levels the slope is that of the mean over clips, at its threshold.
"""

import sys
from itertools import product
from statistics import median

import numpy as np

from mma_bench.evaluation.trust.curves import curves, switch_of
from tests.evaluation.trust.responders import Switching, switching

RESPONDERS = (
    Switching(-8.0, 0.3),
    Switching(-8.0, 0.3, spread=5.0, lapses=0.1),
    Switching(-3.0, 1.0, spread=10.0, lapses=0.1),
    Switching(-3.0, 2.0, lapses=0.05),
    Switching(6.0, 1.0, spread=5.0),
)


def slope_of(responder: Switching) -> float:
    """The slope, on the scale of a logistic function's, of the mean over clips at the threshold."""
    apart = np.linspace(-8, 8, 4001)  # of a clip's threshold from the mean, in standard deviations
    share = np.exp(-(apart**2) / 2)
    chance = 1 / (1 + np.exp(responder.slope * responder.spread * apart))
    return float(4 * responder.slope * (share * chance * (1 - chance)).sum() / share.sum())


def _holds(low: float | None, truth: float, high: float | None) -> bool:
    return (low is None or low <= truth) and (high is None or truth <= high)


def main(draws: int) -> None:
    """Print the table."""
    for clips, steps, responder in product((14, 60, 600), (4, 5, 8), RESPONDERS):
        levels, covered, slopes, misfits, widths = np.linspace(-20, 10, steps).tolist(), 0, 0, 0, []
        for seed in range(draws):
            rows = switching(responder, clips=clips, seed=seed, levels=levels)
            found = switch_of(next(curve for curve in curves(rows) if curve.question == "audio"))
            if found.status == "no_single_switch":
                misfits += 1
                continue
            low, high = found.low, found.high
            covered += _holds(low, responder.at, high)
            slopes += _holds(found.slope_low, slope_of(responder), found.slope_high)
            if low is not None and high is not None:
                widths.append(high - low)
        setting = (clips, steps, responder.at, responder.slope, responder.spread, responder.lapses)
        width = f"{median(widths):.1f}" if widths else "open"
        held = [f"{count / draws:.1%}" for count in (covered, slopes, misfits)]
        held.insert(2, width)
        print("| " + " | ".join([*(f"{value:g}" for value in setting), *held]) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
