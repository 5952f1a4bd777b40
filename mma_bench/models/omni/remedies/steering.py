"""Attention steering: question and answer attend more to the asked sense.

`strength` is added to the attention logits of the asked sense's tokens, in all layers and heads, for the tokens that
follow the clip. Each row of attention still sums to 1: the odds of attending to the asked sense are multiplied by
exp(strength), so that a share m becomes m·exp(strength) / (1 − m + m·exp(strength)). The clip itself is read by the
plain model.

This is the multiplication of post-hoc attention steering (PASTA; Zhang et al. 2023, arXiv 2311.02262), which steers
towards parts of a text, in heads that are chosen by profiling a model on several tasks. Here it steers towards a sense,
and no heads are chosen, since that would be a kind of training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from mma_bench.models.omni.attention import aligned, instead_of_attention, sdpa
from mma_bench.models.omni.hidden_keys import causal
from mma_bench.models.omni.remedies.branches import Branches, asked_group


@dataclass(frozen=True)
class Steering:
    """The remedy; it has one branch.

    Attributes:
        text: The thinker's language model.
        strength: Added to attention logits; at 0 the answers are those of the plain model.
    """

    text: Any
    strength: float

    def branches(self, groups: torch.Tensor, question: str | None) -> Branches:
        """As `Remedy.branches`; the clip is read as by the plain model."""
        asked = groups == asked_group(question, "steering")
        return Branches(text=partial(self._steered, asked)) if asked.any() else Branches()

    @contextmanager
    def _steered(self, asked: torch.Tensor) -> Iterator[None]:
        with instead_of_attention(self.text, Biased(self.strength * asked[None].float())):
            yield


class Biased:
    """Replaces attention (`attention.instead_of_attention`): adds a bias to the logits of some keys.

    Args:
        bias: float32 [batch, tokens]; later tokens have none.
    """

    def __init__(self, bias: torch.Tensor) -> None:
        self._bias, self._length = bias, 0

    def begin(self, length: int) -> None:
        """Start a forward pass."""
        self._length = length
        if (short := length - self._bias.shape[1]) > 0:
            self._bias = torch.nn.functional.pad(self._bias, (0, short))

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend with the bias."""
        if mask is None:
            mask = causal(query.shape[2], key.shape[2], key.device)
        if mask.dtype == torch.bool:
            closed = torch.zeros(mask.shape, dtype=query.dtype, device=key.device)
            mask = closed.masked_fill(~mask, torch.finfo(query.dtype).min)
        bias = aligned(self._bias, self._length, key.shape[2]).to(mask)
        return sdpa(module, query, key, value, mask + bias[:, None, None], **kwargs)
