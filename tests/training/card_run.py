"""What `train` writes of a run, made up: `run.json` for the tests of the adapter's card."""

from pathlib import Path
from typing import Any

BASE = "sha256:" + "b" * 64
CLASSES = ("Bird", "Cat", "Rain")  # of those in tests.evaluation.runs


def facts(base: Path) -> dict[str, Any]:
    """As `train` writes them."""
    return {
        "config_name": "/home/someone/secret/mine.yaml",
        "config": {
            "rank": 8,
            "conditions": ["aligned", "misaligned"],
            "seed": 3,
            "max_pixels": None,
            "system": "a | b",
        },
        "base": {"checkpoint": str(base), "revision": BASE},
        "data": {
            "dataset": "/home/someone/secret/mma-bench",
            "revision": None,
            "clips_sha256": "c" * 64,
            "examples_sha256": "e" * 64,
            "sft": {"dataset": {"sha256": {"aligned": "1" * 64}}, "classes": list(CLASSES)},
            "examples": {"train": 1234, "validation": 56},
            "skipped": {},
        },
        "lora": {
            "rank": 8,
            "alpha": 16.0,
            "dropout": 0.0,
            "target_modules": r"layers\.(q|v)_proj",
            "modules": 21,
            "trainable_parameters": 4321,
            "parameters": 987654,
        },
        "hardware": {"device": "CPU (x86_64)", "processes": 1, "memory_bytes": None},
        "precision": "fp32",
        "versions": {"python": "3.11.2", "peft": "0.21.2"},
        "steps": 6,
        "epochs": 1.5,
        "seconds": 125.0,
        "examples_per_step": 16,
        "best": {"step": 4, "accuracy": 0.75},
        "validation": [
            {"step": step, "epoch": step / 4, "loss": 1 / step, "accuracy": value, "visual": value, "audio": value}
            | {"aligned_visual": value, "misaligned_audio": value}
            for step, value in ((2, 0.5), (4, 0.75), (6, 0.625))
        ],
        "final_loss": 0.2,
        "curve": "log.jsonl",
        "finished": "2026-01-02T03:04:05Z",
    }
