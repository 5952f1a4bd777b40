"""Work that runs ahead of its consumer on one thread: media are decoded while the model computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Iterable[Item], depth: int = 2) -> Iterator[Result]:
    """`map(work, items)` with up to `depth` results ready or under way while the consumer handles one.

    Items are taken one by one as results are consumed, so memory does not grow with their number. An error of `work`
    is raised when its result is due; closing the iterator drops what was not consumed.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode-ahead")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
