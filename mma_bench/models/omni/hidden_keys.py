"""Hides tokens from the attention of a language model, in a range of layers."""

from typing import Any

import torch

from mma_bench.models.omni.attention import aligned, sdpa


class HiddenKeys:
    """Replaces attention (`attention.instead_of_attention`): some keys are hidden from every query.

    What is visible to a query must not be empty: the sequence has to begin with a token that is not hidden.

    Args:
        hidden: bool [batch, tokens], True where a token is hidden; later tokens are visible.
        first: First layer, counted from 1.
        last: Last layer; none if it is below `first`.

    Attributes:
        length: Tokens of the sequence after the current forward pass.
    """

    def __init__(self, hidden: torch.Tensor, first: int, last: int) -> None:
        self._hidden, self._first, self._last = hidden, first, last
        self.length = 0
        self._masks: dict[tuple[int, torch.device, int], torch.Tensor] = {}

    def begin(self, length: int) -> None:
        """Start a forward pass."""
        self.length = length
        self._masks.clear()
        if (short := length - self._hidden.shape[1]) > 0:
            self._hidden = torch.nn.functional.pad(self._hidden, (0, short), value=False)

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend to the tokens that are not hidden."""
        if self._first <= module.layer_idx + 1 <= self._last:
            # Layers of the same type share one mask object, which lives as long as the forward pass.
            kind = key.shape[2], key.device, id(mask)
            if kind not in self._masks:
                hidden = aligned(self._hidden, self.length, key.shape[2]).to(key.device)
                self._masks[kind] = _without(hidden, query.shape[2], mask)
            mask = self._masks[kind]
        return sdpa(module, query, key, value, mask, **kwargs)


def _without(hidden: torch.Tensor, queries: int, mask: torch.Tensor | None) -> torch.Tensor:
    """The mask with further hidden keys, bool [batch, keys]."""
    if mask is None:
        mask = causal(queries, hidden.shape[1], hidden.device)
    if mask.dtype == torch.bool:
        return mask & ~hidden[:, None, None]
    return mask.masked_fill(hidden[:, None, None], torch.finfo(mask.dtype).min)


def causal(queries: int, keys: int, device: torch.device) -> torch.Tensor:
    """The mask that sdpa omits if nothing else is hidden: bool [1, 1, queries, keys], True is visible."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)[None, None]
