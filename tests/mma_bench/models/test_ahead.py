"""Work that runs ahead: in order, bounded, and honest about errors."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.models import ahead as running_ahead
from mma_bench.models.ahead import ahead


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_order_is_kept_and_memory_bounded(items: list[int], depth: int) -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        for item in items:
            taken += 1
            yield item

    for consumed, result in enumerate(ahead(lambda item: item + 1, source(), depth)):
        assert result == items[consumed] + 1
        assert taken <= consumed + 1 + depth
    assert taken == len(items)


def test_the_next_item_is_worked_on_while_the_first_is_consumed() -> None:
    second_began = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            second_began.set()
        return item

    results = ahead(work, range(3), depth=1)
    assert next(results) == 0
    assert second_began.wait()  # with nothing else consumed
    assert list(results) == [1, 2]


def test_an_error_is_raised_when_its_result_is_due() -> None:
    results = ahead(lambda item: 1 // item, [1, 0, 1], depth=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_drops_what_was_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = [], threading.Event()
    others = set(threading.enumerate())  # of engines that other tests left open

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            release.set()
            super().shutdown(wait=wait)

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            release.wait()

    monkeypatch.setattr(running_ahead, "ThreadPoolExecutor", Pool)
    results = ahead(work, range(100), depth=3)
    next(results)
    results.close()
    assert set(begun) <= {0, 1}
    assert not any(thread.name.startswith("decode-ahead") for thread in {*threading.enumerate()} - others)
