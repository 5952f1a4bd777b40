"""Where clips come from: the `ClipSource` Protocol, and the choice of one by params.yaml.

A source is opened once, in the main process, and says for each segment how to get its clip (`request`). Requests are
small and travel to the workers, which `fetch` them; so an index of a million files is neither built nor sent twice.

`sample` composes the bundled photographs and sounds; `folder` copies from a folder of clips named in the usual ways;
`tar` reads members of WebDataset shards; `youtube` downloads one section of a video; `composed` is a source made of
sources, which asks each in turn and goes on to the next where the answer is a `Refusal`, or a fetch says that the clip
is not to be had there: a mirror first, YouTube for the rest.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mma_bench.config import AcquireParams, SourceName
from mma_bench.errors import ClipError, ConfigError


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


def open_source(acquire: AcquireParams) -> ClipSource:
    """The source that params.yaml names.

    Raises:
        ConfigError: It cannot be used: no such folder, no manifest, a row of the manifest that is wrong.
    """
    sources = [_open(name, acquire) for name in acquire.sources]
    if len(sources) == 1:
        return sources[0]
    from mma_bench.builders.sources.composed import ComposedSource

    return ComposedSource(sources)


def _open(name: SourceName, acquire: AcquireParams) -> ClipSource:
    # Imported here because each brings libraries that the others do without.
    if name == "sample":
        from mma_bench.builders.sources.sample import SAMPLE, SampleSource

        return SampleSource(SAMPLE)
    if name == "folder" and acquire.folder is not None:
        from mma_bench.builders.sources.folder import FolderSource

        return FolderSource(Path(acquire.folder), max_bytes=acquire.max_bytes)
    if name == "tar" and acquire.shards is not None:
        from mma_bench.builders.sources.tar import TarSource

        return TarSource(Path(acquire.shards), max_bytes=acquire.max_bytes)
    if name == "youtube" and acquire.youtube is not None:
        from mma_bench.builders.sources.youtube import YouTubeSource

        return YouTubeSource(acquire.youtube, max_bytes=acquire.max_bytes)
    raise ConfigError(f"acquire.source names {name!r}, which is not described", mend="correct params.yaml")
