"""What observing attention costs: memory against eager attention, and time against the same generation unobserved.

    python benchmarks/attention.py

A tiny thinker writes 8 tokens after 4,096 tokens, by transformers' own `generate`: plainly, observed, and with eager
attention that keeps its matrices. Peak memory is that of a process of its own for each (resident memory, less what it
had before generating). Time is processor time in one process that takes turns, so that other work on the machine
disturbs little; it is also given for the answer alone, where there is no prompt to hide behind.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers

from mma_bench.evaluation.attention.capture import capture
from mma_bench.models.omni.token_groups import AUDIO, TEXT, VIDEO
from mma_bench.training.miniature.checkpoint import Sizes, make_checkpoint

TOKENS, NEW = 4096, 8
ROUNDS = 9
MEMORY, TIME = 0.05, 1.3  # promised at most: part of what eager adds, and ratio
MODES = ("plain", "observed", "eager")


def load(folder: Path, attention: str) -> Any:
    """The thinker; it never ends an answer."""
    thinker: Any = transformers.Qwen2_5OmniThinkerForConditionalGeneration
    model = thinker.from_pretrained(folder, attn_implementation=attention).eval()
    model.generation_config.eos_token_id = None
    return model


def prompt(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random text tokens, and groups as if most of them were media."""
    ids = torch.randint(0, 4000, (1, tokens), generator=torch.Generator().manual_seed(0))
    groups = torch.full((1, tokens), TEXT, dtype=torch.int8)
    groups[0, 20 : tokens // 2] = VIDEO
    groups[0, tokens // 2 : tokens - 200] = AUDIO
    return ids, groups


@torch.inference_mode()
def write(model: Any, ids: torch.Tensor, **options: Any) -> Any:
    """Greedy generation of NEW tokens."""
    mask = torch.ones_like(ids)
    return model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, **options)


def observe(model: Any, groups: torch.Tensor, observed: bool) -> AbstractContextManager[Any]:
    """The block that a generation runs in."""
    return capture(model.model.language_model, groups) if observed else nullcontext()


def grown(folder: Path, mode: str) -> None:
    """Print by how many bytes the process grew at most while it generated."""
    torch.set_num_threads(1)
    model = load(folder, "eager" if mode == "eager" else "sdpa")
    keep = {"output_attentions": True, "return_dict_in_generate": True} if mode == "eager" else {}
    short, groups = prompt(64)
    with observe(model, groups, mode == "observed"):
        write(model, short, **keep)  # what is loaded once is not a part of it
    ids, groups = prompt(TOKENS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with observe(model, groups, mode == "observed") as recorder:
        result = write(model, ids, **keep)
    if mode == "observed" and recorder.captured().masses.shape[0] != NEW:
        raise SystemExit("not every step was observed")
    if mode == "eager" and len(result.attentions) != NEW:
        raise SystemExit("eager attention was not kept")
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def memory(folder: Path) -> bool:
    """Compare peaks; whether they are as promised."""
    peak = {}
    for mode in MODES:
        command = [sys.executable, __file__, "--folder", str(folder), "--mode", mode]
        peak[mode] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    adds = peak["eager"] - peak["plain"]
    share = (peak["observed"] - peak["plain"]) / adds
    figures = ", ".join(f"{mode} {peak[mode] / 2**20:.0f} MiB" for mode in MODES)
    print(f"peak memory at {TOKENS:,} tokens: {figures}")
    print(f"  observing adds {100 * share:.2f} % of what eager adds (at most {100 * MEMORY:g} %)")
    return share < MEMORY


def duration(folder: Path) -> bool:
    """Compare times; whether they are as promised."""
    torch.set_num_threads(1)
    model = load(folder, "sdpa")
    ids, groups = prompt(TOKENS)
    cache = transformers.DynamicCache(config=model.config.get_text_config())
    with torch.inference_mode():
        model.model.language_model(input_ids=ids, past_key_values=cache, use_cache=True)

    @torch.inference_mode()
    def answer() -> None:
        for _ in range(NEW):
            model.model.language_model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)
        cache.crop(-NEW)

    whole, alone = (ratio(model, groups, work) for work in (lambda: write(model, ids), answer))
    print(
        f"time: observed/plain {whole:.3f} for prompt and answer (at most {TIME:g}), {alone:.3f} for the answer alone"
    )
    return whole <= TIME


def ratio(model: Any, groups: torch.Tensor, work: Callable[[], Any]) -> float:
    """Median processor time of the observed work over that of the plain work."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(ROUNDS + 1):
        for observed, spent in seconds.items():
            start = time.process_time()
            with observe(model, groups, observed):
                work()
            if turn:  # the first one warms up
                spent.append(time.process_time() - start)
    return statistics.median(seconds[True]) / statistics.median(seconds[False])


def main() -> None:
    """Measure both, or, for one process, the growth of one mode."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--mode", choices=MODES)
    given = parser.parse_args()
    if given.mode:
        grown(given.folder, given.mode)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = make_checkpoint(Path(name), sizes=Sizes(layers=4))
        kept = [memory(folder), duration(folder)]
    if not all(kept):
        raise SystemExit("more than promised")


if __name__ == "__main__":
    main()
