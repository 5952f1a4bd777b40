"""How many tokens the irrelevant text takes in a model, from the token counts that its engine reports.

The text is the same for every model, its length in tokens is not. A prompt under `long_context` and the same question
about the aligned clip differ in the text alone, so the difference of their `prompt_tokens` is its length.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from mma_bench.evaluation.conditions import CONFIGS
from mma_bench.evaluation.predictions import Prediction
from mma_bench.schema import Condition

_COUNT: Final = "prompt_tokens"


def context_tokens(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """A row for each condition with an irrelevant text: `prompts` compared, and `fewest`, `median`, `most` tokens.

    Empty if the engine reports no counts, or the run lacks the aligned condition.
    """
    counted = [row for row in predictions if _COUNT in row.usage]
    aligned = {_asked(row): row.usage[_COUNT] for row in counted if row.condition == Condition.ALIGNED}
    lengths: dict[str, list[int]] = defaultdict(list)
    for row in counted:
        if CONFIGS.get(row.condition) == Condition.LONG_CONTEXT and _asked(row) in aligned:
            lengths[row.condition].append(row.usage[_COUNT] - aligned[_asked(row)])
    return [
        {"condition": name, "prompts": len(of), "fewest": min(of), "median": median(of), "most": max(of)}
        for name, of in sorted(lengths.items())
    ]


def _asked(row: Prediction) -> tuple[str, str, str, int]:
    return row.protocol, row.base_id, row.question, row.seed
