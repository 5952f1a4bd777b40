"""Decoding ahead: whether the GPU waits for the CPU while clips are decoded on a background thread."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.gpu_parts.measure import Row, seconds, wait
from benchmarks.gpu_parts.models import Setting, make_engine, make_task, make_video
from mma_bench.evaluation.protocols import Protocol
from mma_bench.models.ahead import ahead


def measure(setting: Setting) -> Iterator[Row]:
    """The fewest and the most questions that a clip is usually asked."""
    engine, device = make_engine(setting), setting.device
    video = make_video(setting)
    clips = 2 if setting.small else 8
    short = (Protocol.FORCED_CHOICE,)
    for name, protocols in (("2 prompts a clip", short), ("6 prompts a clip", (*short, *list(Protocol)[1:3]))):
        task = make_task(setting, video, protocols)
        prepared: Any = engine.prepare(task)
        alone = seconds(lambda: engine.prepare(task), "cpu", limit=setting.seconds / 8)  # noqa: B023 (called at once)
        yield Row(f"{name}: preparing a clip", alone, "s", "decoding, processor, tokens; nothing beside it")
        engine.answer([prepared])
        waited, begin = 0.0, time.perf_counter()
        items = ahead(engine.prepare, [replace(task, id=str(index)) for index in range(clips)])
        for _ in range(clips):
            start = time.perf_counter()
            each = next(items)
            waited += time.perf_counter() - start
            engine.answer([each])
            wait(device)
        whole = time.perf_counter() - begin
        yield Row(f"{name}: a clip, decoding ahead", whole / clips, "s")
        yield Row(f"{name}: GPU waits for the CPU", 100 * waited / whole, "%", f"{clips} clips, the first included")
