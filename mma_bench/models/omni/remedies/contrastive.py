"""Contrastive decoding: what the model says, less what it would say without the asked sense.

At each token, logits = (1 + strength) · logits(clip) − strength · logits(clip without the asked sense). Tokens whose
probability after the clip is below `cut_off` times that of the most likely token cannot be chosen: otherwise a token
that is merely unlikely in both would be picked for its difference. Options are scored by the softmax of the same
logits without the cut-off, which would give options of equal implausibility a log-likelihood of minus infinity.

The formula with its cut-off is that of visual contrastive decoding (Leng et al. 2023, arXiv 2311.16922), which
contrasts with a noisy image; audio-visual contrastive decoding (AVCD; Jung, Jang and Chung 2025, arXiv 2505.20862,
github.com/kaistmm/AVCD) extends it to three modalities. As in AVCD, attention to tokens is masked, and the media are
left as they are. What differs from AVCD: the contrasted sense is that of the question and not one found by the
distribution of attention, all of its tokens are masked, in all layers and for the clip's own tokens too, and not
those with the most attention; there is one contrast instead of three; and no token is skipped for its low entropy.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from mma_bench.models.omni.attention import instead_of_attention
from mma_bench.models.omni.hidden_keys import HiddenKeys
from mma_bench.models.omni.remedies.branches import Branches, asked_group, repeated


@dataclass(frozen=True)
class Contrastive:
    """The remedy; its branches are the whole clip, and the clip without the asked sense.

    Attributes:
        text: The thinker's language model.
        strength: Weight of the contrast; at 0 the answers are those of the plain model.
        cut_off: Least probability of a token as a share of the largest, 0 to 1.
    """

    text: Any
    strength: float
    cut_off: float

    def branches(self, groups: torch.Tensor, question: str | None) -> Branches:
        """As `Remedy.branches`."""
        asked = groups == asked_group(question, "contrastive")
        if not asked.any():
            return Branches()
        hiding = partial(self._hiding, torch.stack([torch.zeros_like(asked), asked]))
        return Branches(
            head=question,
            clip=hiding,
            text=hiding,
            next_token=lambda logits: contrast(logits, self.strength, self.cut_off),
            scored=lambda logits: contrast(logits, self.strength, 0.0),
        )

    @contextmanager
    def _hiding(self, hidden: torch.Tensor) -> Iterator[None]:
        layers = len(self.text.layers)
        with repeated(self.text, len(hidden)), instead_of_attention(self.text, HiddenKeys(hidden, 1, layers)):
            yield


def contrast(logits: torch.Tensor, strength: float, cut_off: float) -> torch.Tensor:
    """Contrasted logits.

    Args:
        logits: float32 [2, …, vocabulary], with and without the asked sense.
        strength: At 0 the first row is returned as it is.
        cut_off: Tokens below this share of the largest probability of the first row get minus infinity.

    Returns:
        float32 [1, …, vocabulary].
    """
    whole, without = logits[:1], logits[1:]
    if strength == 0:
        return whole
    contrasted = (1 + strength) * whole - strength * without
    if cut_off == 0:
        return contrasted
    return contrasted.masked_fill(whole < whole.amax(dim=-1, keepdim=True) + math.log(cut_off), -torch.inf)
