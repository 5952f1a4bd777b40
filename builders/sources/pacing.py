"""The limits shared by all worker processes: one request rate, one bandwidth budget, one circuit breaker.

The state is a small locked file, so it also outlasts a run: a site that asked for a pause of an hour gets no request
for an hour, whatever is started meanwhile.
"""

import fcntl
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mma_bench.errors import Blocked, ClipError, InvalidInput, Permanent
from mma_bench.files import set_aside

_LONGEST_PAUSE_S: Final = 86_400.0
_LONG_WAIT_S: Final = 60.0  # longer waits are reported
# Reasons that may be about the video or about us; see `youtube_errors` and `ranged`.
DOUBTFUL: Final = frozenset(
    {
        *("http_403", "unexpected_page", "login_demanded", "network_restricted", "player_refused"),
        *("try_again_later", "unavailable", "no_format", "unclassified"),
    }
)
_NO_ANSWER: Final = frozenset({"timeout", "connection_lost", "too_slow", "short_answer", "changed_file"})


@dataclass(frozen=True)
class RateLimits:
    """How often and how fast requests are made to a site.

    Attributes:
        interval_s: Mean time between the starts of two clips, over all workers; 0 does not wait.
        jitter: The interval varies uniformly by this fraction, 0 to 1.
        bytes_per_s: Over all workers; None does not limit.
        block_after: The same doubtful answer to this many videos in a row (see `DOUBTFUL`), or this many failures to
            reach the site, without a success in between, are a block.
        pause_s: How long no requests are made after a block, doubled at every further one; the site's Retry-After is
            used if it is longer. At most a day.
    """

    interval_s: float
    jitter: float
    bytes_per_s: float | None
    block_after: int
    pause_s: float


@dataclass
class _State:
    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)

    at: float = 0.0  # when it was written, in seconds since the epoch
    next_clip_at: float = 0.0
    next_byte_at: float = 0.0
    doubtful: str = ""  # the reason that the last videos had in common
    videos: list[str] = field(default_factory=list)  # those videos
    unreachable: int = 0
    blocks: int = 0
    paused_until: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Pause:
    """No request is made until `until`."""

    until: datetime
    reason: str
    detail: str


