"""A LoRA step of the paper's setting: 4 × 4 examples of 504 × 504 and 10 s, with `mma-bench train`'s own parts."""

import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from benchmarks.gpu_parts.measure import Row, attempt, memory, wait
from benchmarks.gpu_parts.models import Setting, classes, make_thinker, make_video
from mma_bench import prompts
from mma_bench.models.contracts import ClipTask
from mma_bench.models.omni.engine import pixel_bounds
from mma_bench.models.omni.inputs import InputMaker
from mma_bench.training.collate import Collate
from mma_bench.training.config import TrainConfig
from mma_bench.training.examples import ExampleSet, HeadCache
from mma_bench.training.lora import apply_lora
from mma_bench.training.train import _arguments
from mma_bench.training.trainer import AnswerTrainer

STEPS = 2  # the first warms up


class Watch(TrainerCallback):
    """Times optimiser steps, and in them the towers, which are frozen and could be cached."""

    def __init__(self, device: str, towers: list[Any]) -> None:
        self.device, self.steps, self.towers, self._begin = device, [0.0], [0.0], 0.0
        for tower in towers:
            tower.register_forward_pre_hook(lambda *_: self._start())
            tower.register_forward_hook(lambda *_: self._stop())
        self._tower = 0.0

    def _start(self) -> None:
        wait(self.device)
        self._tower = time.perf_counter()

    def _stop(self) -> None:
        wait(self.device)
        self.towers[-1] += time.perf_counter() - self._tower

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        wait(self.device)
        self.towers.append(0.0)
        self._begin = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        wait(self.device)
        self.steps.append(time.perf_counter() - self._begin)


def measure(setting: Setting) -> Iterator[Row]:
    """With and without gradient checkpointing; without it also one example at a time, should four not fit."""
    yield Row("cached towers", None, "", "the trainer has no such cache; see the share of the towers")
    size = 4
    for batch, checkpointing in ((size, True), (size, False), (1, False)):
        name = f"LoRA step, {batch} × {size * size // batch}, {'' if checkpointing else 'no '}gradient checkpointing"
        yield from attempt(name, lambda b=batch, c=checkpointing, n=name: step(setting, n, b, size * size // b, c))  # type: ignore[misc]
        gc.collect()
        if setting.device == "cuda":
            torch.cuda.empty_cache()


def step(setting: Setting, name: str, batch: int, accumulation: int, checkpointing: bool) -> Iterator[Row]:
    """Rows of one setting."""
    device = setting.device
    thinker, processor = make_thinker(setting)
    pixels = 112 * 112 if setting.small else 254_016
    config = TrainConfig(
        checkpoint="random",
        batch=batch,
        accumulation=accumulation,
        epochs=None,
        max_steps=STEPS,
        gradient_checkpointing=checkpointing,
        device="cpu" if setting.small else "auto",
        max_pixels=pixels,
    )
    model = apply_lora(thinker, config, revision="random")
    maker = InputMaker(processor, system=None, size=pixel_bounds(56 * 56, pixels, processor.videos_kwargs["size"]))
    options = classes(setting)
    rows = [
        {"example_id": str(index), "id": "clip", "prompt": prompts.forced_choice("audio", options), "answer": answer}
        for index, answer in enumerate((options * 16)[: STEPS * batch * accumulation])
    ]
    clip = ClipTask("clip", make_video(setting), "aligned", "", "", ())
    examples = ExampleSet(
        rows,
        SimpleNamespace(task=lambda _: clip),
        maker,
        processor.video_processor,
        thinker.get_rope_index,
        fps=config.fps,
        max_frames=None,
        cache=HeadCache(2**31),
    )
    precision = "bf16" if device == "cuda" else "fp32"
    run: Any = SimpleNamespace(config=config, accumulation=accumulation, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(run, Path(folder), len(rows))
        arguments.eval_strategy, arguments.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
        tail = examples.longest_answer + 1
        watch = Watch(device, [thinker.model.visual, thinker.model.audio_tower])
        trainer = AnswerTrainer(
            model=model,
            args=arguments,
            data_collator=Collate(tail, int(processor.tokenizer.pad_token_id)),
            train_dataset=examples,
            tail=tail,
            keep_last=1,
            unreadable="stop",
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
    tokens = len(examples[0].ids) * batch * accumulation
    last, towers = watch.steps[-1], watch.towers[-1]
    yield Row(name, last, "s/step", f"{tokens} tokens in {batch * accumulation} examples")
    yield Row(f"{name}: throughput", tokens / last, "tokens/s")
    yield Row(f"{name}: share of the frozen towers", 100 * towers / last, "%")
    grown = torch.cuda.max_memory_allocated() if device == "cuda" else None
    yield from memory(f"{name}: peak memory", grown, "weights included")
