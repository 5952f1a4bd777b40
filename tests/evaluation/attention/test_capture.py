"""What is captured equals what eager attention gives, whatever the heads, the window, the padding and the step."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import MmaBenchError
from mma_bench.evaluation.attention.capture import Captured, Recorder, capture, last_row, padded_groups
from mma_bench.models.omni.attention import instead_of_attention
from mma_bench.models.omni.token_groups import AUDIO, GROUPS, PADDING, TEXT, VIDEO, group_tokens, memberships
from mma_bench.training.miniature.tokenizer import Family
from tests.evaluation.attention.thinkers import WINDOW, batch, generate, thinker

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")
STEPS = 4


def groups_of(family: Family) -> torch.Tensor:
    inputs = batch(family)
    return padded_groups(group_tokens(inputs["input_ids"], thinker(family, "sdpa").config), inputs["attention_mask"])


def captured(family: Family, sliding: bool = False, attention: str = "sdpa") -> tuple[Captured, Any]:
    model = thinker(family, attention, sliding)
    with capture(model.model.language_model, groups_of(family), rows=True) as recorder:
        ids = generate(model, batch(family), STEPS)
    return recorder.captured(), ids


def by_eager(family: Family, sliding: bool = False) -> tuple[np.ndarray, list[list[np.ndarray]], Any]:
    """Masses [steps, layers, batch, heads, groups] from whole attention matrices, and their last rows."""
    model = thinker(family, "eager", sliding)
    out = generate(model, batch(family), STEPS, return_dict_in_generate=True, output_attentions=True)
    rows = [[layer[:, :, -1].float() for layer in step] for step in out.attentions]
    groups = groups_of(family)
    masses = []
    for number, step in enumerate(rows):
        whole = torch.nn.functional.pad(groups, (0, number), value=TEXT)  # the answer so far
        layers = []
        for row in step:
            own = whole[:, -row.shape[-1] :]
            layers.append(torch.stack([(row * (own == g)[:, None]).sum(-1) for g in range(len(GROUPS))], -1))
        masses.append(torch.stack(layers))
    return torch.stack(masses).numpy(), [[row.numpy() for row in step] for step in rows], out.sequences


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_masses_equal_those_of_eager_at_every_step_of_a_left_padded_generation(family: Family) -> None:
    assert (batch(family)["attention_mask"][0] == 0).any()
    assert thinker(family, "sdpa").config.get_text_config().num_key_value_heads == 2  # of 4 heads
    seen, ids = captured(family)
    masses, rows, other_ids = by_eager(family)
    assert torch.equal(ids, other_ids)
    assert seen.masses.shape == masses.shape == (STEPS, 3, 2, 4, 3)
    np.testing.assert_allclose(seen.masses, masses, atol=1e-5)
    np.testing.assert_allclose(seen.masses.sum(-1), 1, atol=1e-5)
    assert (masses[..., [VIDEO, AUDIO]] > 0).all()
    for step in range(STEPS):
        np.testing.assert_allclose(seen.rows[step], rows[step][-1].mean(1), atol=1e-5)
        real = torch.nn.functional.pad(batch(family)["attention_mask"], (0, step), value=1).numpy() == 1
        for layer in range(3):
            assert rows[step][layer][~np.broadcast_to(real[:, None], rows[step][layer].shape)].max() < 1e-6
            squares = np.square(rows[step][layer]).sum(-1)
            np.testing.assert_allclose(seen.squares[step, layer].sum(-1), squares, atol=1e-5)
            first = np.stack([row[:, np.argmax(own)] for row, own in zip(rows[step][layer], real, strict=True)])
            np.testing.assert_allclose(seen.first[step, layer], first, atol=1e-5)
        assert (seen.tokens[step].sum(-1) == real.sum(-1)).all()


def test_masses_equal_those_of_eager_in_sliding_windows() -> None:
    seen, ids = captured("qwen2_5_omni", sliding=True)
    masses, _, other_ids = by_eager("qwen2_5_omni", sliding=True)
    whole, _ = captured("qwen2_5_omni")
    assert torch.equal(ids, other_ids)
    assert groups_of("qwen2_5_omni").shape[1] > WINDOW
    np.testing.assert_allclose(seen.masses[:, -1].sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(seen.masses, masses, atol=1e-5)
    assert np.abs(seen.masses[:, 0] - whole.masses[:, 0]).max() > 1e-3
    assert (seen.tokens[:, 0].sum(-1) <= WINDOW).all()


def test_the_model_writes_what_it_writes_unobserved_and_is_left_as_it_was() -> None:
    model = thinker("qwen2_5_omni", "sdpa")
    _, ids = captured("qwen2_5_omni")
    assert torch.equal(ids, generate(model, batch("qwen2_5_omni"), STEPS))
    assert model.config.get_text_config()._attn_implementation == "sdpa"
    assert not model.model.language_model._forward_pre_hooks


def test_only_the_language_model_is_observed() -> None:
    model = thinker("qwen2_5_omni", "sdpa")
    with capture(model.model.language_model, groups_of("qwen2_5_omni")):
        configs = model.config
        assert configs.vision_config._attn_implementation == configs.audio_config._attn_implementation == "sdpa"
        assert configs.get_text_config()._attn_implementation != "sdpa"


def test_an_error_in_the_block_ends_the_observation() -> None:
    model = thinker("qwen2_5_omni", "eager")
    with pytest.raises(KeyError), capture(model.model.language_model, groups_of("qwen2_5_omni")):
        raise KeyError
    assert model.config.get_text_config()._attn_implementation == "eager"
    assert captured("qwen2_5_omni", attention="eager")[0].masses.shape[0] == STEPS


def test_two_observers_at_once_are_refused() -> None:
    text = thinker("qwen2_5_omni", "sdpa").model.language_model
    groups = groups_of("qwen2_5_omni")
    with capture(text, groups), pytest.raises(MmaBenchError, match="already being observed"), capture(text, groups):
        pass


def test_beams_static_caches_and_blocks_without_a_pass_are_refused() -> None:
    model, inputs, groups = thinker("qwen2_5_omni", "sdpa"), batch("qwen2_5_omni"), groups_of("qwen2_5_omni")
    text = model.model.language_model
    with capture(text, groups), pytest.raises(MmaBenchError, match="disable beam search"):
        generate(model, inputs, 2, num_beams=2)
    with capture(text, groups), pytest.raises(MmaBenchError, match="dynamic cache"):
        generate(model, inputs, 2, cache_implementation="static", disable_compile=True)
    with capture(text, groups) as recorder:
        pass
    with pytest.raises(MmaBenchError, match="no complete forward pass"):
        recorder.captured()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_last_row_is_that_of_the_whole_matrix(data: st.DataObject) -> None:
    count, few, share = (data.draw(st.integers(1, top)) for top in (3, 2, 3))
    queries, cached, channels = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 6)), 4
    keys = queries + cached
    window = data.draw(st.one_of(st.none(), st.integers(1, keys)))
    kind = data.draw(st.sampled_from(["bool", "additive"] + (["none"] if queries == 1 and window is None else [])))
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    query = torch.randn(count, few * share, queries, channels, generator=random)
    key = torch.randn(count, few, keys, channels, generator=random)
    pads = [data.draw(st.integers(0, keys - 1)) for _ in range(count)] if kind != "none" else [0] * count
    at, own = torch.arange(keys), torch.arange(queries)[:, None] + cached
    seen = (at <= own) & (at > own - (window or keys))
    seen = seen[None, None] & (at[None] >= torch.tensor(pads)[:, None])[:, None, None]
    seen[..., -1, -1] = True
    mask = {"bool": seen, "additive": torch.where(seen, 0.0, torch.finfo(torch.float32).min), "none": None}[kind]

    scores = query @ key.repeat_interleave(share, dim=1).transpose(-1, -2) * 0.5
    whole = torch.where(seen, scores, torch.finfo(torch.float32).min).softmax(-1)
    row = last_row(query, key, mask, 0.5)
    torch.testing.assert_close(row, whole[:, :, -1], atol=1e-6, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([PADDING, VIDEO, AUDIO, TEXT]), min_size=4, max_size=4), min_size=1, max_size=3)
)
def test_each_token_is_in_one_group_and_padding_in_none(groups: list[list[int]]) -> None:
    there = memberships(torch.tensor(groups, dtype=torch.int8))
    assert there[:, :3].sum(1).tolist() == [[float(g != PADDING) for g in row] for row in groups]
    for row, first in zip(groups, there[:, 3].tolist(), strict=True):
        real = [i for i, g in enumerate(row) if g != PADDING]
        assert [i for i, value in enumerate(first) if value] == real[:1]


def test_a_pass_that_is_cut_short_is_no_result() -> None:
    recorder = Recorder(torch.full((1, 3), TEXT, dtype=torch.int8))
    text = thinker("qwen2_5_omni", "sdpa").model.language_model
    with instead_of_attention(text, recorder), torch.inference_mode():
        text(input_ids=torch.tensor([[1, 2, 3]]))
        recorder.begin(4)
    with pytest.raises(MmaBenchError, match="no complete forward pass"):
        recorder.captured()
