"""How numbers, names and a run's facts are written on the pages of the evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.evaluation.published import published_name, weights_of

SMALL: Final = 100  # base clips; with fewer, intervals are wider than about ±10 points
PROTOCOLS: Final = {
    "forced_choice": "Forced choice",
    "loglikelihood": "Forced choice by log-likelihood",
    "abstention": "Abstention",
    "chain_of_thought": "Chain of thought",
    "written": "What the caption says",
    "synchrony": "Whether picture and sound are in sync",
    "open_answer": "Open answers",
}


def facts(run: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """The run's facts as rows of a table: nested ones by their path, lists as text, without empty ones."""
    rows: list[tuple[str, str]] = []
    for key, value in run.items():
        path = f"{above} · {key}" if above else str(key)
        if isinstance(value, Mapping):
            rows += facts(value, path)
        elif isinstance(value, list | tuple):
            rows.append((path, "; ".join(map(str, value))))
        elif value is not None:
            rows.append((path, str(value)))
    return rows


def model_name(run: Mapping[str, Any]) -> str:
    """The model with its adapter, and with its weights if its name is published but the weights are not."""
    name, settings = str(run["model"]), run["settings"]
    published = published_name(name, None)
    if published is not None and published_name(name, None, settings) != published:
        name += f" with {weights_of(settings)}"
    return name + (f" + {run['adapter']}" if run["adapter"] else "")


def p_value(p: float | None) -> str:
    """Three decimals; a dash without a test."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal, with two below 1 %; a dash if None."""
    if value is None:
        return "–"
    return f"{100 * value:.2f}" if 0 < value < 0.01 else f"{100 * value:.1f}"


def shares(values: Sequence[float]) -> str:
    """Fractions that belong together, in whole percent."""
    return " / ".join(f"{100 * value:.0f}" for value in values)


def points(row: Mapping[str, Any]) -> str:
    """A change in percentage points with its interval."""
    if row["difference"] is None:
        return "–"
    text = f"{100 * row['difference']:+.1f}"
    if row["low"] is not None:
        text += f" [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    return text.replace("-", "−")
