"""The limits of all worker processes together: one pace, one budget of bytes, one circuit breaker.

What the workers share is a small file under a lock, so that it also outlasts a run: a site that asked us to stay away
for an hour is left alone for an hour, whatever is started meanwhile.
"""

import fcntl
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mma_bench.errors import Blocked, ClipError, DataError, InvalidInput, Permanent, Retryable

_LONGEST_PAUSE_S: Final = 86_400.0


@dataclass(frozen=True)
class RateLimits:
    """How a site is treated.

    Attributes:
        interval_s: Mean time between two clips that begin, over all workers; 0 does not wait.
        jitter: The interval varies by this share of it, evenly, 0 to 1.
        bytes_per_s: Over all workers; None does not limit.
        block_after: So many refusals in a row (403, an unexpected page), or so many failures to reach the site,
            without one success between them, are a block.
        pause_s: How long to stay away after a block, doubled at every further one; the site's Retry-After counts if it
            is longer. At most a day.
    """

    interval_s: float
    jitter: float
    bytes_per_s: float | None
    block_after: int
    pause_s: float


@dataclass
class _State:
    next_clip_at: float = 0.0  # seconds since the epoch
    next_byte_at: float = 0.0
    refusals: int = 0
    unreachable: int = 0
    blocks: int = 0
    paused_until: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Pause:
    """The site is left alone."""

    until: datetime
    reason: str
    detail: str


class Pacer:
    """Shared by all processes that name the same file.

    Args:
        path: The state; a lock lies beside it.
        limits: See `RateLimits`.
        clock: Seconds since the epoch.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        path: Path,
        limits: RateLimits,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path, self._manners, self._clock, self._sleep = path, limits, clock, sleep

    def begin_run(self) -> None:
        """Forget failures to reach the site, and refusals, of earlier runs; a pause stays."""
        with self._state() as state:
            state.refusals = state.unreachable = 0
            if state.reason == "unreachable":
                state.paused_until, state.reason, state.detail = 0.0, "", ""

    def wait_for_turn(self) -> None:
        """Wait until the next clip may begin.

        Raises:
            Blocked: The breaker is open: the site is left alone. Nothing was asked.
        """
        with self._state() as state:
            self._refuse_if_open(state)
            now = self._clock()
            share = 1 + self._manners.jitter * random.uniform(-1, 1)  # noqa: S311 - limits, no secret
            begin = max(now, state.next_clip_at)
            state.next_clip_at = begin + self._manners.interval_s * share
        if begin > now:
            self._sleep(begin - now)
            with self._state() as state:
                self._refuse_if_open(state)

    def count_bytes(self, size: int) -> None:
        """Wait until `size` more bytes are within the limit of all workers."""
        if self._manners.bytes_per_s is None:
            return
        with self._state() as state:
            now = self._clock()
            begin = max(now, state.next_byte_at)
            state.next_byte_at = begin + size / self._manners.bytes_per_s
        if begin > now:
            self._sleep(begin - now)

    def succeeded(self) -> None:
        """A clip came, or the site said plainly that it has none: it talks to us."""
        with self._state() as state:
            state.refusals = state.unreachable = state.blocks = 0

    def failed(self, error: ClipError, retry_after_s: float | None = None) -> ClipError:
        """Count a failure; returns what it is now, a `Blocked` if it opened the breaker."""
        if isinstance(error, Blocked):
            return self._open(error, retry_after_s)
        if isinstance(error, Permanent | InvalidInput):
            self.succeeded()
        elif isinstance(error, Retryable):
            with self._state() as state:
                if error.reason == "unreachable":
                    state.unreachable += 1
                elif error.reason in ("http_403", "unexpected_page"):
                    state.refusals += 1
                many = max(state.unreachable, state.refusals) >= self._manners.block_after
                counted = max(state.unreachable, state.refusals)
            if many and error.reason in ("unreachable", "http_403", "unexpected_page"):
                reason = "unreachable" if error.reason == "unreachable" else "refusals"
                detail = f"{counted} attempts in a row failed, the last with {error.reason}: {error.detail}"
                return self._open(Blocked(reason, detail), retry_after_s)
        return error

    def pause(self) -> Pause | None:
        """The pause that lasts, if one does."""
        with self._state() as state:
            if state.paused_until <= self._clock():
                return None
            return Pause(datetime.fromtimestamp(state.paused_until, UTC), state.reason, state.detail)

    def _open(self, error: Blocked, retry_after_s: float | None) -> Blocked:
        with self._state() as state:
            if state.paused_until > self._clock():  # another worker's was first: one block, one pause
                return self._blocked(state)
            wait = 1.0
            if error.reason != "unreachable":  # nobody asked us to stay away
                wait = max(retry_after_s or 0.0, self._manners.pause_s * 2**state.blocks)
                state.blocks += 1
            state.paused_until = self._clock() + min(wait, _LONGEST_PAUSE_S)
            state.reason, state.detail = error.reason, error.detail
            state.refusals = 0
            return self._blocked(state)

    def _refuse_if_open(self, state: _State) -> None:
        if state.paused_until > self._clock():
            raise self._blocked(state)

    @staticmethod
    def _blocked(state: _State) -> Blocked:
        if state.reason == "unreachable":
            return Blocked(
                "unreachable", f"there is no way to the site from here, see to the network or the proxy; {state.detail}"
            )
        until = datetime.fromtimestamp(state.paused_until, UTC)
        return Blocked(state.reason, f"come back after {until:%Y-%m-%d %H:%M:%S} UTC; {state.detail}")

    @contextmanager
    def _state(self) -> Iterator[_State]:
        """The state, under the lock; changes are kept."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._read()
            before = asdict(state)
            yield state
            if asdict(state) != before:
                beside = self.path.with_suffix(f".{os.getpid()}")
                beside.write_text(json.dumps(asdict(state)), encoding="utf-8")
                beside.replace(self.path)

    def _read(self) -> _State:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return _State(**{item.name: found[item.name] for item in fields(_State)})
        except FileNotFoundError:
            return _State()
        except (ValueError, TypeError, KeyError):
            raise DataError(f"{self.path} is damaged", hint="remove it; a pause that it holds is lost") from None
