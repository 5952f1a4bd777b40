"""A status that is computed again only when something has changed."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import func, select

from mma_bench.web.store import Store, annotators, now

Status = TypeVar("Status")


class Latest(Generic[Status]):
    """The status after the latest record or account: its intervals take seconds with many clips.

    Args:
        store: Whose records and accounts it depends on.
        compute: Makes it.
    """

    def __init__(self, store: Store, compute: Callable[[], Status]) -> None:
        self._store, self._compute = store, compute
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._found: tuple[float, Status] | None = None

    def status(self) -> tuple[float, Status]:
        """When it was computed (Unix time in seconds), and the status."""
        serial = self._store.records.c.serial
        with self._lock:
            with self._store.reading() as connection:
                last = connection.execute(select(func.coalesce(func.max(serial), 0))).scalar_one()
                accounts = connection.execute(select(func.count()).select_from(annotators)).scalar_one()
            if self._found is None or self._seen != (last, accounts):
                self._seen = (last, accounts)
                self._found = (now(), self._compute())
            return self._found
