"""Keeps the miniature's base model from becoming biased towards one modality during training.

A model of this size is unstable: whichever modality it learns first comes to decide nearly every conflict, so three
seeds would give three different models. It is therefore probed regularly with conflicting clips, on which it is never
trained; the more one modality dominates, the more of its training clips lack that modality.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from mma_bench.schema import Modality
from mma_bench.training.collate import Batch, Collate
from mma_bench.training.examples import IGNORED, Example
from mma_bench.training.miniature.lessons import Kind

_BATCH: Final = 28
_MOST: Final = 4.0  # bound on the log-odds, so that neither share vanishes at a high gain


def answer_logits(thinker: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The thinker's logits at the positions of the answers.

    Args:
        thinker: The model.
        batch: From `Collate`, without `example_ids` and `faults`.

    Returns:
        float [examples, tail - 1, vocabulary], and the labels, int64 [examples, tail - 1], -100 where there is none.
    """
    labels = batch.pop("labels")
    hidden = thinker.model(**batch, use_cache=False).last_hidden_state[:, -labels.shape[1] : -1]
    return thinker.lm_head(hidden), labels[:, 1:]


def lean(thinker: Any, asked: Mapping[Modality, Sequence[Example]], collate: Collate) -> tuple[float, float]:
    """Accuracy on conflicting clips, on the visual and the audio question, 0 to 1.

    Args:
        thinker: In training mode, also on return.
        asked: Question → examples about conflicting clips.
        collate: The one used in training.
    """
    thinker.eval()
    with torch.no_grad():
        visual, audio = (_accuracy(thinker, asked[question], collate) for question in ("visual", "audio"))
    thinker.train()
    return visual, audio


def _accuracy(thinker: Any, examples: Sequence[Example], collate: Collate) -> float:
    """Teacher-forced exact-match accuracy: every token of the answer has the highest logit."""
    right = 0
    for start in range(0, len(examples), _BATCH):
        batch = collate(examples[start : start + _BATCH])
        del batch["example_ids"], batch["faults"]
        logits, labels = answer_logits(thinker, batch)
        right += int(((logits.argmax(-1) == labels) | (labels == IGNORED)).all(1).sum())
    return right / len(examples)


def shift(shares: dict[Kind, float], visual: float, audio: float, gain: float) -> None:
    """Shift share between `silent` and `black`, keeping their sum, to counteract the bias.

    Args:
        shares: Kind → weight; changed in place. Both are above 0.
        visual, audio: Accuracies from `lean`.
        gain: Change of the log-odds of black versus silent clips if the picture wins every conflict.
    """
    both = shares["silent"] + shares["black"]
    odds = math.log(shares["black"] / shares["silent"]) + gain * (visual - audio)
    shares["black"] = both / (1 + math.exp(-min(max(odds, -_MOST), _MOST)))
    shares["silent"] = both - shares["black"]
