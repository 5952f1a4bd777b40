"""Whether a run answered all that it was to be asked, as far as run.json and the predictions tell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.protocols import Protocol, applies, questions_of


def limit_of(run: Mapping[str, Any]) -> int | None:
    """At most this many base clips were asked about (`evaluate --limit`); None without a limit."""
    return run.get("limit")


def missing(run: Mapping[str, Any], predictions: Sequence[Prediction]) -> str | None:
    """What an interrupted run has not been asked yet, in words; None if nothing is known to be missing.

    Args:
        run: The content of run.json, or as much of it as is known: `data` has the conditions to be asked.
        predictions: The run's predictions.
    """
    asked: dict[tuple[str, str], dict[tuple[str, int], set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in predictions:
        asked[row.protocol, row.condition][row.question, row.seed].add(row.id)
    for protocol in dict.fromkeys(row.protocol for row in predictions):
        for condition in run.get("data", {}):
            if protocol in tuple(Protocol) and applies(Protocol(protocol), condition):
                for question in questions_of(Protocol(protocol)):
                    if not any(each == question for each, _ in asked.get((protocol, condition), {})):
                        return f"no {question} question was asked under {condition} ({protocol})"
    for (protocol, condition), prompts in asked.items():
        if len({frozenset(ids) for ids in prompts.values()}) > 1:
            return f"some clips were not asked all questions under {condition} ({protocol})"
    subset = Subset.read(run)
    if subset is not None and limit_of(run) is None:
        clips: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in predictions:
            clips[row.protocol, row.condition].add(row.base_id)
        for (protocol, condition), ids in clips.items():
            if len(ids) < subset.count:
                return (
                    f"{len(ids):,} of the subset's {subset.count:,} base clips were asked about under {condition} "
                    f"({protocol})"
                )
    return None
