"""The search for near hashes against its twin, which compares each with each."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mma_bench import near_hashes
from mma_bench.near_hashes import HASH_BITS, Hashes, nearest_within


def by_definition(mine: Hashes, others: Hashes, bits: int) -> list[tuple[int, int]]:
    found = []
    for one in mine.tolist():
        near = [((one ^ other).bit_count(), index) for index, other in enumerate(others.tolist())]
        found.append(min((pair for pair in near if pair[0] <= bits), default=(HASH_BITS, -1)))
    return found


def found(mine: Hashes, others: Hashes, bits: int) -> list[tuple[int, int]]:
    return list(zip(*(part.tolist() for part in nearest_within(mine, others, bits)), strict=True))


# Around a few centres, so that equal and near hashes are common, at both ends of the word and across its bands.
flips = st.lists(st.integers(0, 63), max_size=12).map(lambda places: sum(1 << place for place in set(places)))
words = st.tuples(st.sampled_from([0, 2**64 - 1, 0x123456789ABCDEF0]), flips).map(lambda pair: pair[0] ^ pair[1])
hashes = st.lists(words, max_size=40).map(lambda drawn: np.array(drawn, dtype=np.uint64))


@given(hashes, hashes, st.one_of(st.integers(0, 10), st.integers(0, 64)))
@example(np.array([0], dtype=np.uint64), np.array([2**64 - 1], dtype=np.uint64), 64)
@example(np.array([5, 5], dtype=np.uint64), np.array([4, 7, 7, 5, 5], dtype=np.uint64), 0)
@settings(deadline=None, max_examples=300)
def test_the_nearest_is_that_of_the_definition(mine: Hashes, others: Hashes, bits: int) -> None:
    assert found(mine, others, bits) == by_definition(mine, others, bits)


# More than three flips of a band are more patterns than anybody waits for.
SPLITS = [(bits, bands) for bits in (0, 1, 3, 6, 7, 12, 20) for bands in (1, 2, 3, 4, 7) if bits // bands <= 3]


@pytest.mark.parametrize(("bits", "bands"), SPLITS)
def test_every_number_of_bands_finds_the_same(monkeypatch: pytest.MonkeyPatch, bits: int, bands: int) -> None:
    """Small tables, as those of the other test, are searched by few bands."""
    draw = np.random.default_rng(bits)
    others = draw.integers(0, 2**64, 200, dtype=np.uint64)
    flipped = [sum(1 << int(place) for place in set(draw.integers(0, 64, bits))) for _ in range(100)]
    mine = others[::2] ^ np.array(flipped, dtype=np.uint64)
    monkeypatch.setattr(near_hashes, "_bands", lambda *_: near_hashes._cut(bands))
    monkeypatch.setattr(near_hashes, "_BLOCK", 7)
    assert found(mine, others, bits) == by_definition(mine, others, bits)


@pytest.mark.parametrize("bits", [0, 3, 6, 10])
def test_the_work_grows_far_slower_than_the_pairs(bits: int) -> None:
    def compared(size: int) -> int:
        drawn = np.random.default_rng(1).integers(0, 2**64, size, dtype=np.uint64)
        test, train = drawn[: size // 10], drawn[size // 10 :]
        looked_up = test.size * sum(
            near_hashes._number_of_patterns(width, bits // len(bands))
            for bands in [near_hashes._bands(bits, train.size)]
            for _, width in bands
        )
        return looked_up + sum(rows.size for rows, _ in near_hashes._candidates(test, train, bits))

    assert compared(16_000) < 16**1.7 * compared(1_000)


def test_ten_thousand_equal_hashes_are_compared_once() -> None:
    black = np.zeros(10_000, np.uint64)
    assert found(black, black, 6) == [(0, 0)] * 10_000
