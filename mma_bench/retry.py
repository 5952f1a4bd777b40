"""Shared by all network retries: how long to wait, and which HTTP statuses are transient.

The loop itself is tenacity's. Clients with built-in retries, such as openai's, keep them.
"""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, cast

from tenacity import RetryCallState, wait_exponential, wait_random_exponential
from tenacity.wait import WaitBaseT, wait_base

Result = TypeVar("Result")

TRANSIENT_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
_SECONDS: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def backoff(first_s: float, longest_s: float) -> wait_base:
    """Between half and all of `first_s`, `2 * first_s`, `4 * first_s` … at most `longest_s` seconds.

    Half of it is random, so that clients that failed together do not retry together.
    """
    half_s, longest_half_s = first_s / 2, longest_s / 2
    return wait_exponential(half_s, max=longest_half_s) + wait_random_exponential(half_s, max=longest_half_s)


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """The wait of a Retry-After header in seconds: a number or a date (RFC 9110, section 10.2.3).

    Decimals, which some servers send, are accepted too.

    Args:
        value: The header; None if there is none.
        now: With a time zone; None uses the current time.

    Returns:
        At least 0; None if the header is missing or malformed.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    # A date without a zone is in UTC, as HTTP dates are.
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def call_in_time(call: Callable[[], Result], seconds: float) -> Result:
    """The call's result, in a thread that is left alone if it takes longer: a network library's timeout is per read.

    Raises:
        TimeoutError: It takes longer. Other errors are the call's.
    """
    done: SimpleQueue[tuple[bool, Any]] = SimpleQueue()

    def work() -> None:
        try:
            done.put((True, call()))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            done.put((False, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        succeeded, outcome = done.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"timed out: took longer than {seconds:g} s") from None
    if not succeeded:
        raise outcome
    return cast(Result, outcome)


def wait_at_least(asked_s: Callable[[BaseException], float | None], otherwise: wait_base) -> WaitBaseT:
    """Wait according to `otherwise`, but never less than the server asked.

    Args:
        asked_s: Maps the attempt's error to the wait requested by the server in seconds; None if it requested none.
        otherwise: See `backoff`.
    """

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(otherwise(state), (asked_s(error) if error else None) or 0.0)

    return wait
