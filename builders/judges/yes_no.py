"""Shared by the omni judges: the frames of a view, "Yes" and "No" as text and as probability, and the decision.

A language model gives two kinds of evidence. Its greedy answer is the paper's rule (appendix B.1): the
check passes only if the answer begins with "Yes". The probability of "Yes" is P(Yes) / (P(Yes) + P(No)) at the
beginning of the answer, over the spellings below; it can be compared with a threshold chosen on labelled clips.
"""

import math
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mma_bench.builders.judges.contracts import Verdict, View
from mma_bench.config import Namespace, OmniJudgeParams
from mma_bench.errors import ConfigError
from mma_bench.prompts import SAYS_YES
from mma_bench.schema import Modality
from mma_bench.settings import checked

Settings = TypeVar("Settings", bound=Namespace)

RULES: Final = 1  # version of this module: raise it to ask about every clip again
MAX_NEW_TOKENS: Final = 16  # only the beginning of an answer counts

# Square and of one size for all clips, so that not even the frame's shape leaks information about the video.
_BLACK_SIDE: Final = 336
_DIGITS: Final = 6


def pictures(view: View, count: int) -> NDArray[np.uint8]:
    """The view's frames [T, height, width, 3], or `count` black ones if it has no video (the paper's check 2)."""
    if view.frames is not None:
        return view.frames
    return np.zeros((count, _BLACK_SIDE, _BLACK_SIDE, 3), np.uint8)


def says_yes(words: str) -> bool:
    """Whether an answer begins with "Yes"; anything else ("No.", "The cat is visible") does not pass."""
    return re.match(SAYS_YES, words) is not None


def probability_of_yes(yes: Iterable[float], no: Iterable[float]) -> float:
    """P(Yes) / (P(Yes) + P(No)) from natural log-probabilities of their spellings, rounded; 0 if there are none."""
    yes, no = list(yes), list(no)
    most = max([*yes, *no], default=-math.inf)
    if most == -math.inf:
        return 0.0
    # Scaled by the largest, so that the sum is never 0.
    for_yes, for_no = (sum(math.exp(value - most) for value in values) for values in (yes, no))
    return round(for_yes / (for_yes + for_no), _DIGITS)


def answer(params: OmniJudgeParams, modality: Modality, words: str, score: float) -> Verdict:
    """The check's answer by the configured rule, with both kinds of evidence."""
    threshold = params.visual_threshold if modality == "visual" else params.audio_threshold
    yes = says_yes(words) if params.decide_by == "answer" else score >= threshold
    return Verdict(yes=yes, score=score, words=words)


def engine_settings(params: OmniJudgeParams, engine: str, kind: type[Settings]) -> tuple[str, Settings]:
    """The name and the validated settings of the judge's model.

    Raises:
        ConfigError: No such model, a model of another engine, or a wrong setting; names it.
    """
    from mma_bench.models import load_config

    config = load_config(params.model, overrides=params.settings)
    if config.engine != engine:
        raise ConfigError(
            f"judge.model: {params.model} runs on the engine {config.engine}, but judge.name is {params.name}",
            hint=f"choose a model of the engine {engine} (`mma-bench models`), or another judge",
        )
    return config.name, checked(kind, config.settings, f"judge.settings for {params.model}")


def rules_of(params: OmniJudgeParams) -> dict[str, Any]:
    """The parameters that affect an answer or a decision, besides the model's own revision."""
    return {"rules": RULES, **params.model_dump(exclude={"processes", "model", "settings"})}
