"""Fork-merge decoding: the first layers read picture and sound apart, the others together.

In the first `fork_layers` layers there are two branches: in one no token can attend to the sound's tokens, in the other
none to the picture's. Then they are merged: the picture's tokens are taken from the first branch, the sound's from the
second, and all others (question and answer) are the mean of the two. With 0 layers this is the plain model; with all
layers the two branches meet only in their last hidden states.

After Jung, Jang, Choi and Chung 2025 (arXiv 2505.20873). What differs: they mask the input of a branch, here attention
to its tokens is masked, which has no effect on the other tokens' positions; they weight the branches by attention,
here both count the same. Neither looks at which sense the question asks about.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from mma_bench.models.omni.attention import instead_of_attention
from mma_bench.models.omni.hidden_keys import HiddenKeys
from mma_bench.models.omni.remedies.branches import Branches, of_first, repeated
from mma_bench.models.omni.token_groups import AUDIO, TEXT, VIDEO


@dataclass(frozen=True)
class ForkMerge:
    """The remedy; after merging, both branches are the same.

    Attributes:
        text: The thinker's language model.
        layers: Number of forked layers, 0 to the model's number of layers.
    """

    text: Any
    layers: int

    def branches(self, groups: torch.Tensor, _question: str | None) -> Branches:
        """As `Remedy.branches`; one head serves both questions."""
        if not ((groups == VIDEO).any() and (groups == AUDIO).any()):
            return Branches()
        forked = partial(self._forked, groups)
        return Branches(head="fork_merge", clip=forked, text=forked, next_token=of_first, scored=of_first)

    @contextmanager
    def _forked(self, groups: torch.Tensor) -> Iterator[None]:
        hiding = HiddenKeys(torch.stack([groups == AUDIO, groups == VIDEO]), 1, self.layers)

        def merge_hidden(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden = arguments[0]
            there = groups[hiding.length - hidden.shape[1] : hiding.length]
            there = torch.nn.functional.pad(there, (0, hidden.shape[1] - len(there)), value=TEXT)
            return merged(hidden, there.to(hidden.device)), *arguments[1:]

        # The layer that follows, or the final norm.
        hook = [*self.text.layers, self.text.norm][self.layers].register_forward_pre_hook(merge_hidden)
        try:
            with repeated(self.text, 2), instead_of_attention(self.text, hiding):
                yield
        finally:
            hook.remove()


def merged(hidden: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Merged hidden states, the same in both rows.

    Args:
        hidden: [2, tokens, channels]: without the sound, without the picture.
        groups: int8 [tokens].

    Returns:
        [2, tokens, channels].
    """
    one = torch.where((groups == VIDEO)[:, None], hidden[0], hidden.mean(dim=0))
    return torch.where((groups == AUDIO)[:, None], hidden[1], one).expand_as(hidden)
