"""Typed errors: what went wrong, with which clip or file, and how to fix it.

Two families. An error of one clip (`ClipError`) is recorded in the stage's ledger with its status and reason and
never stops the other clips. Every other `MmaBenchError` (bad configuration, a table that breaks its contract, a
failed gate) stops the command, which prints the message without a traceback and exits with `exit_code`.
"""

from pathlib import Path


class MmaBenchError(Exception):
    """An error that a user can act on.

    Args:
        message: What is wrong; names the clip, file or key.
        hint: What to do about it, as an imperative sentence. Printed on a line of its own.
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
    """A table, ontology, segment list or other input file breaks its contract."""


class GateError(MmaBenchError):
    """A validation gate refused a table. Exit code 3."""

    exit_code = 3


class StageError(MmaBenchError):
    """A clip-by-clip stage ended with clips that have no settled status; running it again resumes. Exit code 4."""

    exit_code = 4


class ClipError(Exception):
    """An error of one clip.

    Args:
        reason: A short snake_case code that is counted in the funnel, e.g. `no_audio_stream`.
        problem: What is wrong, for a person, with the measured value.
        subject: The file or clip that has the problem.

    Attributes:
        subject: May be set to a better name by whoever catches the error and raises it again: code that reads a
            temporary file does not know which clip it is.
    """

    status = "failed"

    def __init__(self, reason: str, problem: str = "", *, subject: Path | str | None = None) -> None:
        super().__init__(reason, problem)
        self.reason = reason
        self.problem = problem
        self.subject = subject

    @property
    def detail(self) -> str:
        """The subject and the problem, as tables and ledgers have them."""
        return self.problem if self.subject is None else f"{self.subject}: {self.problem}"

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class InvalidInput(ClipError):
    """The clip's bytes or its metadata break a rule; trying again cannot help."""

    status = "refused"


class Permanent(ClipError):
    """The clip cannot be had from this source, now or later (removed, private, absent from the mirror)."""

    status = "unavailable"


class Retryable(ClipError):
    """A passing fault (time-out, 5xx, reset); the next run tries again."""

    status = "retry"


class Blocked(ClipError):
    """The source refuses us, not the clip; the run stops politely and no clip is marked dead."""

    status = "blocked"
