"""Prefix caching: what prompts have in common is computed once and continued from its key-value cache.

Every prompt is computed in the same chunks (the clip's head, the prompt, its last token), one sequence at a time, so
that an answer does not depend on the other prompts, their number or their order. Options are scored as a token tree in
one pass: each token attends only to the prompt and its own ancestors.
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
from mma_bench.models.omni.remedies.branches import Combine, unchanged

_PIECE: Final = 2048  # tokens per chunk: keeps attention masks of a long context small

# Settings of a generation config that would change greedy answers.
_UNSUPPORTED: Final = (
    *("bad_words_ids", "begin_suppress_tokens", "exponential_decay_length_penalty", "forced_bos_token_id"),
    *("forced_eos_token_id", "guidance_scale", "min_length", "min_new_tokens", "no_repeat_ngram_size", "num_beams"),
    *("sequence_bias", "stop_strings", "suppress_tokens", "watermarking_config"),
)
_NEUTRAL: Final[tuple[object, ...]] = (None, 0, 1, [])


@dataclass(frozen=True)
class Prefix:
    """A prefilled token sequence.

    Attributes:
        ids: The tokens in the cache.
        cache: Their keys and values; never extended in place.
        shift: int or float scalar on the CPU: a text token's position minus its index, since media use their own
            position ids.
    """

    ids: tuple[int, ...]
    cache: DynamicCache = field(repr=False)
    shift: torch.Tensor

    def branch(self) -> DynamicCache:
        """A copy that can be extended independently: layers replace their tensors and never write to them in place."""
        branch = copy.copy(self.cache)
        branch.layers = [copy.copy(layer) for layer in self.cache.layers]
        return branch


@dataclass(frozen=True)
class Generated:
    """Generated tokens, and whether the last one is an end token."""

    ids: tuple[int, ...]
    ended: bool


class Reader:
    """Prefills, continues and scores token sequences.

    Args:
        thinker: Qwen2.5-Omni's or Qwen3-Omni's thinker for conditional generation, on its device, in eval mode. The end
            tokens and the repetition penalty of its generation config are applied.
        end: Additional end tokens.

    Raises:
        MmaBenchError: The generation config sets another option that would change answers.
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
        """Encode the media and prefill the head; without a clip there is none."""
        if not clip.tensors:
            return self.nothing()
        # On the CPU: it goes through the tokens one by one, and on a GPU waits for it at each step.
        audio_mask = clip.tensors.get("feature_attention_mask")
        positions, shift = self._thinker.get_rope_index(
            clip.tensors["input_ids"],
            video_grid_thw=clip.tensors["video_grid_thw"],
            attention_mask=clip.tensors["attention_mask"],
            use_audio_in_video=clip.hears,
            audio_seqlens=None if audio_mask is None else audio_mask.sum(dim=1),
            second_per_grids=clip.tensors["video_second_per_grid"],
        )
        tensors = {name: tensor.to(self._device, non_blocking=True) for name, tensor in clip.tensors.items()}
        cache = DynamicCache(config=self._text.config)
        self._thinker.model(
            **tensors,
            use_audio_in_video=clip.hears,
            position_ids=positions.to(self._device),
            past_key_values=cache,
            use_cache=True,
        )
        return Prefix(clip.ids, cache, shift.reshape(()))

    def nothing(self) -> Prefix:
        """An empty sequence, for text without media."""
        return Prefix((), DynamicCache(config=self._text.config), torch.zeros((), dtype=torch.long))

    def read(self, prefix: Prefix, ids: Sequence[int]) -> Prefix:
        """Continue with text, chunk by chunk, and in smaller chunks on out-of-memory.

        Raises:
            RuntimeError: Out of memory for a single token.
        """
        state = prefix

        def extend(piece: Sequence[int]) -> tuple[()]:
            nonlocal state
            cache = state.branch()
            self._forward(state, cache, self._ids(piece), torch.arange(len(piece), device=self._device), None)
            state = Prefix((*state.ids, *piece), cache, state.shift)
            return ()

        for begin in range(0, len(ids), _PIECE):
            in_halves(extend, ids[begin : begin + _PIECE])
        return state

    def _ids(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([list(ids)], device=self._device)

    @torch.inference_mode()
    def _forward(
        self, prefix: Prefix, cache: DynamicCache, ids: torch.Tensor, depths: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Hidden states [branches, n, hidden] of text tokens `ids` [1, n] at offsets `depths` [n] after the prefix.

        Extends `cache`.
        """
        hidden: torch.Tensor = self._text(
            input_ids=ids,
            position_ids=(depths + len(prefix.ids) + prefix.shift).expand(3, 1, -1),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return hidden

    @torch.inference_mode()
    def generate(
        self,
        prefix: Prefix,
        last: int,
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        combine: Combine = unchanged,
    ) -> Generated:
        """Generate the answer after `prefix` and the prompt's `last` token.

        At temperature 0 decoding is greedy and matches transformers' `generate`. Above 0, tokens are sampled from the
        full distribution, scaled by the temperature, with a separate CPU generator per call, so that every device draws
        the same samples.

        `combine` turns the logits [branches, vocabulary] of the branches that the sequence is computed in into those
        [1, vocabulary] that the token is chosen by; a repetition penalty is applied to each branch before.

        What the next token needs stays on the device; it is read once per token, to see whether the answer has ended.
        """
        draw = torch.Generator().manual_seed(seed)
        cache, new = prefix.branch(), [last]
        token, depths = self._ids([last]), torch.arange(max_new_tokens, device=self._device)
        seen = None if self._penalty is None else self._ids([*prefix.ids, last])
        while len(new) <= max_new_tokens:
            hidden = self._forward(prefix, cache, token, depths[len(new) - 1 : len(new)], None)
            logits = self._thinker.lm_head(hidden[:, -1]).float()
            if self._penalty is not None and seen is not None:
                logits = self._penalty(seen.expand(len(logits), -1), logits)
            logits = combine(logits)
            if temperature > 0:
                chances = (logits[0] / temperature).softmax(dim=-1).cpu()
                token = torch.multinomial(chances, 1, generator=draw)[None]
            else:
                token = logits.argmax(dim=-1, keepdim=True)
            token = token.to(self._device)
            if seen is not None:
                seen = torch.cat([seen, token], dim=1)
            new.append(int(token))
            if new[-1] in self._end:
                break
        return Generated(tuple(new[1:]), new[-1] in self._end)

    def score(
        self, prefix: Prefix, last: int, options: Sequence[Sequence[int]], *, combine: Combine = unchanged
    ) -> list[float]:
        """Log-likelihood of each option: the sum of its tokens' natural log-probabilities.

        On out-of-memory, the options are scored in halves.

        Args:
            prefix: The prefilled clip and prompt, without the prompt's last token.
            last: That token.
            options: Token ids of each option, including the end token if it is to be scored.
            combine: From logits [branches, tokens, vocabulary] to those [1, tokens, vocabulary] that options are scored
                by.

        Raises:
            RuntimeError: Out of memory for a single option.
        """
        return in_halves(lambda part: self._score(prefix, last, part, combine), options)

    @torch.inference_mode()
    def _score(self, prefix: Prefix, last: int, options: Sequence[Sequence[int]], combine: Combine) -> list[float]:
        tree = _Tree(last, options)
        mask = _tree_mask(tree.parents, len(prefix.ids), self._text.dtype, self._device)
        depths = torch.tensor(tree.depths, device=self._device)
        hidden = self._forward(prefix, prefix.branch(), self._ids(tree.tokens), depths, mask)
        logprobs = combine(self._thinker.lm_head(hidden).float())[0].log_softmax(dim=-1)
        nodes = [node for nodes, _ in tree.steps for node in nodes]
        tokens = [token for _, tokens in tree.steps for token in tokens]
        # One copy to the host for all options.
        steps = logprobs[torch.tensor([nodes, tokens], device=logprobs.device).unbind()].cpu().double()
        return [float(part.sum()) for part in torch.split(steps, [len(option) for option in options])]


class _Tree:
    """The options as a prefix tree.

    Attributes:
        tokens: Token of each node; node 0 is the prompt's last token.
        parents: Parent of each node; the root is its own parent.
        depths: Distance from the root.
        steps: For each option its nodes, and the next token after each.
    """

    def __init__(self, root: int, options: Sequence[Sequence[int]]) -> None:
        self.tokens, self.parents, self.depths = [root], [0], [0]
        self.steps: list[tuple[list[int], list[int]]] = []
        known: dict[tuple[int, int], int] = {}
        for option in options:
            nodes = [0]
            for token in option[:-1]:  # the last token has no successor
                parent = nodes[-1]
                if (parent, token) not in known:
                    known[parent, token] = len(self.tokens)
                    self.tokens.append(token)
                    self.parents.append(parent)
                    self.depths.append(self.depths[parent] + 1)
                nodes.append(known[parent, token])
            self.steps.append((nodes, list(option)))


def _tree_mask(parents: Sequence[int], prefix: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Additive mask [1, 1, n, prefix + n]: 0 for the prefix, the node and its ancestors, else the dtype's minimum."""
    own = torch.eye(len(parents), dtype=torch.bool)
    for node, parent in enumerate(parents):
        own[node] |= own[parent]
    mask = torch.zeros(len(parents), prefix + len(parents), dtype=dtype, device=device)
    mask[:, prefix:].masked_fill_(~own.to(device), torch.finfo(dtype).min)
    return mask[None, None]
