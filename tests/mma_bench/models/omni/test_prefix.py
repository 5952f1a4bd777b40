"""Reading once and continuing often: caches stay as they are, and a tree of options scores as the options alone."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import MmaBenchError
from mma_bench.models.contracts import Prompt
from mma_bench.models.omni.inputs import ClipInputs, PromptInputs
from mma_bench.models.omni.prefix import Prefix, Reader, _Tree
from mma_bench.training.miniature.tokenizer import Family
from tests.mma_bench.models.omni.omni_plain import TEXT, engine, plain, task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")
PROMPT = Prompt("visual", TEXT)
ASKED = task(PROMPT)


@cache
def read(family: Family) -> tuple[Prefix, int]:
    """The clip and the prompt but for its last token, and that token."""
    prepared = engine(family).prepare(ASKED)
    clip, prompt = prepared.clip, prepared.prompts[0]
    assert isinstance(clip, ClipInputs)
    assert isinstance(prompt, PromptInputs)
    reader = engine(family)._reader
    return reader.read(reader.read_clip(clip), prompt.ids[:-1]), prompt.ids[-1]


# Few tokens, so that options often begin alike or contain one another.
TOKENS = st.lists(st.sampled_from([70, 71, 72, 900]), min_size=1, max_size=4)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=6))
def test_a_tree_of_options_scores_as_one_plain_pass_per_option(family: Family, options: list[list[int]]) -> None:
    scores = engine(family)._reader.score(*read(family), options)
    inputs = plain(family).inputs(ASKED, PROMPT)
    assert scores == pytest.approx([plain(family).score_ids(inputs, option) for option in options], abs=1e-4)


@given(st.lists(TOKENS, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_tree_holds_each_beginning_once(options: list[list[int]]) -> None:
    tree = _Tree(5, options)
    beginnings = {tuple(option[:length]) for option in options for length in range(len(option))} | {()}
    assert len(tree.tokens) == len(beginnings)
    for (nodes, tokens), option in zip(tree.steps, options, strict=True):
        assert [tree.tokens[node] for node in nodes] == [5, *option[:-1]]
        assert [tree.depths[node] for node in nodes] == list(range(len(option)))
        assert tokens == option


@pytest.mark.parametrize("family", FAMILIES)
def test_use_leaves_what_was_read_as_it_was(family: Family) -> None:
    reader = engine(family)._reader
    prefix, last = read(family)
    keys = [layer.keys.clone() for layer in prefix.cache.layers]
    first = reader.generate(prefix, last, max_new_tokens=5)
    scores = reader.score(prefix, last, [[70, 71], [72]])
    reader.read(prefix, [70, 71, 72])
    assert reader.generate(prefix, last, max_new_tokens=5) == first
    assert reader.score(prefix, last, [[70, 71], [72]]) == scores
    assert all(torch.equal(layer.keys, key) for layer, key in zip(prefix.cache.layers, keys, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_end_token_ends_the_answer(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = engine(family)._reader
    free = reader.generate(*read(family), max_new_tokens=4)
    assert (len(free.ids), free.ended) == (4, False)
    monkeypatch.setattr(reader, "_end", [free.ids[0]])
    ended = reader.generate(*read(family), max_new_tokens=4)
    assert (ended.ids, ended.ended) == (free.ids[:1], True)


def test_a_repetition_penalty_of_the_checkpoint_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = engine()._reader
    free = reader.generate(*read("qwen2_5_omni"), max_new_tokens=12)
    monkeypatch.setattr(plain().model.generation_config, "repetition_penalty", 1.5)
    penalised = Reader(plain().model).generate(*read("qwen2_5_omni"), max_new_tokens=12)
    assert penalised != free
    wanted = plain().generate(ASKED, replace(PROMPT, max_new_tokens=12))
    assert engine()._inputs.text(penalised.ids) == wanted


def test_a_generation_config_that_asks_for_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain().model.generation_config, "no_repeat_ngram_size", 3)
    with pytest.raises(MmaBenchError, match="sets no_repeat_ngram_size"):
        Reader(plain().model)
