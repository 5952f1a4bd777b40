"""A remote file reads like a local one; each block is asked for once, whatever is cut, changed or damaged between."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.sources.ranged import BLOCK, Limits, RangedFile
from mma_bench.errors import InvalidInput, Retryable

DATA = bytes(number * 7 % 251 for number in range(3 * BLOCK + 1234))
FREE = Limits(max_bytes=10 * len(DATA), min_bytes_per_s=0, throttle=lambda size: None)


@dataclass
class Far:
    """A server in memory; `asked` are the ranges that it was asked for."""

    data: bytes = DATA
    version: str = "1"
    status: int = 206
    stop_after: int | None = None  # bytes of an answer
    announced: int | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, first: int, last: int) -> "FarAnswer":
        self.asked.append((first, last))
        body = self.data if self.status == 200 else self.data[first : last + 1]
        return FarAnswer(self, body[: self.stop_after], first)


@dataclass
class FarAnswer:
    far: Far
    left: bytes
    first: int

    @property
    def status(self) -> int:
        return self.far.status

    def header(self, name: str) -> str | None:
        size = self.far.announced if self.far.announced is not None else len(self.far.data)
        values = {"Content-Length": str(size), "Content-Range": f"bytes {self.first}-/{size}", "ETag": self.far.version}
        return values.get(name)

    def read(self, size: int) -> bytes:
        piece, self.left = self.left[: min(size, 50_000)], self.left[min(size, 50_000) :]
        return piece

    def close(self) -> None:
        self.left = b""


@settings(deadline=None, max_examples=40)
@given(reads=st.lists(st.tuples(st.integers(0, len(DATA) + 10), st.integers(0, 200_000)), min_size=1, max_size=12))
def test_any_reads_give_the_bytes_and_no_block_comes_twice(
    tmp_path_factory: pytest.TempPathFactory, reads: list[tuple[int, int]]
) -> None:
    store, far = tmp_path_factory.mktemp("store") / "a", Far()
    file = RangedFile(far, store, "video", FREE)
    for place, size in reads:
        assert file.seek(place) == place
        assert file.read(size) == DATA[place : place + size]
    got = [place for first, last in far.asked for place in range(first // BLOCK, last // BLOCK + 1)]
    assert len(got) == len(set(got))
    again = RangedFile(Far(data=b""), store, "video", FREE)
    for place, size in reads:
        again.seek(place)
        assert again.read(size) == DATA[place : place + size]


def test_a_part_costs_a_part(tmp_path: Path) -> None:
    far = Far(data=DATA * 20)
    file = RangedFile(far, tmp_path / "a", "video", FREE)
    file.seek(40 * BLOCK)
    file.read(10)
    assert file.received == 2 * BLOCK, "the first block, for the size, and the one that was read"


def test_a_cut_answer_keeps_whole_blocks_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    far = Far(stop_after=BLOCK + 10)
    file = RangedFile(far, tmp_path / "a", "video", FREE)
    with pytest.raises(Retryable, match="short_answer"):
        file.read(len(DATA))
    healed = Far()
    assert RangedFile(healed, tmp_path / "a", "video", FREE).read() == DATA
    assert min(first for first, _ in healed.asked) >= BLOCK


@pytest.mark.parametrize("name", ["a.json", "a.bin"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_kept_files_cut_anywhere_never_give_wrong_bytes(tmp_path: Path, name: str, share: float) -> None:
    RangedFile(Far(), tmp_path / "a", "video", FREE).read()
    kept = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(kept[: int(len(kept) * share)])
    assert RangedFile(Far(), tmp_path / "a", "video", FREE).read() == DATA


def test_damaged_blocks_are_fetched_again(tmp_path: Path) -> None:
    RangedFile(Far(), tmp_path / "a", "video", FREE).read()
    kept = bytearray((tmp_path / "a.bin").read_bytes())
    kept[BLOCK + 5] ^= 1
    (tmp_path / "a.bin").write_bytes(kept)
    far = Far()
    assert RangedFile(far, tmp_path / "a", "video", FREE).read() == DATA
    assert far.asked == [(BLOCK, 2 * BLOCK - 1)]


def test_blocks_of_another_video_are_not_taken(tmp_path: Path) -> None:
    RangedFile(Far(), tmp_path / "a", "one", FREE).read()
    other = bytes(len(DATA))
    assert RangedFile(Far(data=other), tmp_path / "a", "two", FREE).read() == other


def test_a_file_that_changes_between_two_runs_is_begun_afresh(tmp_path: Path) -> None:
    RangedFile(Far(), tmp_path / "a", "video", FREE).read(10)
    other = Far(data=bytes(reversed(DATA)), version="2")
    file = RangedFile(other, tmp_path / "a", "video", FREE)
    file.seek(2 * BLOCK)
    with pytest.raises(Retryable, match="changed_file"):
        file.read(10)
    assert RangedFile(other, tmp_path / "a", "video", FREE).read() == other.data


def test_a_server_without_ranges_gives_the_whole_once(tmp_path: Path) -> None:
    far = Far(status=200)
    file = RangedFile(far, tmp_path / "a", "video", FREE)
    file.seek(2 * BLOCK + 7)
    assert file.read(9) == DATA[2 * BLOCK + 7 : 2 * BLOCK + 16]
    assert file.read() == DATA[2 * BLOCK + 16 :]
    assert len(far.asked) == 1


@pytest.mark.parametrize(
    ("far", "error", "reason"),
    [
        (Far(status=200, announced=10 << 30), InvalidInput, "too_many_bytes"),
        (Far(data=b"", announced=0), InvalidInput, "empty_file"),
        (Far(status=204), Retryable, "unexpected_status"),
        (Far(announced=10 << 30), Retryable, "short_answer"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, far: Far, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        RangedFile(far, tmp_path / "a", "video", FREE).read(1_000_000)


def test_bytes_are_counted_whatever_is_announced(tmp_path: Path) -> None:
    limits = Limits(max_bytes=BLOCK, min_bytes_per_s=0, throttle=lambda size: None)
    with pytest.raises(InvalidInput, match="too_many_bytes"):
        RangedFile(Far(), tmp_path / "a", "video", limits).read()
