"""Branches: several variants of one sequence, computed as the rows of one batch."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch

from mma_bench.errors import InvalidInput
from mma_bench.models.omni.token_groups import AUDIO, VIDEO

Combine: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

_GROUP_OF: Final[dict[str, int]] = {"visual": VIDEO, "audio": AUDIO}


def unchanged(logits: torch.Tensor) -> torch.Tensor:
    """The logits [1, …] of the only branch."""
    return logits


def of_first(logits: torch.Tensor) -> torch.Tensor:
    """The logits [1, …] of the first branch, of [branches, …]."""
    return logits[:1]


@dataclass(frozen=True)
class Branches:
    """How one question about one clip is computed; the defaults are the plain model.

    Attributes:
        head: Questions of a clip with an equal `head` share the prefilled clip.
        clip: In this context the clip is prefilled.
        text: In this context the question is read and answered.
        next_token: Logits [1, vocabulary] that the next token is chosen by, of those of the branches
            [branches, vocabulary].
        scored: Logits [1, tokens, vocabulary] whose softmax scores options, of [branches, tokens, vocabulary].
    """

    head: Hashable = None
    clip: Callable[[], AbstractContextManager[None]] = nullcontext
    text: Callable[[], AbstractContextManager[None]] = nullcontext
    next_token: Combine = unchanged
    scored: Combine = unchanged


def asked_group(question: str | None, remedy: str) -> int:
    """The token group of the asked sense.

    Raises:
        InvalidInput: `no_asked_sense`.
    """
    group = None if question is None else _GROUP_OF.get(question)  # it may be about the text, or about both senses
    if group is None:
        raise InvalidInput(
            "no_asked_sense",
            f"the remedy {remedy} needs a question about the picture or the sound; ask this one without a remedy",
        )
    return group


@contextmanager
def repeated(text_model: Any, rows: int) -> Iterator[None]:
    """Give each sequence that the language model gets within the block as a batch of `rows` equal ones.

    Args:
        text_model: A thinker's language model; called with keyword arguments and one sequence, whose cache, if it is
            not empty, has `rows` sequences.
        rows: The size of the batch.
    """

    def repeat(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        more = {}
        for name in ("input_ids", "inputs_embeds", "attention_mask"):
            if named.get(name) is not None:
                more[name] = named[name].expand(rows, *named[name].shape[1:])
        positions = named["position_ids"]  # time, height and width, then the batch
        return arguments, {**named, **more, "position_ids": positions.expand(-1, rows, -1)}

    hook = text_model.register_forward_pre_hook(repeat, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
