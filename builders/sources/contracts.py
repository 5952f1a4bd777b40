"""A segment, the request for its clip, what was fetched, and the Protocol of a clip source.

A source is opened once, in the main process, and says for each segment how to get its clip (`request`). Requests are
small and travel to the workers, which `fetch` them; so an index of a million files is neither built nor sent twice.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mma_bench.errors import ClipError


@dataclass(frozen=True)
class Segment:
    """The part of a video that is wanted; the times are of the source video, in seconds."""

    clip_id: str
    video_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Fetched:
    """What is known of a clip that was fetched.

    Attributes:
        source: Who delivered it, for the dataset's `source` column.
        licence: The terms it is under, with the authors' names where the terms ask for them.
        origin: Where in the source it was, for the ledger.
        note: What a person should look at though the clip is fine, e.g. a choice between two files; or "".
    """

    source: str
    licence: str
    origin: str
    note: str = ""


class Request(Protocol):
    """How to get one clip: small and picklable."""

    @property
    def suffix(self) -> str:
        """What the clip's file name has to end in, e.g. `.mp4`."""

    @property
    def revision(self) -> str:
        """Differs when `fetch` would deliver something else: what a later run compares to skip this clip."""

    @property
    def remote(self) -> bool:
        """Whether somebody is asked who may ask us to stop: such clips come last, so that a block costs no other."""

    def fetch(self, into: Path) -> Fetched:
        """Write the clip to the file `into`, which does not exist yet and has the request's suffix.

        Raises:
            Permanent: The source does not have it, now or later.
            Retryable: A passing fault.
            Blocked: The source refuses us, not the clip.
            InvalidInput: What the source has cannot be used.
        """


class ClipSource(Protocol):
    """A place to get clips from."""

    @property
    def name(self) -> str:
        """For the `source` column of clips that could not be had."""

    def request(self, segment: Segment) -> Request:
        """How to get the clip of `segment`; cheap, without network. What is missing is a `Refusal`, not an error."""


@dataclass(frozen=True)
class Refusal:
    """The request for a clip that the source is known not to have, or not to have in a usable form."""

    error: ClipError
    suffix: str = ".mp4"
    remote = False

    @property
    def revision(self) -> str:
        """The refusal's reason: when a clip turns up in the source, it gets another request."""
        return f"{self.error.status} {self.error}"

    def fetch(self, into: Path) -> Fetched:  # noqa: ARG002 - the Protocol's parameter
        """Raises the error."""
        raise self.error
