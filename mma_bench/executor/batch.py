"""Finished clips whose files are synced together: the disk is waited for once in a batch and not for every clip."""

import time
from pathlib import Path
from typing import Final

from mma_bench.errors import StageError
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import SETTLED, Task, Work, attempt
from mma_bench.faults import advice, machine_fault
from mma_bench.files import sync_files, synced_later

WAIT_S: Final = 0.1  # for further clips, from a batch's first; what a kill makes the next run repeat


def attempt_synced_later(work: Work, task: Task) -> tuple[Entry, list[Path]]:
    """Runs in the worker: the entry, and the files that are renamed into place but may not be on the disk."""
    with synced_later() as paths:
        return attempt(work, task), paths


class Batch:
    """Entries that may not be recorded yet, since their files may not be on the disk."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._paths: list[Path] = []
        self._due_at = float("inf")

    def add(self, entry: Entry, paths: list[Path]) -> None:
        """Add an entry with the files that its attempt has written."""
        if not self._entries:
            self._due_at = time.monotonic() + WAIT_S
        if entry["status"] not in SETTLED:  # may end the run
            self._due_at = time.monotonic()
        self._entries.append(entry)
        self._paths += paths

    @property
    def due_in_s(self) -> float:
        """Seconds until the batch is complete; not positive: it is."""
        return self._due_at - time.monotonic()

    def synced(self) -> list[Entry]:
        """The entries, after their files have reached the disk; the batch is empty then.

        Raises:
            StageError: The files cannot be written, e.g. on a full disk.
        """
        try:
            sync_files(self._paths)
        except OSError as error:
            fault = machine_fault(error)
            raise StageError(
                f"{len(self._entries)} finished clips cannot be written to the disk ({error.strerror}); "
                "those that the ledger has are kept",
                hint=advice(fault.reason if fault else "", "run the same command again"),
            ) from None
        entries, self._entries, self._paths, self._due_at = self._entries, [], [], float("inf")
        return entries
