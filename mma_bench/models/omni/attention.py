"""Replaces the attention function of a language model without modifying the model's code or its encoders.

transformers looks up a model's attention by name at every call (`AttentionInterface`); ours is set on the text config
only, so the vision and audio encoders, which have their own configs, are unaffected. Masks are looked up by the same
name: without an entry, padding and sliding windows would be silently ignored.
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
    """A replacement: `begin` opens each forward pass, then it is called once per layer, in order.

    Arguments and return value are those of transformers' attention functions.

    Args:
        module: The layer's attention; `layer_idx` counts from 0.
        query: [batch, heads, queries, channels].
        key: [batch, key-value heads, keys, channels]; a sliding-window cache holds the last keys only.
        value: As `key`.
        mask: None (causal), bool (True is visible) or additive; [batch, 1 or heads, queries, keys].
    """

    def begin(self, length: int) -> None:
        """Start a forward pass, after which the sequences have `length` tokens, padding and cache included."""
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


_replacement: ContextVar[Attention | None] = ContextVar("attention_replacement", default=None)


def sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' own sdpa; does not materialise the queries × keys matrix."""
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
    return (_replacement.get() or sdpa)(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)


@contextmanager
def instead_of_attention(text_model: Any, attention: Attention) -> Iterator[None]:
    """Make the layers of `text_model` attend through `attention`; the previous setting is restored on exit.

    Args:
        text_model: A thinker's language model.
        attention: The replacement.

    Raises:
        MmaBenchError: The attention is already replaced.
    """
    if _replacement.get() is not None:
        raise MmaBenchError(
            "the model's attention is already being observed", hint="exit the first context before entering the second"
        )
    config = text_model.config
    before = config._attn_implementation
    token = _replacement.set(attention)
    config._attn_implementation = _NAME
    # A sliding-window layer sees the last keys only, so the sequence length must come from the cache.
    begins = text_model.register_forward_pre_hook(
        lambda _, arguments, named: attention.begin(_length(arguments, named)), with_kwargs=True
    )
    try:
        yield
    finally:
        begins.remove()
        config._attn_implementation = before
        _replacement.reset(token)


def _length(arguments: tuple[Any, ...], named: dict[str, Any]) -> int:
    """Number of tokens in the cache and the input of a language model's forward pass."""
    read = named.get("inputs_embeds")
    read = read if read is not None else named.get("input_ids", arguments[0] if arguments else None)
    cache = named.get("past_key_values")
    if read is None:
        raise MmaBenchError("forward pass without inputs", hint="pass input_ids or inputs_embeds to the language model")
    return int(read.shape[1]) + (int(cache.get_seq_length()) if cache is not None else 0)


def aligned(per_token: torch.Tensor, length: int, keys: int) -> torch.Tensor:
    """The slice of [batch, …, ≥ length] for a layer's keys: the last `keys` of `length` tokens.

    Raises:
        MmaBenchError: There are more keys than tokens, as in a static cache.
    """
    if keys > length:
        raise MmaBenchError(
            f"the cache holds {keys} keys for {length} tokens",
            hint="generate with a dynamic cache",
        )
    return per_token[..., length - keys : length]
