"""Answers from a shared prefix: what prompts have in common is computed once and continued from its key-value cache.

Every prompt is computed in the same pieces whatever else is asked about the clip (the clip's head, the prompt, its last
token), one sequence at a time, so that an answer does not depend on the other prompts, their number or their order.
Options are scored as a tree in one pass: each token attends to the prompt and to its own beginnings only.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from transformers import DynamicCache, RepetitionPenaltyLogitsProcessor

from mma_bench.errors import MmaBenchError
from mma_bench.models.omni.inputs import ClipInputs
from mma_bench.models.omni.memory import in_halves

_PIECE: Final = 2048  # tokens read at once: attention masks of a long context stay small

# Settings of a generation config that would change greedy answers.
_UNSUPPORTED: Final = (
    *("bad_words_ids", "begin_suppress_tokens", "exponential_decay_length_penalty", "forced_bos_token_id"),
    *("forced_eos_token_id", "guidance_scale", "min_length", "min_new_tokens", "no_repeat_ngram_size", "num_beams"),
    *("sequence_bias", "stop_strings", "suppress_tokens", "watermarking_config"),
)
_NEUTRAL: Final[tuple[object, ...]] = (None, 0, 1, [])


@dataclass(frozen=True)
class Prefix:
    """Tokens that the model has read.

    Attributes:
        ids: The tokens in the cache.
        cache: Their keys and values; never extended in place.
        shift: int or float scalar: a text token's position less its index, since media have positions of their own.
    """

    ids: tuple[int, ...]
    cache: DynamicCache = field(repr=False)
    shift: torch.Tensor

    def branch(self) -> DynamicCache:
        """A cache that can be extended while this one stays: layers replace their tensors and never write to them."""
        branch = copy.copy(self.cache)
        branch.layers = [copy.copy(layer) for layer in self.cache.layers]
        return branch


@dataclass(frozen=True)
class Generated:
    """Tokens that the model wrote, and whether the last of them is an end token."""

    ids: tuple[int, ...]
    ended: bool


class Reader:
    """Reads, continues and scores token sequences.

    Args:
        thinker: Qwen2.5-Omni's or Qwen3-Omni's thinker for conditional generation, on its device, in eval mode. Of its
            generation config the end tokens and the repetition penalty are applied.
        end: Further tokens that end an answer.

    Raises:
        MmaBenchError: The generation config asks for something else that would change answers.
    """

    def __init__(self, thinker: Any, *, end: Sequence[int] = ()) -> None:
        config = thinker.generation_config
        if unsupported := [name for name in _UNSUPPORTED if getattr(config, name, None) not in _NEUTRAL]:
            raise MmaBenchError(
                f"the checkpoint's generation_config.json sets {unsupported[0]}, which this engine does not support",
                hint=f"remove {', '.join(unsupported)} from a copy of the checkpoint, or serve it with vLLM",
            )
        own = config.eos_token_id
        self._end = frozenset(end) | frozenset(own if isinstance(own, list) else [] if own is None else [own])
        strength: Any = getattr(config, "repetition_penalty", None)
        self._penalty = None if strength in _NEUTRAL else RepetitionPenaltyLogitsProcessor(strength)
        self._thinker = thinker
        self._text = thinker.model.language_model
        self._device: torch.device = thinker.get_input_embeddings().weight.device

    @torch.inference_mode()
    def read_clip(self, clip: ClipInputs) -> Prefix:
        """Encode the media and read the head."""
        tensors = {name: tensor.to(self._device) for name, tensor in clip.tensors.items()}
        audio_mask = tensors.get("feature_attention_mask")
        positions, shift = self._thinker.get_rope_index(
            tensors["input_ids"],
            video_grid_thw=tensors["video_grid_thw"],
            attention_mask=tensors["attention_mask"],
            use_audio_in_video=clip.hears,
            audio_seqlens=None if audio_mask is None else audio_mask.sum(dim=1),
            second_per_grids=tensors["video_second_per_grid"],
        )
        cache = DynamicCache(config=self._text.config)
        self._thinker.model(
            **tensors, use_audio_in_video=clip.hears, position_ids=positions, past_key_values=cache, use_cache=True
        )
        return Prefix(clip.ids, cache, shift.reshape(()))

    def read(self, prefix: Prefix, ids: Sequence[int]) -> Prefix:
        """Continue with text, piece by piece, and in smaller pieces if memory does not suffice.

        Raises:
            RuntimeError: Memory does not suffice for a single token.
        """
        state = prefix

        def extend(piece: Sequence[int]) -> tuple[()]:
            nonlocal state
            cache = state.branch()
            self._forward(state, cache, piece, range(len(piece)), None)
            state = Prefix((*state.ids, *piece), cache, state.shift)
            return ()

        for begin in range(0, len(ids), _PIECE):
            in_halves(extend, ids[begin : begin + _PIECE])
        return state

    @torch.inference_mode()
    def _forward(
        self,
        prefix: Prefix,
        cache: DynamicCache,
        ids: Sequence[int],
        depths: Sequence[int],
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Hidden states [1, n, hidden] of text tokens that stand `depths` after the prefix; extends `cache`."""
        places = torch.tensor(list(depths), device=self._device) + len(prefix.ids) + prefix.shift
        hidden: torch.Tensor = self._text(
            input_ids=torch.tensor([list(ids)], device=self._device),
            position_ids=places.expand(3, 1, -1),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return hidden

    @torch.inference_mode()
    def generate(
        self, prefix: Prefix, last: int, *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Generated:
        """Write the answer that follows `prefix` and the prompt's `last` token.

        At temperature 0 the likeliest token is taken each time, which gives what `generate` of transformers gives;
        above, tokens are drawn from the whole distribution, sharpened by the temperature, with a generator of this
        call's own on the CPU, so that every device draws alike.
        """
        draw = torch.Generator().manual_seed(seed)
        cache, new = prefix.branch(), [last]
        while len(new) <= max_new_tokens:
            hidden = self._forward(prefix, cache, new[-1:], [len(new) - 1], None)
            logits = self._thinker.lm_head(hidden[:, -1]).float()
            if self._penalty is not None:
                logits = self._penalty(torch.tensor([[*prefix.ids, *new]], device=self._device), logits)
            if temperature > 0:
                chances = (logits[0] / temperature).softmax(dim=-1).cpu()
                new.append(int(torch.multinomial(chances, 1, generator=draw)))
            else:
                new.append(int(logits[0].argmax()))
            if new[-1] in self._end:
                break
        return Generated(tuple(new[1:]), new[-1] in self._end)

    def score(self, prefix: Prefix, last: int, options: Sequence[Sequence[int]]) -> list[float]:
        """Log-likelihood of each option: the sum over its tokens of the natural logarithm of their probability.

        Options that memory does not suffice for together are scored in halves.

        Args:
            prefix: The clip and the prompt, without its last token.
            last: That token.
            options: Token ids of each, the end token included if it counts.

        Raises:
            RuntimeError: Memory does not suffice for a single option.
        """
        return in_halves(lambda part: self._score(prefix, last, part), options)

    @torch.inference_mode()
    def _score(self, prefix: Prefix, last: int, options: Sequence[Sequence[int]]) -> list[float]:
        tree = _Tree(last, options)
        mask = _tree_mask(tree.parents, len(prefix.ids), self._text.dtype).to(self._device)
        hidden = self._forward(prefix, prefix.branch(), tree.tokens, tree.depths, mask)
        logprobs = self._thinker.lm_head(hidden)[0].float().log_softmax(dim=-1)
        return [float(logprobs[nodes, tokens].double().sum()) for nodes, tokens in tree.steps]


class _Tree:
    """The beginnings that options share, each once.

    Attributes:
        tokens: Token of each node; node 0 is the prompt's last token.
        parents: Node that each follows; the root's is itself.
        depths: Distance from the root.
        steps: For each option its nodes, and the token that must come after each.
    """

    def __init__(self, root: int, options: Sequence[Sequence[int]]) -> None:
        self.tokens, self.parents, self.depths = [root], [0], [0]
        self.steps: list[tuple[list[int], list[int]]] = []
        known: dict[tuple[int, int], int] = {}
        for option in options:
            nodes = [0]
            for token in option[:-1]:  # nothing follows the last one
                parent = nodes[-1]
                if (parent, token) not in known:
                    known[parent, token] = len(self.tokens)
                    self.tokens.append(token)
                    self.parents.append(parent)
                    self.depths.append(self.depths[parent] + 1)
                nodes.append(known[parent, token])
            self.steps.append((nodes, list(option)))


def _tree_mask(parents: Sequence[int], prefix: int, dtype: torch.dtype) -> torch.Tensor:
    """Additive mask [1, 1, n, prefix + n]: 0 for the prefix, the node and its ancestors, else the least number."""
    own = torch.eye(len(parents), dtype=torch.bool)
    for node, parent in enumerate(parents):
        own[node] |= own[parent]
    visible = torch.cat([torch.ones(len(parents), prefix, dtype=torch.bool), own], dim=1)
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)[None, None]