class Pacer:
    """Shared by all processes that name the same file.

    Args:
        path: The state; its lock file is next to it.
        limits: See `RateLimits`.
        clock: Seconds since the epoch.
        sleep: Waits for the given seconds.
    """

    def __init__(
        self,
        path: Path,
        limits: RateLimits,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path, self._limits, self._clock, self._sleep = path, limits, clock, sleep

    def begin_run(self) -> None:
        """Reset the counts of failures and refusals of earlier runs; a pause is kept."""
        with self._state() as state:
            state.doubtful, state.videos, state.unreachable = "", [], 0
            if state.reason == "unreachable":
                state.paused_until, state.reason, state.detail = 0.0, "", ""

    def wait_for_turn(self) -> None:
        """Wait until the next clip may start.

        Raises:
            Blocked: The breaker is open. No request was made.
        """
        with self._state() as state:
            self._refuse_if_open(state)
            now = self._clock()
            share = 1 + self._limits.jitter * random.uniform(-1, 1)  # noqa: S311 - not a secret
            begin = max(now, state.next_clip_at)
            state.next_clip_at = begin + self._limits.interval_s * share
        if begin > now:
            self._wait(begin - now, "the shared request rate")
            with self._state() as state:
                self._refuse_if_open(state)

    def count_bytes(self, size: int) -> None:
        """Wait until `size` more bytes are within the limit shared by all workers."""
        if self._limits.bytes_per_s is None:
            return
        with self._state() as state:
            now = self._clock()
            begin = max(now, state.next_byte_at)
            state.next_byte_at = begin + size / self._limits.bytes_per_s
        if begin > now:
            self._wait(begin - now, "the shared bandwidth")

    def _wait(self, seconds: float, reason: str) -> None:
        if seconds > _LONG_WAIT_S:
            print(f"acquire: waiting {seconds:.0f} s for {reason} ({self.path})", file=sys.stderr, flush=True)
        self._sleep(seconds)

    def succeeded(self) -> None:
        """Reset the breaker: a clip arrived, or the site reported it as unavailable."""
        with self._state() as state:
            state.doubtful, state.videos, state.unreachable, state.blocks = "", [], 0, 0

    def failed(self, error: ClipError, video: str, retry_after_s: float | None = None) -> ClipError:
        """Count a failure of `video`; returns it, or a `Blocked` if it opened the breaker."""
        if isinstance(error, Blocked):
            return self._open(error, retry_after_s)
        if isinstance(error, Permanent | InvalidInput):
            self.succeeded()
            return error
        with self._state() as state:
            if error.reason == "unreachable":
                state.unreachable += 1
            elif error.reason in DOUBTFUL:
                if error.reason != state.doubtful:
                    state.doubtful, state.videos = error.reason, []
                if video not in state.videos:
                    state.videos.append(video)
            elif error.reason not in _NO_ANSWER and not error.reason.startswith("http_5"):
                state.doubtful, state.videos = "", []  # an answer about this video, so the site answers us
            unreachable, alike = state.unreachable, len(state.videos)
        if error.reason == "unreachable" and unreachable >= self._limits.block_after:
            detail = f"{unreachable} attempts in a row failed, the last with {error.reason}: {error.detail}"
            return self._open(Blocked("unreachable", detail), retry_after_s)
        if error.reason in DOUBTFUL and alike >= self._limits.block_after:
            detail = f"{alike} videos in a row failed with {error.reason}: {error.detail}"
            return self._open(Blocked("refusals", detail), retry_after_s)
        return error

    def pause(self) -> Pause | None:
        """The current pause, or None."""
        with self._state() as state:
            if state.paused_until <= self._clock():
                return None
            return Pause(datetime.fromtimestamp(state.paused_until, UTC), state.reason, state.detail)

    def _open(self, error: Blocked, retry_after_s: float | None) -> Blocked:
        with self._state() as state:
            if state.paused_until > self._clock():  # another worker was first: one block, one pause
                return self._blocked(state)
            wait = 1.0
            if error.reason != "unreachable":  # the site did not ask for a pause
                wait = max(retry_after_s or 0.0, self._limits.pause_s * 2**state.blocks)
                state.blocks += 1
            state.paused_until = self._clock() + min(wait, _LONGEST_PAUSE_S)
            state.reason, state.detail = error.reason, error.detail
            state.doubtful, state.videos = "", []
            return self._blocked(state)

    def _refuse_if_open(self, state: _State) -> None:
        if state.paused_until > self._clock():
            raise self._blocked(state)

    @staticmethod
    def _blocked(state: _State) -> Blocked:
        if state.reason == "unreachable":
            return Blocked(
                "unreachable", f"the site cannot be reached from here, check the network or the proxy; {state.detail}"
            )
        until = datetime.fromtimestamp(state.paused_until, UTC)
        return Blocked(state.reason, f"come back after {until:%Y-%m-%d %H:%M:%S} UTC; {state.detail}")

    @contextmanager
    def _state(self) -> Iterator[_State]:
        """The state, under the lock; changes are written back."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._read()
            before = asdict(state)
            self._correct(state)
            yield state
            if asdict(state) != before:
                state.at = self._clock()
                staged = self.path.with_suffix(f".{os.getpid()}")
                staged.write_text(json.dumps(asdict(state)), encoding="utf-8")
                staged.replace(self.path)

    def _correct(self, state: _State) -> None:
        """Make the times of a state right that was written by a clock ahead of the present one."""
        now = self._clock()
        ahead = max(0.0, state.at - now)
        for name in ("next_clip_at", "next_byte_at", "paused_until"):
            # Whatever the file says, no wait is longer than the longest pause.
            setattr(state, name, min(getattr(state, name) - ahead, now + _LONGEST_PAUSE_S))
        if not state.at:  # of an earlier version, which did not say when it was written
            state.next_clip_at = min(state.next_clip_at, now + self._limits.interval_s * (1 + self._limits.jitter))
        state.at = min(state.at, now)

    def _read(self) -> _State:
        try:
            return _STATE.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return _State()
        except ValidationError:
            set_aside(self.path, "a pause that it held is lost")
            return _State()


_STATE: Final = TypeAdapter(_State)
