"""Waiting for what another process or thread does: as long as it takes; pytest's timeout ends what hangs."""

import time
from collections.abc import Callable


def wait_until(done: Callable[[], object]) -> None:
    """Return when `done()` is true; what it raises ends the wait."""
    while not done():
        time.sleep(0.005)
