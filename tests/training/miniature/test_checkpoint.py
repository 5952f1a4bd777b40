"""The maker of tiny checkpoints: equal bytes, real classes, Qwen's own tokens."""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.files import file_sha256
from mma_bench.training.miniature.checkpoint import Layout, Sizes, make_checkpoint
from mma_bench.training.miniature.tokenizer import FULL_VOCABULARY, SPECIAL, Family, make_tokenizer

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir())}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", ["thinker", "full"])
def test_it_loads_like_any_checkpoint(family: Family, layout: Layout, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, family=family, layout=layout)
    thinker_class: Any = {
        "qwen2_5_omni": transformers.Qwen2_5OmniThinkerForConditionalGeneration,
        "qwen3_omni": transformers.Qwen3OmniMoeThinkerForConditionalGeneration,
    }[family]
    model, info = thinker_class.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert sum(parameter.numel() for parameter in model.parameters()) < 2_000_000
    processor: Any = transformers.AutoProcessor.from_pretrained(folder)
    processors = {"qwen2_5_omni": "Qwen2_5OmniProcessor", "qwen3_omni": "Qwen3OmniMoeProcessor"}
    assert type(processor).__name__ == processors[family]
    for role in ("audio", "video", "image"):
        assert getattr(model.config, f"{role}_token_id") == getattr(processor, f"{role}_token_id")
    ids = processor.tokenizer("Which class?", return_tensors="pt")["input_ids"]
    loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_arguments_give_equal_bytes_and_leave_torchs_generator_alone(family: Family, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    first, second = (hashes(make_checkpoint(tmp_path / name, family=family)) for name in "ab")
    other = hashes(make_checkpoint(tmp_path / "c", family=family, seed=1))
    assert first == second
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sizes_are_kept(tmp_path: Path) -> None:
    sizes = Sizes(hidden=32, layers=2, heads=2, vocabulary=300, mels=16, audio_s=2)
    folder = make_checkpoint(tmp_path, sizes=sizes)
    config = transformers.Qwen2_5OmniThinkerConfig.from_pretrained(folder)
    assert (config.text_config.hidden_size, config.text_config.num_hidden_layers) == (32, 2)
    assert config.audio_config.num_mel_bins == 16
    assert transformers.WhisperFeatureExtractor.from_pretrained(folder).n_samples == 32_000


@cache
def tokenizer(family: Family, vocabulary: int) -> Any:
    return make_tokenizer(family, vocabulary)


@pytest.mark.slow
def test_the_whole_vocabulary_has_the_published_ids() -> None:
    whole = tokenizer("qwen2_5_omni", FULL_VOCABULARY)
    published = {"<|im_end|>": 151645, "<|AUDIO|>": 151646, "<|audio_bos|>": 151647, "<|audio_eos|>": 151648}
    published |= {"<|vision_bos|>": 151652, "<|vision_eos|>": 151653, "<|IMAGE|>": 151655, "<|VIDEO|>": 151656}
    assert {name: whole.convert_tokens_to_ids(name) for name in published} == published
    assert whole("Hello, world!")["input_ids"] == [9707, 11, 1879, 0]
    later = {"<|audio_start|>": 151669, "<|audio_end|>": 151670, "<|audio_pad|>": 151675, "<|video_pad|>": 151656}
    assert {name: FULL_VOCABULARY + SPECIAL["qwen3_omni"].index(name) for name in later} == later


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_a_part_of_the_vocabulary_loses_no_text(text: str) -> None:
    small, whole = tokenizer("qwen2_5_omni", 300), tokenizer("qwen2_5_omni", FULL_VOCABULARY)
    text = unicodedata.normalize("NFC", text)  # as Qwen's tokenizer does
    ids = small(text)["input_ids"]
    assert small.decode(ids) == text
    assert len(ids) >= len(whole(text)["input_ids"])


@pytest.mark.parametrize("vocabulary", [255, FULL_VOCABULARY + 1])
def test_an_impossible_vocabulary_is_refused(vocabulary: int) -> None:
    with pytest.raises(ValueError, match="vocabulary must be between 256 and 151643"):
        make_tokenizer("qwen2_5_omni", vocabulary)
