"""Makes a tiny random Qwen-Omni checkpoint with a real processor, which loads like any checkpoint on disk.

In: the family, a seed and sizes. Out: a folder with config, safetensors weights, tokenizer, chat template and feature
extractors, in the layout of a thinker saved alone or of the published checkpoints, whose weights are named `thinker.…`
and stored with those of the talker. It is untrained; it exists so that all code that loads, trains or evaluates the 7B
model can be tested in seconds with the same classes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from mma_bench.files import write_json
from mma_bench.training.miniature.tokenizer import ROLES, Family, make_tokenizer

Layout: TypeAlias = Literal["thinker", "full"]

# transformers' names of the model type, the thinker, its configuration and its processor.
_NAMES: Final[dict[Family, tuple[str, str, str, str]]] = {
    "qwen2_5_omni": (
        "qwen2_5_omni",
        "Qwen2_5OmniThinkerForConditionalGeneration",
        "Qwen2_5OmniThinkerConfig",
        "Qwen2_5OmniProcessor",
    ),
    "qwen3_omni": (
        "qwen3_omni_moe",
        "Qwen3OmniMoeThinkerForConditionalGeneration",
        "Qwen3OmniMoeThinkerConfig",
        "Qwen3OmniMoeProcessor",
    ),
}
_PATCH: Final[dict[Family, int]] = {"qwen2_5_omni": 14, "qwen3_omni": 16}

# The published templates, without numbering of several media. Qwen2.5-Omni starts with a default system turn.
_DEFAULT_SYSTEM: Final[dict[Family, str]] = {
    "qwen2_5_omni": (
        "{% if loop.first and message['role'] != 'system' %}"
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    ),
    "qwen3_omni": "",
}
_CHAT_TEMPLATE: Final = (
    "{% for message in messages %}$default_system<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}$vision_bos_token$image_token$vision_eos_token"
    "{% elif content['type'] == 'audio' %}$audio_bos_token$audio_token$audio_eos_token"
    "{% elif content['type'] == 'video' %}$vision_bos_token$video_token$vision_eos_token"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Sizes:
    """How large the checkpoint is; the defaults make about a million parameters.

    Attributes:
        hidden: Width of the language model and of both towers; a multiple of 4 × heads.
        layers: Layers of the language model; each tower has two.
        heads: Attention heads everywhere; the language model has half as many for keys and values.
        vocabulary: Text tokens, the first of Qwen's; at least 256. `FULL_VOCABULARY` gives all their published ids.
        mels: Bins of the log-mel spectrogram.
        audio_s: Seconds to which the feature extractor pads each sound (300 in the published checkpoints).
        std: Standard deviation of the random weights.
    """

    hidden: int = 64
    layers: int = 3
    heads: int = 4
    vocabulary: int = 4096
    mels: int = 32
    audio_s: int = 12
    std: float = 0.05


def make_checkpoint(
    folder: Path,
    *,
    family: Family = "qwen2_5_omni",
    layout: Layout = "thinker",
    seed: int = 0,
    sizes: Sizes | None = None,
) -> Path:
    """Write a random checkpoint; equal arguments give equal bytes.

    Args:
        folder: Created if it does not exist.
        family: Which architecture.
        layout: `thinker`: as the thinker's `save_pretrained` writes it. `full`: with the configuration of the whole
            model and weights named as published, one of the talker's among them.
        seed: For the weights.
        sizes: None uses the defaults.

    Returns:
        `folder`.

    Raises:
        FetchError: Qwen's vocabulary cannot be fetched.
    """
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    sizes = sizes or Sizes()
    model_type, thinker_class, _, _ = _NAMES[family]
    processor = make_processor(family, sizes)
    processor.save_pretrained(folder)
    tokenizer = processor.tokenizer
    config = make_config(family, sizes, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        thinker = getattr(transformers, thinker_class)(config)
    thinker.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    thinker.generation_config.pad_token_id = tokenizer.pad_token_id
    thinker.save_pretrained(folder)
    if layout == "full":
        weights = folder / "model.safetensors"
        tensors = {f"thinker.{name}": tensor for name, tensor in load_file(weights).items()}
        save_file(tensors | {"talker.model.norm.weight": torch.ones(1)}, weights, metadata={"format": "pt"})
        write_json(folder / "config.json", {"model_type": model_type, "thinker_config": config.to_dict()})
    return folder


def make_processor(family: Family, sizes: Sizes) -> Any:
    """The family's processor with the published patch sizes and special tokens."""
    import transformers

    patch: dict[str, Any] = {"patch_size": _PATCH[family], "temporal_patch_size": 2, "merge_size": 2}
    template = _CHAT_TEMPLATE.replace("$default_system", _DEFAULT_SYSTEM[family])
    for role, token in ROLES[family].items():
        template = template.replace(f"${role}", token)
    hearing: Any = transformers.WhisperFeatureExtractor
    return getattr(transformers, _NAMES[family][3])(
        image_processor=transformers.Qwen2VLImageProcessor(**patch),
        video_processor=transformers.Qwen2VLVideoProcessor(**patch, cap_pixels_per_frame=True),
        feature_extractor=hearing(feature_size=sizes.mels, chunk_length=sizes.audio_s, return_attention_mask=True),
        tokenizer=make_tokenizer(family, sizes.vocabulary),
        chat_template=template,
    )


def make_config(family: Family, sizes: Sizes, tokenizer: Any) -> Any:
    """The thinker's configuration: as published except for the sizes and the tokenizer's ids."""
    import transformers

    def id_of(role: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(ROLES[family][role]))

    pairs = sizes.hidden // sizes.heads // 2  # of one head's channels, divided among time, height and width
    space = pairs // 3
    hidden, wide = sizes.hidden, 2 * sizes.hidden
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": max(1, sizes.heads // 2),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [pairs - 2 * space, space, space],
        },
        "initializer_range": sizes.std,
    }
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_heads": sizes.heads,
        "out_hidden_size": hidden,
        "initializer_range": sizes.std,
    }
    audio: dict[str, Any] = {
        "num_mel_bins": sizes.mels,
        "encoder_layers": 2,
        "encoder_attention_heads": sizes.heads,
        "encoder_ffn_dim": wide,
        "d_model": hidden,
        "output_dim": hidden,
        "initializer_range": sizes.std,
    }
    media = ("audio", "image", "video")
    thinker: dict[str, Any] = {
        "audio_start_token_id": id_of("audio_bos_token"),
        "audio_end_token_id": id_of("audio_eos_token"),
        "vision_start_token_id": id_of("vision_bos_token"),
        "vision_end_token_id": id_of("vision_eos_token"),
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": sizes.std,
    }
    if family == "qwen2_5_omni":
        vision |= {"fullatt_block_indexes": [1]}
        thinker |= {f"{kind}_token_index": id_of(f"{kind}_token") for kind in media}
    else:
        text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": hidden}
        text["rope_parameters"] |= {"mrope_interleaved": True}
        vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 64}
        audio |= {"downsample_hidden_size": 8}
        thinker |= {f"{kind}_token_id": id_of(f"{kind}_token") for kind in media}
        thinker |= {"position_id_per_seconds": 13}  # one for each audio token
    config_class = getattr(transformers, _NAMES[family][2])
    return config_class(audio_config=audio, vision_config=vision, text_config=text, **thinker)


if __name__ == "__main__":
    make_checkpoint(Path(sys.argv[1]))
