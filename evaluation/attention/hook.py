"""Lets other code stand in for the attention of a language model, without touching the model's code or its towers.

transformers looks up a model's attention by name at every call (`AttentionInterface`); ours is set on the text
configuration alone, so that the encoders of sight and sound, which have configurations of their own, run as ever. Masks
are looked up by the same name: without an entry there, padding and sliding windows would be ignored in silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from mma_bench.errors import MmaBenchError

_NAME: Final = "mma_bench_attention"


class Attention(Protocol):
    """What stands in: `begin` opens each forward pass, then it is called once per layer, in their order.

    Arguments and result of a call are those of transformers' attention functions.

    Args:
        module: The layer's attention; `layer_idx` counts from 0.
        query: [batch, heads, queries, channels].
        key: [batch, key-value heads, keys, channels]; a sliding-window cache gives the last keys only.
        value: As `key`.
        mask: None (all that is causal), bool (True is visible) or additive; [batch, 1 or heads, queries, keys].
    """

    def begin(self, length: int) -> None:
        """A forward pass begins, after which the sequences have `length` tokens, padding and cache included."""
        ...

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]: ...


_standing_in: ContextVar[Attention | None] = ContextVar("standing_in", default=None)


def sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' own sdpa; no matrix of queries by keys is returned or kept."""
    output, _ = sdpa_attention_forward(module, query, key, value, mask, **kwargs)
    return output, None


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    return (_standing_in.get() or sdpa)(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)


@contextmanager
def instead_of_attention(text_model: Any, attention: Attention) -> Iterator[None]:
    """Within, the layers of `text_model` attend through `attention`; what was set before is set again at the end.

    Args:
        text_model: A thinker's language model.
        attention: What they attend through.

    Raises:
        MmaBenchError: Another one stands in already.
    """
    if _standing_in.get() is not None:
        raise MmaBenchError("two observers of one model's attention", hint="end the first before the second begins")
    config = text_model.config
    before = config._attn_implementation
    token = _standing_in.set(attention)
    config._attn_implementation = _NAME
    # A sliding-window layer sees the last keys only, so how long the sequence is must come from the cache.
    begins = text_model.register_forward_pre_hook(
        lambda _, arguments, named: attention.begin(_length(arguments, named)), with_kwargs=True
    )
    try:
        yield
    finally:
        begins.remove()
        config._attn_implementation = before
        _standing_in.reset(token)


def _length(arguments: tuple[Any, ...], named: dict[str, Any]) -> int:
    """Tokens in the cache and in the input of a language model's forward pass."""
    read = named.get("inputs_embeds")
    read = read if read is not None else named.get("input_ids", arguments[0] if arguments else None)
    cache = named.get("past_key_values")
    if read is None:
        raise MmaBenchError("a forward pass without inputs", hint="give the language model input_ids or embeddings")
    return int(read.shape[1]) + (int(cache.get_seq_length()) if cache is not None else 0)


def aligned(per_token: torch.Tensor, length: int, keys: int) -> torch.Tensor:
    """The part of [batch, …, ≥ length] that belongs to a layer's keys: the last `keys` of `length` tokens.

    Raises:
        MmaBenchError: There are more keys than tokens, as in a cache of fixed size.
    """
    if keys > length:
        raise MmaBenchError(
            f"the cache holds {keys} keys for {length} tokens",
            hint="generate with a cache that grows",
        )
    return per_token[..., length - keys : length]
