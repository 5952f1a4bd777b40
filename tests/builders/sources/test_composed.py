"""A mirror first, the next source for the rest; who delivered a clip is recorded."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from mma_bench.builders.sources.composed import ComposedSource
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.errors import Blocked, ClipError, InvalidInput, Permanent, Retryable
from tests.clips import clip


@dataclass(frozen=True)
class Fixed:
    """Delivers the bytes, or fails."""

    name: str
    data: bytes = b""
    error: ClipError | None = None
    remote: bool = False
    suffix: str = ".mp4"

    @property
    def revision(self) -> str:
        return f"{self.name} {self.data[:10]!r}"

    def request(self, segment: Segment) -> Request:
        return Refusal(self.error) if isinstance(self.error, Permanent) and not self.remote else self

    def fetch(self, into: Path) -> Fetched:
        if self.error is not None:
            into.write_bytes(b"half")
            raise self.error
        into.write_bytes(self.data)
        return Fetched(source=self.name, licence="", origin="")


SEGMENT = Segment("a_0", "a", 0.0, 1.0)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("good") / "good.mp4", seconds=1).read_bytes()


def test_the_first_that_has_it_delivers(good: bytes, tmp_path: Path) -> None:
    request = ComposedSource([Fixed("mirror", good), Fixed("site", b"x", remote=True)]).request(SEGMENT)
    assert request.fetch(tmp_path / "a.mp4").source == "mirror"
    assert not request.remote


@pytest.mark.parametrize("error", [Permanent("not_in_folder"), InvalidInput("not_a_cut")])
def test_what_the_mirror_lacks_comes_from_the_next(tmp_path: Path, error: ClipError) -> None:
    request = ComposedSource([Fixed("mirror", error=error), Fixed("site", b"x", remote=True)]).request(SEGMENT)
    assert request.fetch(tmp_path / "a.mp4").source == "site"
    assert (tmp_path / "a.mp4").read_bytes() == b"x"
    assert request.remote == isinstance(error, Permanent)


def test_a_broken_file_of_the_mirror_is_not_the_last_word(good: bytes, tmp_path: Path) -> None:
    request = ComposedSource([Fixed("mirror", b"broken"), Fixed("site", good, remote=True)]).request(SEGMENT)
    assert request.fetch(tmp_path / "a.mp4").source == "site"


@pytest.mark.parametrize("error", [Retryable("not_copied"), Blocked("bot_check")])
def test_a_passing_fault_is_no_reason_to_go_on(tmp_path: Path, error: ClipError) -> None:
    request = ComposedSource([Fixed("one", error=error), Fixed("two", b"x")]).request(SEGMENT)
    with pytest.raises(type(error)):
        request.fetch(tmp_path / "a.mp4")


def test_all_say_why(tmp_path: Path) -> None:
    both = [Fixed("one", error=Permanent("not_in_folder", "no file")), Fixed("two", error=Permanent("removed", "gone"))]
    with pytest.raises(Permanent) as raised:
        ComposedSource(both).request(SEGMENT).fetch(tmp_path / "a.mp4")
    assert str(raised.value) == "removed: gone; before it: not_in_folder: no file"


def test_another_answer_is_another_revision() -> None:
    site = Fixed("site", b"x", remote=True)
    with_it, without = (ComposedSource([Fixed("mirror", b"a", error), site]) for error in (None, Permanent("no")))
    assert with_it.request(SEGMENT).revision != without.request(SEGMENT).revision
