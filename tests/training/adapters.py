"""Adapters for the tiny checkpoints, sound and tampered with."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mma_bench.models.omni.load import load_thinker, locate
from mma_bench.training.config import TrainConfig
from mma_bench.training.lora import apply_lora
from mma_bench.training.miniature.tokenizer import Family
from tests.mma_bench.models.omni.omni_plain import checkpoint


def save(folder: Path, family: Family = "qwen2_5_omni", scale: float = 0.3, **settings: Any) -> Path:
    """An adapter as training makes it, with weights of some size."""
    base = locate(str(checkpoint(family)), None, "config.json")
    thinker, _ = load_thinker(base, dtype="float32", device_map="cpu", attention="sdpa")
    model = apply_lora(thinker, TrainConfig(checkpoint=str(checkpoint(family)), **settings), revision=base.revision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=scale)
    model.save_pretrained(folder)
    return folder


def rename(folder: Path, change: Any) -> Path:
    """Change the names of an adapter's weights, or drop those that become None."""
    path = folder / "adapter_model.safetensors"
    renamed = {change(name): tensor for name, tensor in load_file(path).items()}
    save_file({name: tensor for name, tensor in renamed.items() if name}, path, metadata={"format": "pt"})
    return folder
