"""A causal complement to attention: the effect on an answer when a modality's tokens cannot be attended to.

Attention knockout (Geva et al. 2023, arXiv 2304.14767, section 5.1): in a range of layers, attention from the tokens
after the clip (question and answer) to the tokens of one modality is blocked, and the log-probability of an answer is
compared with that of the unmodified model. The clip itself is prefilled once, unmodified, which keeps the measure
cheap; information exchanged between video and audio tokens during prefill therefore remains.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from mma_bench.models.omni.attention import instead_of_attention
from mma_bench.models.omni.hidden_keys import HiddenKeys
from mma_bench.models.omni.prefix import Prefix, Reader
from mma_bench.models.omni.token_groups import GROUPS, TEXT

MODALITIES = GROUPS[:TEXT]


@dataclass(frozen=True)
class Layers:
    """A range of layers, counted from 1, inclusive."""

    first: int
    last: int


@dataclass(frozen=True)
class Effect:
    """The log-probability (natural, whole answer, end of turn included) of one answer with a modality knocked out.

    Attributes:
        modality: `video` or `audio`.
        layers: Where attention was blocked.
        target: The name of the answer.
        intact: Log-probability without knockout.
        cut: Log-probability with knockout; the loss is `intact - cut`.
    """

    modality: str
    layers: Layers
    target: str
    intact: float
    cut: float


def layer_ranges(layers: int, ranges: int) -> list[Layers]:
    """All layers, followed by `ranges` consecutive, nearly equal ranges (fewer if there are fewer layers)."""
    parts = min(ranges, layers)
    ends = [layers * part // parts for part in range(parts + 1)]
    split = [Layers(begin + 1, end) for begin, end in pairwise(ends)]
    return [Layers(1, layers), *(part for part in split if parts > 1)]


@contextmanager
def cut_off(text_model: Any, groups: torch.Tensor, modality: str, layers: Layers) -> Iterator[None]:
    """Block attention to a modality's tokens in some layers for everything processed within the block.

    Args:
        text_model: A thinker's language model.
        groups: int8 [batch, tokens] of the tokens in the cache. Only these are hidden: media processed within the block
            would otherwise have tokens with nothing to attend to.
        modality: `video` or `audio`.
        layers: The layers to block.
    """
    with instead_of_attention(text_model, HiddenKeys(groups == MODALITIES.index(modality), layers.first, layers.last)):
        yield


def knock_out(
    reader: Reader,
    text_model: Any,
    head: Prefix,
    groups: torch.Tensor,
    ids: Sequence[int],
    targets: Mapping[str, Sequence[int]],
    ranges: Sequence[Layers],
) -> list[Effect]:
    """Knockout effects on some answers, for each modality of the clip and each range of layers.

    Args:
        reader: The model's reader.
        text_model: The model's language model.
        head: The prefilled clip.
        groups: int8 [1, tokens], the head's token groups.
        ids: Token ids of the prompt after the head.
        targets: Token ids of answers by name, the end token included.
        ranges: As from `layer_ranges`.

    Raises:
        RuntimeError: Out of memory.
    """

    def score() -> list[float]:
        return reader.score(reader.read(head, ids[:-1]), ids[-1], list(targets.values()))

    intact = score()
    effects = []
    for modality in (name for group, name in enumerate(MODALITIES) if bool((groups == group).any())):
        for layers in ranges:
            with cut_off(text_model, groups, modality, layers):
                cut = score()
            for name, whole, less in zip(targets, intact, cut, strict=True):
                effects.append(Effect(modality, layers, name, whole, less))
    return effects
