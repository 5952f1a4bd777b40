"""Runs one clip in a process of its own, so that a crash has one possible cause, and says how the process ended."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait

from mma_bench.errors import InvalidInput, Retryable, StageError
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import Task, Work, attempt, entry_of
from mma_bench.faults import CRASHES

# Spawned, not forked: forking a process with threads (polars, torch) can hang.
SPAWN = multiprocessing.get_context("spawn")


def alone(work: Work, task: Task) -> Entry:
    """The entry of the clip even if its process dies.

    A crash of the code (SIGSEGV and the like) refuses the clip. Whatever else ends the process (the system, when memory
    runs out, or a person) says nothing about the clip, so a later run tries it again.

    Raises:
        StageError: The process cannot import the function.
    """
    receiving, sending = SPAWN.Pipe(duplex=False)
    with receiving:
        with sending, interrupts_later():
            process = SPAWN.Process(target=_attempt, args=(sending, work, task), daemon=True)
            process.start()
        started, entry = False, None
        try:
            started = receiving.recv()
            entry = receiving.recv()
        except (EOFError, OSError):  # the process ended, between two messages or in the middle of one
            pass
        process.join()
    if not started:
        raise StageError(
            "worker processes die before they do any work", hint="run `mma-bench doctor`; see the messages above"
        )
    return entry or _entry_of_death(task, process.exitcode or 0)


def _attempt(sending: Connection, work: Work, task: Task) -> None:
    """Runs in the process; it has unpickled the function."""
    end_with_parent()
    sending.send(True)
    sending.send(attempt(work, task))


def _entry_of_death(task: Task, status: int) -> Entry:
    if status in CRASHES:
        detail = f"{CRASHES[status]} ended the worker process on {task.key}, with no other clip in it"
        return entry_of(task, InvalidInput.status, "decoder_crashed", detail)
    how = f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"exit status {status}"
    detail = f"{how} ended the worker process while {task.key} was in progress, with no other clip in it"
    return entry_of(task, Retryable.status, "worker_killed", detail)


def end_with_parent() -> None:
    """End this worker when the build is killed; it would otherwise wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Inside, a Ctrl-C waits, and processes started here never get one: this process handles it, when it leaves."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
