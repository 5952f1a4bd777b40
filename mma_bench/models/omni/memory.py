"""Out-of-memory handling: retry the work in halves, and never return a wrong answer instead of none."""

import gc
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_MESSAGES = ("out of memory", "can't allocate memory")  # of CUDA, and of the CPU allocator

Work: TypeAlias = Callable[[Sequence[Item]], Sequence[Result]]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error is an out-of-memory error, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or any(message in str(error).lower() for message in _MESSAGES)


def release() -> None:
    """Free the GPU memory still held by a failed attempt; CPU memory is already free."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def in_halves(work: "Work[Item, Result]", items: Sequence[Item]) -> list[Result]:
    """`work(items)`, or on out-of-memory the results of its halves, recursively down to single items.

    Raises:
        RuntimeError: Out of memory for a single item, or another error in `work`.
    """
    try:
        return list(work(items))
    except RuntimeError as error:
        if len(items) < 2 or not is_out_of_memory(error):
            raise
    # Outside the handler, so that the traceback no longer references the tensors of the failed attempt.
    release()
    middle = (len(items) + 1) // 2
    return in_halves(work, items[:middle]) + in_halves(work, items[middle:])


def or_none(work: Callable[[], Result]) -> Result | None:
    """`work()`, or None on out-of-memory."""
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    release()
    return None
