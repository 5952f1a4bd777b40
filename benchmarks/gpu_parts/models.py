"""Thinkers of the published shapes with random weights, made on the device, and what is asked of them."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import torch
import transformers

from benchmarks.evaluation import PROJECT, make_clip
from mma_bench import prompts
from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.evaluation.protocols import Protocol, Sampling, prompts_of
from mma_bench.models.contracts import ClipTask, Prompt
from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.schema import MODALITIES
from mma_bench.training.miniature.checkpoint import Sizes, make_config, make_processor
from mma_bench.training.miniature.tokenizer import FULL_VOCABULARY, Family

NAMES: Final[dict[Family, str]] = {"qwen2_5_omni": "Qwen2.5-Omni-7B", "qwen3_omni": "Qwen3-Omni-30B-A3B"}
_CLASSES: Final[dict[Family, str]] = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
# From the config.json of the published checkpoints; what is not here is the default of transformers' config classes.
_TOWER: Final = {"encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "d_model": 1280}
SHAPES: Final[dict[Family, dict[str, dict[str, Any]]]] = {
    "qwen2_5_omni": {
        "text_config": {
            **{"vocab_size": 152_064, "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28},
            **{"num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32_768},
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        "vision_config": {
            **{"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584},
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        "audio_config": {**_TOWER, "num_mel_bins": 128, "n_window": 100, "output_dim": 3584},
    },
    "qwen3_omni": {
        "text_config": {
            **{"vocab_size": 152_064, "hidden_size": 2048, "intermediate_size": 768, "num_hidden_layers": 48},
            **{"num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128},
            **{"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
            "max_position_embeddings": 65_536,
            "rope_parameters": {
                **{"rope_type": "default", "rope_theta": 1e6, "mrope_section": [24, 20, 20]},
                "mrope_interleaved": True,
            },
        },
        "vision_config": {
            **{"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "out_hidden_size": 2048},
            **{"num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24]},
        },
        "audio_config": {**_TOWER, "num_mel_bins": 128, "n_window": 50, "output_dim": 2048}
        | {"downsample_hidden_size": 480},
    },
}


@dataclass(frozen=True)
class Setting:
    """What a part measures.

    Attributes:
        family: Which architecture.
        small: A tiny thinker on the CPU instead of the published shape on the GPU.
        seconds: How long the part may take; it stops by itself a little earlier where it can.
    """

    family: Family
    small: bool
    seconds: float

    @property
    def device(self) -> str:
        """The device of the thinker."""
        return "cpu" if self.small else "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights: always bf16, which a CPU can do as well."""
        return torch.bfloat16

    @property
    def new_tokens(self) -> int:
        """Random weights never end an answer; so long is the name of a class."""
        return 2 if self.small else 8

    @property
    def options(self) -> int:
        """Number of classes that a question offers."""
        return 5 if self.small else 49


def make_thinker(setting: Setting) -> tuple[Any, Any]:
    """A thinker in eval mode, which never ends an answer, and its processor; no file is written."""
    sizes = Sizes() if setting.small else Sizes(vocabulary=FULL_VOCABULARY, mels=128, audio_s=300)
    processor = _processor(setting.family, sizes)
    config = true_config(setting.family, make_config(setting.family, sizes, processor.tokenizer), setting.small)
    torch.manual_seed(0)
    if setting.small:
        torch.set_num_threads(1)  # of tiny matrices more are slower, by far on a busy machine
    with torch.device(setting.device):
        made = getattr(transformers, _CLASSES[setting.family])._from_config(
            config, dtype=setting.dtype, attn_implementation="sdpa"
        )
    made.generation_config.eos_token_id = None
    made.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return made.eval(), processor


@cache
def _processor(family: Family, sizes: Sizes) -> Any:
    """Made once: the whole vocabulary takes seconds."""
    processor = make_processor(family, sizes)
    processor.video_processor.cap_pixels_per_frame = True
    return processor


