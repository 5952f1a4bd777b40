"""Time, peak memory and attention kernels of some work on a device."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One figure of the table."""

    measure: str
    value: float | None
    unit: str
    note: str = ""


def wait(device: str) -> None:
    """Wait until the device has done everything."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any], device: str, *, rounds: int = 3, limit: float = 20.0) -> float:
    """Median wall time of at most `rounds`, after one to warm up; no round begins after `limit` seconds."""
    begin, spent = time.perf_counter(), []
    work()
    for _ in range(rounds):
        if spent and time.perf_counter() - begin > limit:
            break
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def peak_bytes(work: Callable[[], Any], device: str) -> int | None:
    """By how much the allocated memory of the GPU grew at most; None on the CPU, which does not count it."""
    if device != "cuda":
        work()
        return None
    wait(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    wait(device)
    return torch.cuda.max_memory_allocated() - before


def kernels(work: Callable[[], Any]) -> str:
    """Which of PyTorch's attention kernels ran, and how often."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    count: Counter[str] = Counter()
    for event in profile.key_averages():
        name = event.key.removeprefix("aten::")
        if name.startswith("_scaled_dot_product_") and "attention" in name and "backward" not in name:
            count[name.removeprefix("_scaled_dot_product_")] += event.count
    return ", ".join(f"{name} × {times}" for name, times in count.most_common()) or "none"


def memory(measure: str, grown: int | None, note: str = "") -> Iterator[Row]:
    """A row in GiB, or one that says that there is no such figure."""
    yield Row(measure, None if grown is None else grown / 2**30, "GiB", note if grown is not None else "GPU only")


def attempt(measure: str, work: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows of `work`, or one with its error: a rival that cannot run does not end the part."""
    try:
        yield from work()
    except (RuntimeError, ImportError, ValueError) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        yield Row(measure, None, "", f"{type(error).__name__}: {text[:200]}")
