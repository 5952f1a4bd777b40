"""Tiny thinkers, eager and not, and a left-padded batch of two clips for them."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import transformers

from mma_bench.training.miniature.tokenizer import Family
from tests.mma_bench.models.omni.omni_plain import FPS, SETTINGS, checkpoint, clip

NAMES = {
    "qwen2_5_omni": ("Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniProcessor"),
    "qwen3_omni": ("Qwen3OmniMoeThinkerForConditionalGeneration", "Qwen3OmniMoeProcessor"),
}
WINDOW = 40


@cache
def thinker(family: Family, attention: str, sliding: bool = False) -> Any:
    """A tiny thinker; `sliding` lets its layers but the last see the last 40 tokens only."""
    folder: Path = checkpoint(family)
    config = transformers.AutoConfig.from_pretrained(folder)
    if sliding:
        text = config.get_text_config()
        text.sliding_window = WINDOW
        text.layer_types = ["sliding_attention"] * (text.num_hidden_layers - 1) + ["full_attention"]
    made = getattr(transformers, NAMES[family][0]).from_pretrained(folder, config=config, attn_implementation=attention)
    made.generation_config.eos_token_id = None  # so that every sequence takes all steps
    return made.eval()


@cache
def batch(family: Family) -> dict[str, Any]:
    """Two clips with questions of different length; the shorter is padded on the left."""
    processor = getattr(transformers, NAMES[family][1]).from_pretrained(checkpoint(family))
    texts, videos, sounds = [], [], []
    for seed, question in ((0, "What?"), (1, "Which class best describes the audio content of this video?")):
        turns = [{"role": "user", "content": [{"type": "video", "video": ""}, {"type": "text", "text": question}]}]
        texts.append(processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        with av.open(io.BytesIO(clip(seed))) as file:
            videos.append(np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]))
        with av.open(io.BytesIO(clip(seed))) as file:
            sounds.append(np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)]))
    size = {"shortest_edge": SETTINGS["min_pixels"], "longest_edge": SETTINGS["max_pixels"]}
    made = processor(
        text=texts,
        videos=videos,
        video_metadata=[{"total_num_frames": len(frames), "fps": FPS} for frames in videos],
        videos_kwargs={"fps": 2.0, "do_sample_frames": True, "size": size},
        audio=sounds,
        audio_from_video_indices=[0, 1],
        load_audio_from_video=True,
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )
    return {**made, "use_audio_in_video": True}


def generate(model: Any, inputs: dict[str, Any], steps: int, **options: Any) -> Any:
    """Greedy generation of so many tokens."""
    with torch.inference_mode():
        return model.generate(**inputs, max_new_tokens=steps, min_new_tokens=steps, do_sample=False, **options)
