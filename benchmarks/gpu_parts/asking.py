"""Prompts per second: the engine, which reads what the prompts share once, and transformers' `generate`."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_parts.measure import Row, attempt, kernels, seconds
from benchmarks.gpu_parts.models import Setting, make_engine, make_task, make_video, plain_inputs, use_attention
from mma_bench.evaluation.protocols import Protocol


def measure(setting: Setting) -> Iterator[Row]:
    """Both sides get the decoded clip; decoding is measured in `decoding`."""
    engine = make_engine(setting)
    thinker, device = engine._reader._thinker, setting.device
    task = make_task(setting, make_video(setting), (Protocol.FORCED_CHOICE, Protocol.ABSTENTION))
    prepared: Any = engine.prepare(task)
    count = len(task.prompts)
    tokens = len(prepared.clip.ids) + len(prepared.prompts[0].ids)
    note = f"{count} prompts of one clip, each {setting.new_tokens} new tokens"
    yield Row("tokens of clip and prompt", tokens, "tokens")
    limit = setting.seconds / 8

    @torch.inference_mode()
    def plain(indices: list[int]) -> list[str]:
        inputs = plain_inputs(engine, prepared, indices, device)
        whole = thinker.generate(**inputs, max_new_tokens=setting.new_tokens, do_sample=False)
        return [engine._inputs.text(row) for row in whole[:, inputs["input_ids"].shape[1] :].tolist()]

    def rate(name: str, work: Any) -> Iterator[Row]:
        yield Row(name, count / seconds(work, device, limit=limit), "prompts/s", note)

    def ask() -> list[str | None]:
        return [answer.text for answer in engine.answer([prepared])[0]]

    yield from rate("evaluate (shared prefix)", ask)
    yield Row("evaluate: attention kernels", None, "", kernels(ask))
    yield from rate("plain generate, prompt by prompt", lambda: [plain([index]) for index in range(count)])
    yield from attempt(
        "plain generate, one batch",
        lambda: rate("plain generate, one batch", lambda: plain(list(range(count)))),
    )
    ours, theirs = ask(), [plain([index])[0] for index in range(count)]
    differ = sum(one != other for one, other in zip(ours, theirs, strict=True))
    yield Row("answers that differ from plain generate", differ, f"of {count}", "bf16, random weights")

    def without_flash() -> None:
        with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
            ask()

    yield from attempt("evaluate without flash kernels", lambda: rate("evaluate without flash kernels", without_flash))

    def flash_package() -> Iterator[Row]:
        use_attention(thinker, "flash_attention_2")
        yield from rate("plain generate, flash_attention_2", lambda: [plain([index]) for index in range(count)])

    yield from attempt("plain generate, flash_attention_2", flash_package)
