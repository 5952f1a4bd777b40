"""From embeddings to scores: pure functions of arrays.

A clip's parts (frames, windows of sound) are pooled: the mean of their unit vectors, normalised again. A class's logit
is that of its best prompt, scale · cosine + bias. The logit becomes a score as the model was trained:

- *sigmoid* (SigLIP, SigLIP 2), a probability of its own for each class;
- *softmax* over the classes (CLIP, CLAP), which adds up to 1.

Sources: Radford et al. 2021 (CLIP), Zhai et al. 2023 (SigLIP), Wu et al. 2023 (CLAP).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]

_DIGITS: Final = 6  # SigLIP's probabilities are small; further digits differ between machines


@dataclass(frozen=True)
class Head:
    """How a model turns a cosine into a logit, and a logit into a score.

    Attributes:
        scale: Factor of the cosine.
        bias: Added to it, for a sigmoid; None: a softmax.
    """

    scale: float
    bias: float | None


def unit(vectors: FloatArray) -> FloatArray:
    """Vectors [..., d] scaled to length 1; a zero vector stays one."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: FloatArray = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return scaled


def pooled(parts: FloatArray) -> FloatArray:
    """One unit vector [d] for the parts of a clip, [parts, d]; each part counts the same."""
    return unit(unit(parts).mean(axis=0))


def class_scores(content: FloatArray, prompts: FloatArray, classes: Sequence[str], head: Head) -> dict[str, float]:
    """The score of each class, 0 to 1.

    Args:
        content: The clip's unit vector [d].
        prompts: Unit vectors [n, d].
        classes: The class of each prompt, n of them.
        head: The model's.
    """
    logits: dict[str, float] = {}
    for name, cosine in zip(classes, (prompts @ content).tolist(), strict=True):
        logits[name] = max(logits.get(name, -np.inf), head.scale * cosine + (head.bias or 0.0))
    values = np.array(list(logits.values()))
    if head.bias is None:
        powers = np.exp(values - values.max())
        scores = powers / powers.sum()
    else:
        scores = 1 / (1 + np.exp(-np.clip(values, -50, 50)))
    return {name: round(float(score), _DIGITS) for name, score in zip(logits, scores, strict=True)}
