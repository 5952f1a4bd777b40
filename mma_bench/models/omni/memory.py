"""What to do when memory runs out: the same work in halves, and never a wrong answer instead of none."""

import gc
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_MESSAGES = ("out of memory", "can't allocate memory")  # of CUDA, and of the allocator of the CPU

Work: TypeAlias = Callable[[Sequence[Item]], Sequence[Result]]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or any(message in str(error).lower() for message in _MESSAGES)


def release() -> None:
    """Free the GPU memory that a failed attempt still holds; the CPU's is free already."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def in_halves(work: "Work[Item, Result]", items: Sequence[Item]) -> list[Result]:
    """`work(items)`, or the results of its halves if memory does not suffice, and so on down to single items.

    Raises:
        RuntimeError: Memory does not suffice for one item, or another error of `work`.
    """
    try:
        return list(work(items))
    except RuntimeError as error:
        if len(items) < 2 or not is_out_of_memory(error):
            raise
    # Out of the handler, so that the error's traceback no longer holds the tensors of the attempt.
    release()
    middle = (len(items) + 1) // 2
    return in_halves(work, items[:middle]) + in_halves(work, items[middle:])


def or_none(work: Callable[[], Result]) -> Result | None:
    """`work()`, or None if memory does not suffice for it."""
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    release()
    return None
