"""A language model whose attention is written by hand: what was planted comes out, with its sign, size and layer."""

import statistics
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import DynamicCache, Qwen2_5OmniThinkerTextModel
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniTextConfig

from mma_bench.evaluation.attention import summary
from mma_bench.evaluation.attention.capture import capture
from mma_bench.evaluation.attention.observe import attention_table
from mma_bench.models.omni.token_groups import AUDIO, TEXT, VIDEO

HIDDEN, LAYERS, PLANTED = 16, 3, 2
CLIPS = 12
# Channels of a token: it is sight; it is sound; it asks for sight; it asks for sound; the rest of its length.
SEES, HEARS, ASKS_SIGHT, ASKS_SOUND, REST = range(5)


def planted_model() -> Any:
    """Attends evenly, but for its second layer: there a token that asks for a modality turns to that modality."""
    config = Qwen2_5OmniTextConfig(
        vocab_size=8,
        hidden_size=HIDDEN,
        intermediate_size=8,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        # All channels but the first turn so slowly that positions do not matter.
        rope_parameters={"rope_type": "default", "rope_theta": 1e30, "mrope_section": [2, 1, 1]},
    )
    config._attn_implementation = "sdpa"
    model = Qwen2_5OmniThinkerTextModel(config).eval()
    with torch.no_grad():
        for number, layer in enumerate(model.layers, start=1):
            attention = layer.self_attn
            for module in (attention.q_proj, attention.k_proj, attention.o_proj, layer.mlp.down_proj):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
            if number == PLANTED:
                for channel, (asks, answers) in enumerate(((ASKS_SIGHT, SEES), (ASKS_SOUND, HEARS)), start=1):
                    attention.q_proj.weight[[channel, channel + 8], asks] = 8**0.5  # undoes the scaling
                    attention.k_proj.weight[channel, answers] = 1.0
    return model


def tokens(groups: list[int], asks: int | None = None, strength: float = 0.0) -> torch.Tensor:
    """[1, tokens, 16], each of length 4, so that norms leave them as they are; the last one asks."""
    made = torch.zeros(1, len(groups), HIDDEN)
    for place, group in enumerate(groups):
        if group in (VIDEO, AUDIO):
            made[0, place, SEES if group == VIDEO else HEARS] = 1.0
    if asks is not None:
        made[0, -1, asks] = strength
    made[..., REST] = (HIDDEN - made.square().sum(-1)).sqrt()
    return made


@pytest.fixture(scope="module")
def planted() -> tuple[pl.DataFrame, dict[str, list[float]]]:
    """The table of 12 clips and both questions, and the planted shares of sight by question."""
    model, rng = planted_model(), np.random.default_rng(0)
    shares: dict[str, list[float]] = {"visual": [], "audio": []}
    tables = []
    for clip in range(CLIPS):
        seen, heard = (int(n) for n in rng.integers(4, 9, 2))
        groups = [TEXT] * 3 + [VIDEO] * seen + [AUDIO] * heard + [TEXT] * 4
        for question, asks in (("visual", ASKS_SIGHT), ("audio", ASKS_SOUND)):
            strength = float(rng.uniform(0.2, 1.5))
            grown = float(np.exp(strength))
            shares[question].append(seen * grown / (seen * grown + heard) if asks == ASKS_SIGHT else
                                    seen / (seen + heard * grown))  # fmt: skip
            cache = DynamicCache(config=model.config)
            with capture(model, torch.tensor([groups], dtype=torch.int8)) as recorder, torch.inference_mode():
                model(inputs_embeds=tokens(groups, asks, strength), past_key_values=cache, use_cache=True)
                # A second step, as of an answer's token, which asks for the same.
                model(inputs_embeds=tokens([TEXT], asks, strength), past_key_values=cache, use_cache=True)
            table = attention_table(recorder.captured())
            named = {"state": "before", "clip": f"c{clip}", "base": f"c{clip}", "condition": "misaligned"}
            tables.append(
                table.with_columns(pl.lit(value).alias(name) for name, value in {**named, "question": question}.items())
            )
    return pl.concat(tables), shares


def test_masses_are_the_planted_ones(planted: tuple[pl.DataFrame, dict[str, list[float]]]) -> None:
    table, shares = planted
    got = summary.shares(table, "layer").filter(layer=PLANTED)
    for question in ("visual", "audio"):
        own = got.filter(question=question)
        by_clip = {f"c{clip}": share for clip, share in enumerate(shares[question])}
        assert dict(own.select("base", "share").iter_rows()) == pytest.approx(by_clip, abs=1e-5)
    assert set(table["step"]) == {1, 2}
    sums = table.group_by("clip", "question", "step", "layer", "head").agg(pl.col("mass").sum())
    assert sums["mass"].to_list() == pytest.approx([1.0] * sums.height, abs=1e-5)


def test_d_has_the_planted_sign_size_and_layer(planted: tuple[pl.DataFrame, dict[str, list[float]]]) -> None:
    table, shares = planted
    visual, audio = shares["visual"], shares["audio"]
    pooled = (statistics.variance(visual) + statistics.variance(audio)) / 2
    size = (statistics.mean(visual) - statistics.mean(audio)) / pooled**0.5
    assert size > 1
    rows = {(row["group"], row["layer"]): row for row in summary.separation_rows(table, "layer")}
    assert rows["video", PLANTED]["d"] == pytest.approx(size, rel=1e-4)
    assert rows["audio", PLANTED]["d"] == pytest.approx(-size, rel=1e-4)
    assert rows["video", PLANTED]["p_holm"] < 0.01
    assert rows["video", PLANTED]["low"] > 0
    for layer in {1, 2, 3} - {PLANTED}:
        assert abs(rows["video", layer]["d"]) < 1e-4
    assert {(row["group"], row["layer"]) for row in summary.peaks(list(rows.values()))} == {
        ("video", PLANTED),
        ("audio", PLANTED),
    }


def test_single_tokens_tell_the_same_and_need_not_mirror(planted: tuple[pl.DataFrame, dict[str, list[float]]]) -> None:
    rows = {(row["group"], row["layer"]): row["d"] for row in summary.token_rows(planted[0])}
    assert rows["video", PLANTED] > 0.5
    assert rows["audio", PLANTED] < -0.5
    assert rows["video", PLANTED] != pytest.approx(-rows["audio", PLANTED], rel=1e-3)
    assert abs(rows["video", 1]) < 1e-4


def test_the_share_of_text_is_over_all_layers_and_the_first_token_is_part_of_it(
    planted: tuple[pl.DataFrame, dict[str, list[float]]],
) -> None:
    table, _ = planted
    (row,) = summary.text_shares(table)
    assert row["mean"] == pytest.approx(table.filter(group="text")["mass"].mean(), abs=1e-4)
    assert 0 < row["first_token"] < row["mean"] / 5
    assert row["low"] < row["mean"] < row["high"]
