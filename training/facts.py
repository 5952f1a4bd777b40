"""The inputs of a run, and the metadata of a finished one: `run.json`, from which a model card is made."""

import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench import __version__
from mma_bench.training.clips import TrainClips
from mma_bench.training.config import TrainConfig
from mma_bench.training.lora import target_modules

_PACKAGES: Final = ("torch", "transformers", "peft", "accelerate", "datasets")


@dataclass(frozen=True)
class SftData:
    """The rows that a run trains on and validates with, sorted by example id, with metadata of their files."""

    train: pl.DataFrame
    validation: pl.DataFrame
    sha256: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """The inputs of a run, once they have been validated."""

    config: TrainConfig
    sft: SftData
    clips: TrainClips
    identity: dict[str, Any]
    dataset: str
    dataset_revision: str | None
    source: str
    precision: str
    accumulation: int  # batches per step on this process


def run_facts(run: Run, trainer: Any, out: Path) -> dict[str, Any]:
    """The metadata of a finished run; nothing in it is written by hand.

    Keys:
        `config_name`, `config`: as started, every setting.
        `base`: `checkpoint`, `revision` (commit, or `sha256:` over the files).
        `data`: `dataset` and its `revision` (null for a folder), `clips_sha256` (over ids and media hashes of all clips
        used), `examples_sha256`, `sft` (facts.json of the SFT data), `examples` (counts: `train`, `validation`),
        `skipped` (example id → why its clip could not be read).
        `lora`: `rank`, `alpha`, `dropout`, `target_modules` (the pattern), `modules` (count),
        `trainable_parameters`, `parameters` (of the whole model with its adapter).
        `hardware`: `device`, `processes`, `memory_bytes` (peak allocation on this process's GPU, else null).
        `precision`; `versions`: package → version, and `python`.
        `steps`, `epochs`, `seconds` (of training, over all sessions), `examples_per_step`.
        `best`: `step`, `accuracy` (mean over both questions).
        `validation`: a row for each validation: `step`, `epoch`, `loss`, `accuracy`, `visual`, `audio`,
        `<condition>_<question>`; exact-match rates in [0, 1].
        `final_loss`: of the last step. `curve`: name of the file with every step.
    """
    import torch

    from mma_bench.training.curve import read_curve

    config, state = run.config, trainer.state
    curve = read_curve(out / "log.jsonl")
    model = trainer.accelerator.unwrap_model(trainer.model)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    gpu = trainer.args.device.type == "cuda"
    return {
        "config_name": run.source,
        "config": config.model_dump(mode="json"),
        "base": {"checkpoint": config.checkpoint, "revision": run.identity["base_revision"]},
        "data": {
            "dataset": run.dataset,
            "revision": run.dataset_revision,
            "clips_sha256": run.identity["clips_sha256"],
            "examples_sha256": run.sft.sha256,
            "sft": run.sft.facts,
            "examples": {"train": run.sft.train.height, "validation": run.sft.validation.height},
            "skipped": trainer.skipped,
        },
        "lora": {
            "rank": config.rank,
            "alpha": config.scale,
            "dropout": config.dropout,
            "target_modules": target_modules(config.projections),
            "modules": len({name.partition(".lora_")[0] for name in trainable}),
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "hardware": {
            "device": torch.cuda.get_device_name() if gpu else f"CPU ({platform.machine()})",
            "processes": trainer.args.world_size,
            "memory_bytes": torch.cuda.max_memory_allocated() if gpu else None,
        },
        "precision": run.precision,
        "versions": {
            "mma-bench": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "steps": state.global_step,
        "epochs": round(state.epoch, 4),
        "seconds": curve[-1]["seconds"],
        "examples_per_step": config.batch * config.accumulation,
        "best": {"step": state.best_global_step, "accuracy": state.best_metric},
        "validation": [
            {name.removeprefix("eval_"): value for name, value in row.items() if name != "seconds"}
            for row in curve
            if "eval_accuracy" in row
        ],
        "final_loss": next(row["loss"] for row in reversed(curve) if "loss" in row),
        "curve": "log.jsonl",
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
