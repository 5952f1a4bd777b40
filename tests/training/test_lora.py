"""What LoRA may touch, by name and by gradient."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import MmaBenchError
from mma_bench.training.config import PROJECTIONS, Projection
from mma_bench.training.lora import check_gradients, refuse_others, target_modules
from mma_bench.training.miniature.tokenizer import Family
from tests.mma_bench.models.omni.omni_plain import plain

ADAPTER = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.default.weight"


@settings(max_examples=20, deadline=None)
@given(st.sets(st.sampled_from(PROJECTIONS), min_size=1), st.sampled_from(["", "thinker."]))
def test_the_pattern_names_the_projections_of_the_text_model_alone(wanted: set[Projection], prefix: str) -> None:
    pattern = re.compile(target_modules(sorted(wanted)))
    names = [f"{prefix}{name}" for name, _ in plain("qwen2_5_omni").model.named_modules()]
    hit = [name for name in names if pattern.fullmatch(name)]
    assert len(hit) == 3 * len(wanted)
    assert {name.rsplit(".", 1)[1] for name in hit} == wanted
    assert all(".language_model.layers." in name for name in hit)


@pytest.mark.parametrize("family", ["qwen2_5_omni", "qwen3_omni"])
def test_towers_talker_and_experts_are_never_named(family: Family) -> None:
    pattern = re.compile(target_modules(PROJECTIONS))
    names = [name for name, _ in plain(family).model.named_modules()]
    assert any(pattern.fullmatch(name) for name in names)
    for name in [*names, "talker.model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj"]:
        if "language_model" not in name or "experts" in name:
            assert not pattern.fullmatch(name)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "no parameter is trainable"),
        ([ADAPTER, "base_model.model.model.visual.merger.ln_q.weight"], r"visual\.merger\.ln_q\.weight is trainable"),
        ([ADAPTER.replace("language_model", "audio_tower")], "audio_tower.* is trainable"),
        ([ADAPTER.replace(".lora_A.default", "")], "q_proj.weight is trainable"),
    ],
)
def test_anything_else_that_would_learn_is_named(names: list[str], said: str) -> None:
    with pytest.raises(MmaBenchError, match=said):
        refuse_others(names)
    refuse_others([ADAPTER])


def test_gradients_are_where_they_belong() -> None:
    def model(*with_gradient: str) -> Any:
        parameters = {}
        for name in (ADAPTER, "base_model.model.model.visual.patch_embed.weight"):
            parameters[name] = torch.nn.Parameter(torch.ones(1), requires_grad=name == ADAPTER)
            if name in with_gradient:
                parameters[name].grad = torch.ones(1)
        return SimpleNamespace(named_parameters=lambda: parameters.items())

    check_gradients(model(ADAPTER))
    with pytest.raises(MmaBenchError, match=r"visual\.patch_embed\.weight is trainable"):
        check_gradients(model(ADAPTER, "base_model.model.model.visual.patch_embed.weight"))
    with pytest.raises(MmaBenchError, match="no parameter is trainable"):
        check_gradients(model())
