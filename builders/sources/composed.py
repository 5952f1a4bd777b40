"""A chain of sources: a mirror first, YouTube for the rest. Each clip records the source that delivered it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mma_bench.builders.sources.contracts import ClipSource, Fetched, Refusal, Request, Segment
from mma_bench.errors import ClipError, InvalidInput, Permanent
from mma_bench.faults import machine_fault
from mma_bench.files import fingerprint
from mma_bench.media.probe import probe


@dataclass(frozen=True)
class FirstThatHas:
    """A request that tries one source after another until one delivers a clip that can be opened."""

    requests: tuple[Request, ...]

    @property
    def suffix(self) -> str:
        """That of the first source; a later one may deliver another container."""
        return self.requests[0].suffix

    @property
    def revision(self) -> str:
        """Differs when any of the requests does."""
        return fingerprint(*(request.revision for request in self.requests))

    @property
    def remote(self) -> bool:
        """Whether the first source is remote."""
        return self.requests[0].remote

    def fetch(self, into: Path) -> Fetched:
        """Try each in turn.

        Raises:
            ClipError: Of the last source, with the errors of the others; a transient failure or a block of any ends the
                search, since that source may have the clip.
        """
        said = []
        for request in self.requests:
            into.unlink(missing_ok=True)
            try:
                fetched = request.fetch(into)
                if request is not self.requests[-1]:
                    probe(into)
            except (Permanent, InvalidInput) as error:
                if (fault := machine_fault(error)) is not None:
                    raise fault from None
                said.append(error)
            else:
                return replace(fetched, refused=_refused(said) | {**fetched.refused})
        raise _all(said)


def _all(said: Sequence[ClipError]) -> ClipError:
    last = said[-1]
    details = [last.detail, *(str(error) for error in said[:-1])]
    return type(last)(last.reason, "; before it: ".join(details), result={"refused": _refused(said)})


def _refused(said: Sequence[ClipError]) -> dict[str, str]:
    """The files that could not be used, each with its reason."""
    return {path: reason for error in said for path, reason in error.result.get("refused", {}).items()}


class ComposedSource:
    """Tries the sources in their order.

    Args:
        sources: At least one.
    """

    def __init__(self, sources: Sequence[ClipSource]) -> None:
        self.sources = sources
        self.name = ", then ".join(source.name for source in sources)

    def request(self, segment: Segment) -> Request:
        """The requests of all sources that may have the clip; if none has it, the refusal of the last."""
        answers = [source.request(segment) for source in self.sources]
        asked = tuple(answer for answer in answers if not isinstance(answer, Refusal))
        if asked:
            return FirstThatHas(asked)
        refusals = [answer for answer in answers if isinstance(answer, Refusal)]
        return Refusal(_all([refusal.error for refusal in refusals]))
