"""The log-likelihood of all options: time against one forward pass per option, and agreement with it in bf16."""

import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu_parts.measure import Row, attempt, seconds, wait
from benchmarks.gpu_parts.models import Setting, make_engine, make_video, on_device, score_prompt, use_attention
from mma_bench.models.contracts import ClipTask
from mma_bench.schema import MODALITIES


class Plain:
    """One forward pass of clip, prompt and option for each option."""

    def __init__(self, engine: Any, prepared: Any, device: str) -> None:
        self.thinker = engine._reader._thinker
        self.clip = on_device(dict(prepared.clip.tensors), device)
        self.head, self.device = self.clip.pop("input_ids"), device
        self.clip.pop("attention_mask")

    @torch.inference_mode()
    def score(self, prompt: Any) -> list[float]:
        """Log-likelihoods in the order of the options."""
        scores = []
        for option in prompt.options:
            ids = torch.tensor([[*prompt.ids, *option]], device=self.device)
            whole = torch.cat([self.head, ids], dim=1)
            hidden = self.thinker.model(
                **self.clip, input_ids=whole, attention_mask=torch.ones_like(whole), use_audio_in_video=True
            ).last_hidden_state
            steps = self.thinker.lm_head(hidden[0, -len(option) - 1 : -1]).float().log_softmax(-1)
            scores.append(float(steps.gather(1, ids[0, -len(option) :, None]).double().sum()))
        return scores


def measure(setting: Setting) -> Iterator[Row]:
    """Both questions about one clip; then the same with eager attention, to see what rounding alone does."""
    engine, device = make_engine(setting), setting.device
    asked = tuple(score_prompt(setting, question) for question in MODALITIES)
    prepared: Any = engine.prepare(ClipTask("clip", make_video(setting), "aligned", "", "", asked))
    count, questions = len(asked[0].options), len(asked)
    ours = [list((answer.logprobs or {}).values()) for answer in engine.answer([prepared])[0]]
    mine = seconds(lambda: engine.answer([prepared]), device, limit=setting.seconds / 8) / questions
    yield Row(f"evaluate: {count} options", mine, "s/question", "clip encoded and read, options as a tree")
    plain = Plain(engine, prepared, device)
    begin = time.perf_counter()
    theirs = [plain.score(prompt) for prompt in prepared.prompts]
    wait(device)
    other = (time.perf_counter() - begin) / questions
    yield Row(f"plain: {count} forward passes", other, "s/question")
    yield Row("plain / evaluate", other / mine, "×")
    yield from agreement("evaluate against plain", ours, theirs)

    def eager() -> Iterator[Row]:
        use_attention(plain.thinker, "eager")
        again = [plain.score(prompt) for prompt in prepared.prompts]
        yield from agreement("plain eager against plain sdpa", again, theirs)

    yield from attempt("plain eager against plain sdpa", eager)


def agreement(name: str, ones: list[list[float]], others: list[list[float]]) -> Iterator[Row]:
    """Differences of log-likelihoods, and how many questions get another most likely option."""
    apart = [abs(a - b) for one, other in zip(ones, others, strict=True) for a, b in zip(one, other, strict=True)]
    changed = sum(
        max(range(len(one)), key=one.__getitem__) != max(range(len(other)), key=other.__getitem__)
        for one, other in zip(ones, others, strict=True)
    )
    yield Row(f"{name}: largest difference", max(apart), "nats", "bf16, random weights")
    yield Row(f"{name}: mean difference", sum(apart) / len(apart), "nats")
    yield Row(f"{name}: answers changed", changed, f"of {len(ones)}")
