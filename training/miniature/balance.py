"""Keeps a base model of the miniature from leaning to one sense while it learns.

A model of this size tips: whichever sense it happens to learn first comes to win nearly every conflict, and three seeds
would show three different models. So it is asked now and then about clips whose senses conflict, which it is never
taught, and the more it goes by one sense, the more of the clips from which it learns lack that sense.
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
_MOST: Final = 4.0  # log-odds; so neither share vanishes, however strong the gain


def answer_logits(thinker: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """What the thinker holds likely for the answers' tokens.

    Args:
        thinker: To ask.
        batch: Of `Collate`, without `example_ids` and `faults`.

    Returns:
        float [examples, tail - 1, vocabulary], and the labels, int64 [examples, tail - 1], -100 where there is none.
    """
    labels = batch.pop("labels")
    hidden = thinker.model(**batch, use_cache=False).last_hidden_state[:, -labels.shape[1] : -1]
    return thinker.lm_head(hidden), labels[:, 1:]


def lean(thinker: Any, asked: Mapping[Modality, Sequence[Example]], collate: Collate) -> tuple[float, float]:
    """Accuracy about conflicts, on the visual and on the audio question, 0 to 1.

    Args:
        thinker: In training mode, as it is left.
        asked: Question → examples, each of a clip whose senses conflict.
        collate: Of the training.
    """
    thinker.eval()
    with torch.no_grad():
        visual, audio = (_accuracy(thinker, asked[question], collate) for question in ("visual", "audio"))
    thinker.train()
    return visual, audio


def _accuracy(thinker: Any, examples: Sequence[Example], collate: Collate) -> float:
    """Share of answers of which every token is the likeliest one after those before it."""
    right = 0
    for start in range(0, len(examples), _BATCH):
        batch = collate(examples[start : start + _BATCH])
        del batch["example_ids"], batch["faults"]
        logits, labels = answer_logits(thinker, batch)
        right += int(((logits.argmax(-1) == labels) | (labels == IGNORED)).all(1).sum())
    return right / len(examples)


def shift(shares: dict[Kind, float], visual: float, audio: float, gain: float) -> None:
    """Move share between `silent` and `black`, whose sum stays, against the lean.

    Args:
        shares: Kind → weight; changed in place. Both are above 0.
        visual, audio: As `lean` gives them.
        gain: On the log-odds of a clip being black and not silent, where sight wins every conflict.
    """
    both = shares["silent"] + shares["black"]
    odds = math.log(shares["black"] / shares["silent"]) + gain * (visual - audio)
    shares["black"] = both / (1 + math.exp(-min(max(odds, -_MOST), _MOST)))
    shares["silent"] = both - shares["black"]
