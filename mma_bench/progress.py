"""Progress: a bar with rate and remaining time on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

_PLAIN_EVERY_S = 5.0


class Progress:
    """Counts finished clips of one stage. Use as a context manager; `advance` after each clip."""

    def __init__(self, title: str, total: int, unit: str = "clip") -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self._start = self._last = time.monotonic()
        self._bar = tqdm(total=total, desc=title, unit=unit, dynamic_ncols=True) if sys.stderr.isatty() else None

    def advance(self, clips: int = 1) -> None:
        """Count more finished clips."""
        self.done += clips
        if self._bar is not None:
            self._bar.update(clips)
        elif time.monotonic() - self._last >= _PLAIN_EVERY_S:
            self._print()

    def _print(self) -> None:
        self._last = time.monotonic()
        rate = self.done / max(self._last - self._start, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        print(
            f"{self.title}: {self.done}/{self.total} {self.unit}s, {rate:.2f} {self.unit}s/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        elif time.monotonic() - self._start >= 2:
            self._print()
