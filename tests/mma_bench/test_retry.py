"""Waits between retries: as the server asks, else exponential with jitter and a bound."""

from datetime import UTC, datetime

import pytest
from tenacity import RetryCallState, Retrying, stop_after_attempt

from mma_bench.retry import backoff, parse_retry_after, wait_at_least

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        (" 0 ", 0.0),
        ("0.25", 0.25),
        ("Fri, 27 Nov 2026 12:01:30 GMT", 90.0),
        ("Fri, 27 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 27 Nov 2026 12:01:30 -0000", 90.0),
        ("Fri, 27 Nov 2026 13:01:30 +0100", 90.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_waits_double_up_to_a_bound_and_half_of_each_is_random() -> None:
    wait = backoff(1.0, 20.0)
    state = RetryCallState(Retrying(), None, (), {})
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (5, 16), (6, 20), (30, 20)):
        state.attempt_number = attempt
        waits = {wait(state) for _ in range(50)}
        assert len(waits) > 1
        assert all(longest / 2 <= seconds <= longest for seconds in waits)


def test_a_server_that_asks_for_a_wait_gets_it_and_a_shorter_one_than_the_backoff_does_not_count() -> None:
    asked = iter([7.0, None, 0.1])
    waits: list[float] = []

    def call() -> str:
        if len(waits) < 3:
            raise ConnectionError
        return "done"

    wait = wait_at_least(lambda _: next(asked), backoff(1.0, 60.0))
    assert Retrying(sleep=waits.append, wait=wait, stop=stop_after_attempt(4))(call) == "done"
    assert waits[0] == 7.0
    assert 1.0 <= waits[1] <= 2.0
    assert 2.0 <= waits[2] <= 4.0
