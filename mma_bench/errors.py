"""Typed errors: what went wrong, with which clip or file, and how to fix it.

Two families. An error of one clip (`ClipError`) is recorded in the stage's ledger with its status and reason and
never stops the other clips. Every other `MmaBenchError` (invalid configuration, a table that violates its contract, a
failed gate) stops the command, which prints the message without a traceback and exits with `exit_code`.
"""

from pathlib import Path
from typing import Any


class MmaBenchError(Exception):
    """An error that a user can act on.

    Args:
        message: What is wrong; names the clip, file or key.
        hint: What to do about it, as an imperative sentence. Printed on its own line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class ConfigError(MmaBenchError):
    """The configuration cannot be used; raised before any work starts. Exit code 2."""

    exit_code = 2


class DataError(MmaBenchError):
    """A table, ontology, segment list or other input file violates its contract."""


class GateError(MmaBenchError):
    """A validation gate refused a table. Exit code 3."""

    exit_code = 3


class StageError(MmaBenchError):
    """A clip-by-clip stage ended with unsettled clips; running it again resumes. Exit code 4."""

    exit_code = 4


class InternalError(MmaBenchError):
    """A bug of this program on some clips, which says nothing about them; running it again resumes. Exit code 5."""

    exit_code = 5


class ClipError(Exception):
    """An error of one clip.

    Args:
        reason: A short snake_case code that is counted in the funnel, e.g. `no_audio_stream`.
        problem: What is wrong, as readable text with the measured value.
        subject: The file or clip that has the problem.
        result: What is known about the clip nevertheless; recorded in the ledger.

    Attributes:
        subject: Code that catches and re-raises the error may set a better name: code that reads a temporary file does
            not know the clip.
    """

    status = "failed"

    def __init__(
        self,
        reason: str,
        problem: str = "",
        *,
        subject: Path | str | None = None,
        result: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(reason, problem)
        self.reason = reason
        self.problem = problem
        self.subject = subject
        self.result = result or {}

    @property
    def detail(self) -> str:
        """The subject and the problem, as recorded in tables and ledgers."""
        return self.problem if self.subject is None else f"{self.subject}: {self.problem}"

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class InvalidInput(ClipError):
    """The clip's bytes or its metadata violate a rule; retrying cannot help."""

    status = "refused"


class Permanent(ClipError):
    """The clip is permanently unavailable from this source (removed, private, absent from the mirror)."""

    status = "unavailable"


class Retryable(ClipError):
    """A transient failure (timeout, 5xx, reset); the next run retries."""

    status = "retry"


class Blocked(ClipError):
    """The source refuses us, not the clip; the run stops cleanly and no clip is marked unavailable."""

    status = "blocked"


class MachineFault(ClipError):
    """This machine cannot do the work now (a full disk, too many open files); the run stops and settles no clip."""

    status = "blocked"
