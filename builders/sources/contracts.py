"""A segment, the request for its clip, the fetched clip, and the Protocol of a clip source.

A source is opened once, in the main process, and says for each segment how to get its clip (`request`). Requests are
small and are sent to the workers, which `fetch` them; so an index of a million files is built once and never sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mma_bench.errors import ClipError


@dataclass(frozen=True)
class Segment:
    """The requested part of a video; times are in the source video, in seconds."""

    clip_id: str
    video_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Fetched:
    """What is known about a fetched clip.

    Attributes:
        source: The source that delivered it, for the dataset's `source` column.
        licence: Its licence terms, with the authors' names where the terms require them.
        origin: Where in the source it was, for the ledger.
        note: Something a person should check although the clip is fine, e.g. a choice between two files; or "".
        refused: Other files of the clip that cannot be used, by path, each with its reason.
        credit: The fields of `credits.Credit`, from a site that tells them.
    """

    source: str
    licence: str
    origin: str
    note: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    credit: Mapping[str, str] | None = None


class Request(Protocol):
    """How to get one clip: small and picklable."""

    @property
    def suffix(self) -> str:
        """The suffix of the clip's file name, e.g. `.mp4`."""

    @property
    def revision(self) -> str:
        """Changes when `fetch` would deliver something else; a later run compares it to skip this clip."""

    @property
    def remote(self) -> bool:
        """Whether the fetch contacts a site that may block us: such clips come last, so that a block affects no
        other.
        """

    def fetch(self, into: Path) -> Fetched:
        """Write the clip to the file `into`, which does not exist yet and has the request's suffix.

        Raises:
            Permanent: The source does not have it, now or later.
            Retryable: A transient failure.
            Blocked: The source refuses us, not the clip.
            InvalidInput: The source's file cannot be used.
        """


class ClipSource(Protocol):
    """A source of clips."""

    @property
    def name(self) -> str:
        """For the `source` column of unavailable clips."""

    def request(self, segment: Segment) -> Request:
        """How to get the clip of `segment`; cheap, without network. A missing clip gives a `Refusal`, not an error."""


@dataclass(frozen=True)
class Refusal:
    """The request for a clip that the source is known not to have, or not to have in a usable form."""

    error: ClipError
    suffix: str = ".mp4"
    remote = False

    @property
    def revision(self) -> str:
        """The refusal's reason: if the clip appears in the source later, its request differs."""
        return f"{self.error.status} {self.error}"

    def fetch(self, into: Path) -> Fetched:  # noqa: ARG002 - the Protocol's parameter
        """Raises the error."""
        raise self.error
