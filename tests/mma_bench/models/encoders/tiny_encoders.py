"""Tiny random checkpoints of every supported architecture, with processors and tokenizers made here."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from mma_bench.models.encoders.prompts import read_prompts

WIDTH = 16
PICTURE = 32  # pixels
KINDS = ("siglip", "siglip2", "clip", "clap")


@cache
def words() -> list[str]:
    """All words of the prompts."""
    texts = [text for of_class in read_prompts(None).values() for prompts in of_class.values() for text in prompts]
    return sorted({word for text in texts for word in text.replace(".", " .").replace("-", " - ").split()})


def make(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint of the architecture `kind` to `folder`."""
    torch.manual_seed(seed)
    vocabulary = len(words()) + 4
    layers = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text: dict[str, Any] = {**layers, "vocab_size": vocabulary, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 3}
    vision = {**layers, "image_size": PICTURE, "patch_size": 8}
    model: Any
    extractor: Any
    if kind == "siglip":
        model = SiglipModel(SiglipConfig(text_config={**text, "projection_size": WIDTH}, vision_config=vision))
        extractor = SiglipImageProcessor(size={"height": PICTURE, "width": PICTURE})
    elif kind == "siglip2":
        vision = {**layers, "patch_size": 8, "num_patches": 16}
        model = Siglip2Model(Siglip2Config(text_config={**text, "projection_size": WIDTH}, vision_config=vision))
        extractor = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    elif kind == "clip":
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))
        extractor = CLIPImageProcessor(size={"shortest_edge": PICTURE}, crop_size={"height": PICTURE, "width": PICTURE})
    else:
        audio = {"hidden_size": 32, "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2]}
        audio |= {"num_mel_bins": 16, "window_size": 4, "patch_size": 2, "patch_stride": [2, 2], "freq_ratio": 4}
        audio |= {"spec_size": 64, "projection_dim": WIDTH}
        spoken = {**text, "max_position_embeddings": 80, "type_vocab_size": 1, "projection_dim": WIDTH}
        model = ClapModel(ClapConfig(text_config=spoken, audio_config=audio, projection_dim=WIDTH))
        extractor = ClapFeatureExtractor(feature_size=16, max_length_s=2, truncation="rand_trunc")
    with torch.no_grad():  # as in a trained model, so that scores differ
        for name, value in (("logit_scale", 3.0), ("logit_bias", -1.0), ("logit_scale_a", 3.0)):
            if hasattr(model, name):
                getattr(model, name).fill_(value)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    (letters() if kind == "siglip2" else tokenizer(masks=kind != "siglip")).save_pretrained(folder)
    return folder


def letters() -> Siglip2Tokenizer:
    """One token a letter: checkpoints of this architecture are always read with this class."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    found = sorted({letter for word in words() for letter in word})
    vocabulary = {token: at for at, token in enumerate([*special, "▁", *found])}
    return Siglip2Tokenizer(vocab=vocabulary, merges=[], model_input_names=["input_ids"])


def tokenizer(masks: bool) -> PreTrainedTokenizerFast:
    """One token a word, with a beginning and an end; SigLIP's tokenizers give no attention mask."""
    vocabulary = {word: at for at, word in enumerate(["<s>", "<pad>", "<unk>", "</s>", *words()])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 (no password)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 3)])
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    names = ["input_ids", "attention_mask"] if masks else ["input_ids"]
    return PreTrainedTokenizerFast(tokenizer_object=made, model_input_names=names, **special)
