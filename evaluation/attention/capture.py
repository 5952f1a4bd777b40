"""Captures the attention of each forward pass's last query: only its row is recomputed, and reduced immediately.

The model runs sdpa as usual. For the last query of every layer, scores against all keys are recomputed (heads × keys,
never queries × keys) as in the eager implementation: products in the model's precision, softmax in float32. Only sums
over token groups are kept, a few floats per head.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mma_bench.errors import MmaBenchError
from mma_bench.models.omni.attention import aligned, instead_of_attention, sdpa
from mma_bench.models.omni.token_groups import GROUPS, PADDING, TEXT, memberships

Floats = npt.NDArray[np.float32]

_MORE = 64  # tokens; growth increment of the memberships, to avoid resizing at every step


@dataclass(frozen=True)
class Captured:
    """Attention of the last query, by forward pass.

    Attributes:
        masses: [steps, layers, batch, heads, 3]: the share on each group of `GROUPS`; sums to 1.
        squares: Same shape; the sum of the tokens' squared shares, which with `tokens` gives their variance.
        tokens: [steps, layers, batch, 3]: visible tokens of each group.
        first: [steps, layers, batch, heads]: the share on the sequence's first token, which is part of text.
        rows: For each step [batch, keys], the last layer's row, averaged over heads; empty unless requested.
    """

    masses: Floats
    squares: Floats
    tokens: npt.NDArray[np.int64]
    first: Floats
    rows: tuple[Floats, ...] = field(repr=False, default=())


def last_row(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float) -> torch.Tensor:
    """Attention weights of the last query.

    Args:
        query: [batch, heads, queries, channels].
        key: [batch, key-value heads, keys, channels]; grouped as in `repeat_kv`.
        mask: None, bool or additive, [batch, 1 or heads, queries, keys].
        scaling: Factor applied to the products.

    Returns:
        float32 [batch, heads, keys].
    """
    batch, heads, _, channels = query.shape
    few = key.shape[1]
    last = query[:, :, -1].reshape(batch, few, heads // few, channels) * scaling
    scores = (last @ key.transpose(-1, -2)).reshape(batch, heads, -1).float()
    if mask is not None:
        seen = mask[:, :, -1]
        scores = scores.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else scores + seen
    return scores.softmax(dim=-1)


class Recorder:
    """Replaces a language model's attention function and records the attention of the last queries.

    Args:
        groups: int8 [batch, tokens] of all tokens in the cache and in the prompt, padding as `PADDING`; the answer
            tokens that follow count as text.
        rows: Whether to keep the full rows of the last layer.
    """

    def __init__(self, groups: torch.Tensor, *, rows: bool = False) -> None:
        self._groups, self._length, self._wants_rows = groups, 0, rows
        self._members: dict[torch.device, torch.Tensor] = {}
        self._visible: dict[tuple[int, torch.device, int], torch.Tensor] = {}
        self._steps: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
        self._rows: list[torch.Tensor] = []

    def begin(self, length: int) -> None:
        """Start recording a forward pass."""
        self._length = length
        self._visible.clear()
        self._steps.append([])

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend, and record the last query's sums."""
        members = aligned(self._members_on(key.device), self._length, key.shape[2])
        if len(members) != len(query):
            raise MmaBenchError(f"{len(query)} sequences, but groups of {len(members)}", hint="disable beam search")
        row = last_row(query, key, mask, kwargs["scaling"])
        sums = torch.cat([row, row.square()], dim=1) @ members.transpose(1, 2)
        # Layers of the same type share one mask object, which lives as long as the forward pass.
        kind = key.shape[2], key.device, id(mask)
        if kind not in self._visible:
            self._visible[kind] = _visible(members[:, : len(GROUPS)], mask)
        self._steps[-1].append((sums, self._visible[kind]))
        if self._wants_rows and module.layer_idx == module.config.num_hidden_layers - 1:
            self._rows.append(row.mean(dim=1))
        return sdpa(module, query, key, value, mask, **kwargs)

    def _members_on(self, device: torch.device) -> torch.Tensor:
        if self._groups.shape[1] < self._length:
            short = self._length + _MORE - self._groups.shape[1]
            self._groups = torch.nn.functional.pad(self._groups, (0, short), value=TEXT)
            self._members.clear()
        if device not in self._members:
            self._members[device] = memberships(self._groups).to(device)
        return self._members[device]

    def captured(self) -> Captured:
        """Everything recorded so far.

        Raises:
            MmaBenchError: Nothing was recorded, or the last forward pass is incomplete.
        """
        if not self._steps or len({len(step) for step in self._steps}) != 1:
            raise MmaBenchError("no complete forward pass was recorded", hint="generate within the `capture` block")
        sums, tokens = (_on_host([[layer[part] for layer in step] for step in self._steps]) for part in range(2))
        masses, squares = sums.chunk(2, dim=3)
        return Captured(
            masses=masses[..., : len(GROUPS)].numpy(),
            squares=squares[..., : len(GROUPS)].numpy(),
            tokens=tokens.round().long().numpy(),
            first=masses[..., len(GROUPS)].numpy(),
            rows=tuple(row.cpu().numpy() for row in self._rows),
        )


def _on_host(steps: list[list[torch.Tensor]]) -> torch.Tensor:
    """[steps, layers, …] in one copy; the layers may be on several devices."""
    device = steps[0][0].device
    return torch.stack([torch.stack([layer.to(device) for layer in step]) for step in steps]).cpu()


def _visible(members: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Number of tokens in each group, [batch, 3], that the last query may attend to; the same for all heads."""
    if mask is None:
        return members.sum(dim=-1)
    seen = mask[:, 0, -1]
    seen = seen if seen.dtype == torch.bool else seen > torch.finfo(seen.dtype).min / 2
    return (members @ seen[..., None].float())[..., 0]


@contextmanager
def capture(text_model: Any, groups: torch.Tensor, *, rows: bool = False) -> Iterator[Recorder]:
    """Record all forward passes of a language model within the block; see `Recorder` for the arguments.

    Each forward pass is one step, so a prompt that is prefilled in chunks gives one step per chunk. With transformers'
    `generate`, the first step is the prompt's last token, which predicts the first token of the answer.
    """
    recorder = Recorder(groups, rows=rows)
    with instead_of_attention(text_model, recorder):
        yield recorder


def padded_groups(groups: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Groups of a padded batch: int8 [batch, tokens], `PADDING` where the mask [batch, tokens] is 0."""
    return groups.masked_fill(attention_mask.cpu() == 0, PADDING)
