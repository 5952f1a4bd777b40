"""Observes one clip and question: the model's answer, its attention while answering, and the knockout effects."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from mma_bench.errors import ConfigError
from mma_bench.evaluation.attention.capture import Captured, capture
from mma_bench.evaluation.attention.knockout import Effect, Layers, knock_out
from mma_bench.models.contracts import Prompt
from mma_bench.models.omni.engine import OmniEngine
from mma_bench.models.omni.inputs import PromptInputs
from mma_bench.models.omni.prefix import Prefix
from mma_bench.models.omni.token_groups import GROUPS, TEXT, group_tokens


@dataclass(frozen=True)
class Observation:
    """The observation of one answer.

    Attributes:
        answer: The text.
        attention: Columns step, layer, head, group, mass, square, tokens and first_token of `schema.ATTENTION`.
        tokens: Columns step, written, token, text, group and weight of `schema.TOKENS`; no rows unless requested.
        effects: Knockout effects.
    """

    answer: str
    attention: pl.DataFrame = field(repr=False)
    tokens: pl.DataFrame = field(repr=False)
    effects: list[Effect] = field(repr=False)


class Observer:
    """Observes a thinker while it answers exactly as its engine would.

    Args:
        engine: An open engine, owned by the caller.

    Raises:
        ConfigError: The engine has a remedy, which replaces the attention that would be observed.
    """

    def __init__(self, engine: OmniEngine) -> None:
        if engine.remedy is not None:
            raise ConfigError(
                f"{engine.name} has the remedy {engine.remedy}, under which attention is not observed",
                hint="leave out `remedy`",
            )
        self._reader = engine._reader
        thinker: Any = self._reader._thinker
        self._config = thinker.config
        self._text = thinker.model.language_model
        self._decoder = copy.deepcopy(engine._processor.tokenizer)  # the engine's own may be in use on another thread
        text = self._text.config
        self.layers, self.heads = int(text.num_hidden_layers), int(text.num_attention_heads)
        self.facts = {
            "model_type": str(thinker.config.model_type),
            "parameters": sum(tensor.numel() for name, tensor in thinker.named_parameters() if "lora_" not in name),
            "layers": self.layers,
            "heads": self.heads,
        }
        self.most_tokens = int(text.max_position_embeddings)

    def read_clip(self, clip: Any) -> Prefix:
        """Encode and prefill a clip, once for all its questions."""
        return self._reader.read_clip(clip)

    def observe(
        self,
        head: Prefix,
        prompt: Prompt,
        inputs: PromptInputs,
        *,
        targets: dict[str, str],
        ranges: Sequence[Layers],
        rows: bool,
    ) -> Observation:
        """Observe one question.

        Args:
            head: The prefilled clip.
            prompt: The question.
            inputs: Its token ids.
            targets: The options, by name, that the knockout scores besides the model's own answer.
            ranges: Layer ranges of the knockout; empty skips it.
            rows: Whether to keep the last layer's weights by token.

        Raises:
            RuntimeError: Out of memory.
        """
        read = self._reader.read(head, inputs.ids[:-1])
        groups = group_tokens([[*head.ids, *inputs.ids]], self._config)
        with capture(self._text, groups, rows=rows) as recorder:
            written = self._reader.generate(
                read,
                inputs.ids[-1],
                max_new_tokens=prompt.max_new_tokens,
                temperature=prompt.temperature,
                seed=prompt.seed,
            )
        captured = recorder.captured()
        effects: list[Effect] = []
        if ranges:
            ids = dict(zip(prompt.options, inputs.options, strict=True))
            answers = {"answer": written.ids} | {name: ids[option] for name, option in targets.items()}
            effects = knock_out(self._reader, self._text, head, groups[:, : len(head.ids)], inputs.ids, answers, ranges)
        whole = [*head.ids, *inputs.ids, *written.ids]
        return Observation(
            answer=str(self._decoder.decode(list(written.ids), skip_special_tokens=True)),
            attention=attention_table(captured),
            tokens=self._token_table(captured, whole, len(head.ids) + len(inputs.ids)),
            effects=effects,
        )

    def _token_table(self, captured: Captured, ids: Sequence[int], prompt: int) -> pl.DataFrame:
        texts = self._decoder.batch_decode([[token] for token in ids])
        groups = [GROUPS[group] for group in group_tokens(ids, self._config).tolist()]
        tables = [
            pl.DataFrame(
                {
                    "step": pl.Series([step] * row.shape[1], dtype=pl.Int16),
                    "written": [texts[prompt + step - 1]] * row.shape[1],
                    "token": pl.Series(range(1, row.shape[1] + 1), dtype=pl.Int32),
                    "text": texts[: row.shape[1]],
                    "group": pl.Series(groups[: row.shape[1]], dtype=pl.Enum(GROUPS)),
                    "weight": row[0],
                }
            )
            for step, row in enumerate(captured.rows, start=1)
        ]
        return pl.concat(tables) if tables else pl.DataFrame()


def attention_table(captured: Captured, sequence: int = 0) -> pl.DataFrame:
    """One captured sequence as rows: step, layer, head, group, mass, square, tokens, first_token."""
    masses = captured.masses[:, :, sequence]
    steps, layers, heads, groups = masses.shape
    step, layer, head, group = (index.ravel() for index in np.indices(masses.shape))
    tokens = np.broadcast_to(captured.tokens[:, :, sequence, None], (steps, layers, heads, groups))
    first = np.zeros_like(masses)
    first[..., TEXT] = captured.first[:, :, sequence]
    return pl.DataFrame(
        {
            "step": (step + 1).astype(np.int16),
            "layer": (layer + 1).astype(np.int16),
            "head": (head + 1).astype(np.int16),
            "group": pl.Series(np.array(GROUPS)[group].tolist(), dtype=pl.Enum(GROUPS)),
            "mass": masses.ravel(),
            "square": captured.squares[:, :, sequence].ravel(),
            "tokens": tokens.astype(np.int32).ravel(),
            "first_token": first.ravel(),
        }
    )
