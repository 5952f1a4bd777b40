"""Token groups: video, audio, and text, which is everything else, including the system turn and special tokens.

Groups are int8 tensors with the shape of the token ids; `PADDING` belongs to no group.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch

GROUPS: Final = ("video", "audio", "text")
VIDEO, AUDIO, TEXT = range(len(GROUPS))
PADDING: Final = -1


def group_tokens(ids: Sequence[int] | Sequence[Sequence[int]] | torch.Tensor, config: Any) -> torch.Tensor:
    """The group of each token.

    Args:
        ids: Token ids, of any shape.
        config: The thinker's config; `video_token_id` and `audio_token_id` are read.

    Returns:
        int8, with the shape of `ids`.
    """
    tokens = torch.as_tensor(ids)
    groups = torch.full(tokens.shape, TEXT, dtype=torch.int8)
    groups[(tokens == config.video_token_id).cpu()] = VIDEO
    groups[(tokens == config.audio_token_id).cpu()] = AUDIO
    return groups


def memberships(groups: torch.Tensor) -> torch.Tensor:
    """Float32 [batch, 4, tokens] of int8 [batch, tokens]: 1 where a token is in the group.

    The fourth is each sequence's first token, which is also text: it often acts as an attention sink (Xiao et al. 2023,
    arXiv 2309.17453), which can account for much of the share of text.
    """
    there = groups != PADDING
    first = there & (there.cumsum(dim=1) == 1)
    return torch.stack([*(groups == group for group in range(len(GROUPS))), first], dim=1).float()
