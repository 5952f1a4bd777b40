"""The laboratory: at what point the miniature's models stop trusting a sense, before and after tuning.

In: the answers of every seed and state under `seed.LABORATORY`. Out: a page, and its numbers. The controls are the
question about the intact sense, which should stay as it is, and the models that were tuned for as long on aligned clips
or on conflicts alone; what tuning costs is the accuracy where the senses agree.

Two more conditions are beside the curves: the sound early or late, where the classes to name stay the same, and
three-way conflict. The models know no words but those of the two questions about the class, so they are not asked
whether picture and sound are in sync, nor what a caption says.

A seed's threshold has the interval of a report (`evaluation.trust`). Three seeds are three models: that tuning moves
the threshold is said only if it moves in the same direction in all of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.cells import is_right
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.trust.curves import DEGRADED, curves, switch_of
from mma_bench.evaluation.trust.psychometric import Switch
from mma_bench.evaluation.trust.senses import SENSES, followed
from mma_bench.files import write_json, write_text
from mma_bench.page import render, svg
from mma_bench.schema import Condition, Manipulation
from mma_bench.stats import format_estimate
from mma_bench.tables import read_json
from mma_bench.training.miniature.laboratory_figures import shift_lines, trust_lines
from mma_bench.training.miniature.metrics import QUESTIONS, answers_of, cell
from mma_bench.training.miniature.page import NAMES
from mma_bench.training.miniature.seed import LABORATORY_STATES, laboratory_folder

Row = dict[str, Any]
Runs = Mapping[str, Sequence[Sequence[Prediction]]]  # state → the predictions of each seed

WHAT: Final[Mapping[str, str]] = {
    Manipulation.PINK_NOISE: "Noise over the sound",
    Manipulation.MIXTURE: "The other sound over the clip's own",
    Manipulation.DARKNESS: "A darker picture",
}
AXES: Final[Mapping[str, str]] = {
    Manipulation.PINK_NOISE: "signal-to-noise ratio, dB",
    Manipulation.MIXTURE: "other sound over own, dB",
    Manipulation.DARKNESS: "luma taken away, %",
}


@dataclass(frozen=True)
class Moved:
    """Thresholds of one manipulation, seed by seed.

    Attributes:
        switches: State → the switch of each seed.
        unit: Of the thresholds.
    """

    manipulation: str
    unit: str
    switches: Mapping[str, Sequence[Switch]]

    def direction(self, state: str) -> str:
        """Where tuning moves the threshold: `more` trust in the degraded sense, `less`, or `unclear`.

        Trust grows if the sense is followed at levels that leave less of it. A threshold above all levels is higher
        than any other, one below all levels lower.
        """
        rising = DEGRADED[self.manipulation].rising
        signs = set()
        for before, after in zip(self.switches["base"], self.switches[state], strict=True):
            first, second = _place(before), _place(after)
            if first is None or second is None or first == second:
                return "unclear"
            signs.add((second < first) == rising)
        return "unclear" if len(signs) != 1 else "more" if signs.pop() else "less"


def _place(switch: Switch) -> float | None:
    """The threshold, infinite beyond the levels; None if it cannot be estimated."""
    return {"above": math.inf, "below": -math.inf}.get(switch.status, switch.threshold)


def points(runs: Runs) -> list[Row]:
    """The answers at each level: rows of `manipulation`, `state`, `question`, `role`, `level` and, for `degraded`,
    `other` and `neither`, the share of answers that follow them, with `mean`, `low`, `high` and `seeds`.
    """
    found = []
    for state, of_seeds in runs.items():
        by_seed = [curves(run) for run in of_seeds]
        for same in zip(*by_seed, strict=True):
            first = same[0]
            for level in (level for level in first.levels if level is not None):
                rules: dict[str, Callable[[Prediction], bool]] = {
                    "degraded": first.follows_degraded,
                    "other": first.follows_other,
                    "neither": lambda row, curve=first: not curve.decided([row]),  # type: ignore[misc]
                }
                for name, rule in rules.items():
                    (answers,) = answers_of([curve.levels[level] for curve in same], rule).values()
                    labels = {**first.labels, "state": state, "level": level, "followed": name}
                    found.append({**labels, **asdict(cell(answers))})
    return found


def moved(runs: Runs) -> list[Moved]:
    """The thresholds of every manipulation; of the question about the degraded sense."""
    of_states: dict[str, dict[str, list[Switch]]] = {}
    for state, of_seeds in runs.items():
        for run in of_seeds:
            for curve in curves(run):
                if curve.question == curve.degradation.sense:
                    of_states.setdefault(curve.manipulation, {}).setdefault(state, []).append(switch_of(curve))
    return [Moved(name, DEGRADED[name].unit, switches) for name, switches in of_states.items()]


def shifts(runs: Runs) -> list[Row]:
    """Accuracy by shift of the sound, in seconds, above 0 late; 0 is the aligned clip. Rows of `state`, `question`,
    `level`, `mean`, `low`, `high` and `seeds`.
    """
    found = []
    for state, of_seeds in runs.items():
        levels = {row.level for row in of_seeds[0] if row.condition == Condition.SHIFTED_AUDIO}
        for level in sorted({0.0, *(level for level in levels if level is not None)}):
            condition = Condition.SHIFTED_AUDIO if level else Condition.ALIGNED
            same = [
                [row for row in run if row.condition == condition and (row.level or 0.0) == level] for run in of_seeds
            ]
            for (_, question), answers in answers_of(same, is_right).items():
                found.append({"state": state, "question": question, "level": level, **asdict(cell(answers))})
    return found


def three_way(runs: Runs) -> list[Row]:
    """Which sense answers follow where picture, sound and caption name three classes: rows of `state`, `question`,
    `followed` (`picture`, `sound`, `caption` or `neither`, which add up to 1), `mean`, `low`, `high` and `seeds`.
    """
    found = []
    for state, of_seeds in runs.items():
        same = [[row for row in run if row.condition == Condition.THREE_WAY] for run in of_seeds]
        for name in (*SENSES, "neither"):
            for (_, question), answers in answers_of(same, lambda row, name=name: followed(row) == name).items():  # type: ignore[misc]
                found.append({"state": state, "question": question, "followed": name, **asdict(cell(answers))})
    return found


def read_laboratory(root: Path, seeds: Sequence[int]) -> dict[str, list[list[Prediction]]]:
    """State → the predictions of each seed under `seed.LABORATORY`.

    Raises:
        DataError: A run is missing or broken.
    """
    return {
        state: [read_predictions(laboratory_folder(root, seed, state) / "predictions.jsonl") for seed in seeds]
        for state in LABORATORY_STATES
    }


def main(root: Path, seeds: Sequence[int], metrics: Path, out: Path, numbers: Path) -> None:
    """Write the page and its numbers.

    Args:
        root: The miniature's project.
        seeds: All of them.
        metrics: The miniature's `metrics.json`: what tuning costs where the senses agree.
        out: The HTML file.
        numbers: A JSON file with what the page shows.

    Raises:
        DataError: A run is missing or broken.
    """
    runs = read_laboratory(root, seeds)
    rows, thresholds, shifted, conflict = points(runs), moved(runs), shifts(runs), three_way(runs)
    tree = read_json(metrics)
    charts = {
        name: svg(
            trust_lines([row for row in rows if row["manipulation"] == name], AXES[name], NAMES),
            f"{WHAT[name]}: which sense answers follow",
        )
        for name in dict.fromkeys(row["manipulation"] for row in rows)
    }
    write_json(
        numbers,
        {
            "points": rows,
            "thresholds": [
                {"manipulation": each.manipulation, "state": state, "seed": seed, **asdict(switch)}
                for each in thresholds
                for state, switches in each.switches.items()
                for seed, switch in zip(seeds, switches, strict=True)
            ],
            "shifts": shifted,
            "three_way": conflict,
        },
    )
    write_text(
        out,
        render(
            "laboratory.html",
            "mma_bench.training.miniature",
            title="At what point does a model stop trusting a sense?",
            charts=charts,
            thresholds=thresholds,
            shift_chart=svg(shift_lines(shifted, NAMES), "Accuracy by shift of the sound") if shifted else None,
            three_way={(row["state"], row["question"], row["followed"]): row for row in conflict},
            senses=(*SENSES, "neither"),
            tree=tree,
            what=WHAT,
            names=NAMES,
            questions=QUESTIONS,
            seeds=seeds,
            clips=len({row.base_id for row in runs["base"][0]}),
            estimate=format_estimate,
            threshold=threshold,
            conditions=(Condition.ALIGNED, Condition.MISALIGNED),
        ),
    )


def threshold(switch: Switch) -> str:
    """A threshold in words: `-3.1 [-5.2, -1.4]`, `above 12`, `not estimable`."""
    if switch.status == "estimated" and switch.threshold is not None:
        ends = ", ".join("…" if end is None else f"{end:.1f}" for end in (switch.low, switch.high))
        return f"{switch.threshold:.1f} [{ends}]"
    if switch.status in ("not_estimable", "no_single_switch"):
        return switch.status.replace("_", " ")
    return f"{switch.status} all levels"
