"""What `attend` costs at the true number of tokens: time and memory over the plain run, and eager attention."""

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu_parts.measure import Row, attempt, memory, peak_bytes, seconds
from benchmarks.gpu_parts.models import Setting, make_engine, make_task, make_video, plain_inputs, use_attention
from mma_bench.evaluation.attention.knockout import layer_ranges
from mma_bench.evaluation.attention.observe import Observer
from mma_bench.evaluation.protocols import Protocol


def measure(setting: Setting) -> Iterator[Row]:
    """One question about one clip that is read already."""
    engine, device = make_engine(setting), setting.device
    task = make_task(setting, make_video(setting), (Protocol.FORCED_CHOICE,))
    prepared: Any = engine.prepare(task)
    observer, reader = Observer(engine), engine._reader
    prompt, inputs = task.prompts[0], prepared.prompts[0]
    head = observer.read_clip(prepared.clip)
    limit = setting.seconds / 8
    yield Row("tokens of clip and prompt", len(head.ids) + len(inputs.ids), "tokens")

    def plain() -> Any:
        read = reader.read(head, inputs.ids[:-1])
        return reader.generate(read, inputs.ids[-1], max_new_tokens=prompt.max_new_tokens)

    def observed(ranges: Any = ()) -> Any:
        return observer.observe(head, prompt, inputs, targets={}, ranges=ranges, rows=False)

    def knockout() -> Any:
        return observed(layer_ranges(observer.layers, 4))

    base = seconds(plain, device, limit=limit)
    yield Row("plain", base, "s/question")
    for name, work in (("observed", observed), ("observed, with knockout in 5 ranges", knockout)):
        spent = seconds(work, device, limit=limit)
        yield Row(name, spent, "s/question", f"{spent / base:.2f} × plain")
    for name, work in (("plain", plain), ("observed", observed), ("observed, with knockout in 5 ranges", knockout)):
        yield from memory(f"{name}: peak memory", peak_bytes(work, device), "over the weights and the clip's cache")

    @torch.inference_mode()
    def eager() -> Any:
        batch = plain_inputs(engine, prepared, [0], device)
        keep = {"output_attentions": True, "return_dict_in_generate": True}
        return engine._reader._thinker.generate(**batch, max_new_tokens=setting.new_tokens, do_sample=False, **keep)

    def rival() -> Iterator[Row]:
        use_attention(engine._reader._thinker, "eager")
        yield Row("eager, all matrices kept", seconds(eager, device, rounds=1), "s/question", "with reading the clip")
        yield from memory("eager, all matrices kept: peak memory", peak_bytes(eager, device))

    yield from attempt("eager, all matrices kept", rival)
