"""How often the intervals of trust curves hold: simulated responders with a known switching point.

`python benchmarks/coverage_trust.py [DRAWS]` prints a row for each setting, as in docs/beyond.md.
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


def main(draws: int) -> None:
    """Print the table."""
    for clips, steps, responder in product((14, 60, 600), (4, 5, 8), RESPONDERS):
        levels, covered, widths = np.linspace(-20, 10, steps).tolist(), 0, []
        for seed in range(draws):
            rows = switching(responder, clips=clips, seed=seed, levels=levels)
            found = switch_of(next(curve for curve in curves(rows) if curve.question == "audio"))
            low, high = found.low, found.high
            covered += (low is None or low <= responder.at) and (high is None or responder.at <= high)
            if low is not None and high is not None:
                widths.append(high - low)
        setting = (clips, steps, responder.at, responder.slope, responder.spread, responder.lapses)
        width = f"{median(widths):.1f}" if widths else "open"
        print("| " + " | ".join([*(f"{value:g}" for value in setting), f"{covered / draws:.1%}", width]) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
