"""The miniature's metrics: predictions of every seed in, accuracies with intervals and acceptance criteria out.

Accuracy is over all answers: one that names no class counts as wrong. Means are over the seeds.

The interval covers both sources of variation, seeds and clips. Every seed is evaluated on the same clips, so the two
are crossed and both are resampled: the pigeonhole bootstrap (Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 2007), which is conservative. Where all answers agree a bootstrap interval
has zero width, so the interval is never narrower than the exact one (Clopper and Pearson) of one seed's clips. Three
seeds say little about other seeds: this is an interval for the mean, not a prediction interval for another seed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

from mma_bench.errors import DataError
from mma_bench.evaluation.cells import is_right
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.files import write_json

State: TypeAlias = Literal["base", "tuned", "aligned_only", "misaligned_only", "contrastive", "fork_merge", "steering"]
STATES: Final[tuple[State, ...]] = get_args(State)
QUESTIONS: Final = ("visual", "audio")
RESAMPLES: Final = 9_999
_SEED: Final = 2511

Answers: TypeAlias = npt.NDArray[np.float64]  # [seeds, base clips], share of right answers, 0 to 1
Metrics: TypeAlias = dict[str, dict[str, dict[str, dict[str, Any]]]]  # state → condition → question → Cell as a dict


@dataclass(frozen=True)
class Cell:
    """An accuracy with its 95 % interval, as fractions; `seeds` are those of each seed, in their order."""

    mean: float
    low: float
    high: float
    seeds: list[float]


@dataclass(frozen=True)
class Bar:
    """An acceptance criterion and its result.

    Attributes:
        what: The state and condition, or the two that are compared.
        wanted: The criterion in words.
        value: The result: an accuracy, or the difference of two, as a fraction.
        met: Whether `value` meets the criterion.
    """

    what: str
    question: str
    wanted: str
    value: float
    met: bool


_Mean: TypeAlias = Callable[[str, str], float]  # of a state under a condition
_RULES: Final[tuple[tuple[str, str, Callable[[_Mean], float], Callable[[float], bool]], ...]] = (
    ("base, aligned", "at least 95 %", lambda mean: mean("base", "aligned"), lambda value: value >= 0.95),
    ("base, misaligned", "at most 60 %", lambda mean: mean("base", "misaligned"), lambda value: value <= 0.60),
    ("tuned, misaligned", "at least 90 %", lambda mean: mean("tuned", "misaligned"), lambda value: value >= 0.90),
    ("tuned, aligned", "at least 95 %", lambda mean: mean("tuned", "aligned"), lambda value: value >= 0.95),
    (
        "aligned only against base, misaligned",
        "within 10 points",
        lambda mean: abs(mean("aligned_only", "misaligned") - mean("base", "misaligned")),
        lambda value: value <= 0.10,
    ),
)


def cell(answers: Answers) -> Cell:
    """Mean and interval over seeds and base clips; see the module docstring.

    Args:
        answers: At least one seed and one base clip.
    """
    seeds, clips = answers.shape
    mean = float(answers.mean())
    rng = np.random.default_rng(_SEED)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
    of_clips = rng.multinomial(clips, np.full(clips, 1 / clips), RESAMPLES)
    resampled = np.einsum("rs,sc,rc->r", of_seeds, answers, of_clips, optimize=True) / (seeds * clips)
    low, high = np.quantile(resampled, (0.025, 0.975))
    exact_low, exact_high = _exact(mean * clips, clips)
    return Cell(mean, min(float(low), exact_low), max(float(high), exact_high), [float(row.mean()) for row in answers])


def _exact(hits: float, n: int) -> tuple[float, float]:
    """Clopper–Pearson at a mean that need not be a whole number of hits."""
    low = float(stats.beta.ppf(0.025, hits, n - hits + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def answers_of(
    runs: Sequence[Iterable[Prediction]], counts: Callable[[Prediction], bool] = is_right
) -> dict[tuple[str, str], Answers]:
    """(condition, question) → share of answers that count (by default, the correct ones) by seed and base clip.

    Args:
        runs: One run's predictions for each seed.
        counts: Whether a prediction counts.

    Raises:
        DataError: A prompt failed, or the seeds have different prompts; names it.
    """
    by_seed = [_of_one(run, counts) for run in runs]
    first = by_seed[0]
    asked_of_all = {asked: sorted(clips) for asked, clips in first.items()}
    for seed, other in enumerate(by_seed):
        if {asked: sorted(clips) for asked, clips in other.items()} != asked_of_all:
            raise DataError(
                f"run {seed + 1} has different clips or conditions from run 1",
                hint="remove the miniature's seed folders and run `make miniature` again",
            )
    return {
        asked: np.array([[np.mean(seed[asked][clip]) for clip in clips] for seed in by_seed])
        for asked, clips in asked_of_all.items()
    }


def _of_one(
    run: Iterable[Prediction], counts: Callable[[Prediction], bool]
) -> dict[tuple[str, str], dict[str, list[float]]]:
    cells: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in run:
        if row.status == "failed":
            raise DataError(f"{row.key}: {row.error}", hint="run `make miniature` again: failed prompts are retried")
        cells.setdefault((row.condition, row.question), {}).setdefault(row.base_id, []).append(float(counts(row)))
    return cells


def metrics(runs: Mapping[str, Sequence[Iterable[Prediction]]]) -> Metrics:
    """State → condition → question → mean, low, high, seeds.

    Args:
        runs: State → one run's predictions for each seed, in the order of the seeds.
    """
    tree: Metrics = {}
    for state, of_seeds in runs.items():
        table = answers_of(of_seeds)
        for condition, question in sorted(table, key=lambda asked: (CONDITIONS.index(asked[0]), asked[1] != "visual")):
            answers = table[condition, question]
            tree.setdefault(state, {}).setdefault(condition, {})[question] = asdict(cell(answers))
    return tree


def bars(tree: Metrics) -> list[Bar]:
    """The criteria, each for both questions; a value equal to the threshold meets it."""
    found = []
    for what, wanted, value_of, holds in _RULES:
        for question in QUESTIONS:
            value = round(value_of(partial(_mean, tree, question)), 9)  # 0.7 - 0.6 is within 0.1
            found.append(Bar(what, question, wanted, value, holds(value)))
    return found


def _mean(tree: Metrics, question: str, state: str, condition: str) -> float:
    return float(tree[state][condition][question]["mean"])


def run_folder(root: Path, seed: int, state: str) -> Path:
    """Where `mma-bench evaluate` wrote the answers of a state of a seed."""
    return root / f"seed-{seed}" / "answers" / state


def cost_file(root: Path, seed: int) -> Path:
    """Where the costs of the remedies of a seed were written."""
    return root / f"seed-{seed}" / "cost.json"


def read_runs(root: Path, seeds: Sequence[int], state: str) -> list[list[Prediction]]:
    """The predictions of a state, one run for each seed.

    Raises:
        DataError: A run is missing or broken.
    """
    return [read_predictions(run_folder(root, seed, state) / "predictions.jsonl") for seed in seeds]


def main(root: Path, seeds: Sequence[int], out: Path) -> Metrics:
    """Read the predictions of every seed and write `metrics.json`.

    Raises:
        DataError: A run is missing or has failed prompts.
    """
    tree = metrics({state: read_runs(root, seeds, state) for state in STATES})
    write_json(out, tree)
    return tree