def true_config(family: Family, config: Any, small: bool = False) -> Any:
    """The miniature's configuration with its token ids, in the published shape unless `small`."""
    if small:
        return config
    whole = config.to_dict()
    for part, shape in SHAPES[family].items():
        whole[part] = {**whole[part], "initializer_range": 0.02, **shape}
    whole["text_config"].pop("layer_types", None)  # one for each layer of the miniature
    return type(config)(**whole)


def make_engine(setting: Setting) -> OmniEngine:
    """The engine of `mma-bench evaluate` around a random thinker; frames as the paper's, 504 × 504."""
    size: dict[str, Any] = {"min_pixels": 56 * 56, "max_pixels": 112 * 112} if setting.small else {}
    name = NAMES[setting.family] + (" (tiny)" if setting.small else "")
    return OmniEngine(OmniSettings(checkpoint=name, **size), loaded=make_thinker(setting))


def make_video(setting: Setting) -> bytes:
    """10 s at 504 × 504 and 25 frames per second, or a small clip."""
    return make_clip(seconds=2, rate=10, size=56) if setting.small else make_clip()


def classes(setting: Setting) -> list[str]:
    """Classes of the benchmark."""
    decisions = read_decisions(PROJECT / "builders/curation/class_decisions.csv")
    return sorted({item.class_name for item in decisions if item.action == "keep"})[: setting.options]


def make_task(setting: Setting, video: bytes, protocols: tuple[Protocol, ...]) -> ClipTask:
    """A clip with the prompts of these protocols, answers cut off at `new_tokens`."""
    options = classes(setting)
    asking = {f"{question}_question": prompts.forced_choice(question, options) for question in MODALITIES}
    row = {"id": "clip", "condition": "aligned", "options": options, "context_seed": None, **asking}
    asked = tuple(
        replace(prompt, max_new_tokens=setting.new_tokens) for prompt in prompts_of(row, protocols, Sampling())
    )
    return ClipTask("clip", video, "aligned", options[0], options[0], asked)


def on_device(tensors: dict[str, Any], device: str) -> dict[str, Any]:
    """Model inputs on the device."""
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in tensors.items()}


def plain_inputs(engine: OmniEngine, prepared: Any, prompts_: list[int], device: str) -> dict[str, Any]:
    """Inputs of transformers' `generate` for some prompts of one clip, left-padded into one batch."""
    media = {name: tensor for name, tensor in prepared.clip.tensors.items() if name != "input_ids"}
    head = prepared.clip.tensors["input_ids"][0]
    rows = [torch.cat([head, torch.tensor(prepared.prompts[index].ids)]) for index in prompts_]
    length = max(map(len, rows))
    padding = int(engine._processor.tokenizer.pad_token_id)
    padded = {
        "input_ids": [torch.nn.functional.pad(row, (length - len(row), 0), value=padding) for row in rows],
        "attention_mask": [torch.nn.functional.pad(torch.ones_like(row), (length - len(row), 0)) for row in rows],
    }
    repeated = {name: torch.cat([tensor] * len(rows)) for name, tensor in media.items() if name != "attention_mask"}
    batch = {**repeated, **{name: torch.stack(each) for name, each in padded.items()}, "use_audio_in_video": True}
    return on_device(batch, device)


def score_prompt(setting: Setting, question: str) -> Prompt:
    """The log-likelihood question."""
    options = tuple(classes(setting))
    return Prompt(question, prompts.forced_choice(question, options), mode="score", options=options)  # type: ignore[arg-type]


def use_attention(thinker: Any, name: str) -> None:
    """Switch the attention; transformers only warns where it cannot.

    Raises:
        ImportError: Its package is missing.
        ValueError: The model does not have it.
    """
    thinker.set_attn_implementation(name)
    if (now := thinker.model.language_model.config._attn_implementation) != name:
        raise ValueError(f"the attention is still {now}, not {name}")
