"""The order in which each person is asked: their own, balanced over conditions, with a clip's prompts far apart."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from mma_bench.evaluation.people.study import Item
from mma_bench.files import fingerprint


def in_order(items: Sequence[Item], person: str) -> list[Item]:
    """The items in a person's order; the same one whenever it is asked for.

    There are as many rounds as a base clip has prompts. Each round asks about every base clip once, in the same order,
    so that two prompts about a clip are as far apart as they can be: as many prompts as there are clips. Which prompt
    comes in which round is drawn in blocks, by a Latin square with its rows, columns and symbols permuted: where all
    clips have the same kinds of prompts, each kind comes once in every block, so that no condition or question is asked
    sooner than another.

    Args:
        items: All that is asked.
        person: The anonymous id.
    """
    by_base: dict[str, dict[tuple[str, ...], Item]] = defaultdict(dict)
    for item in items:
        of_cell = sum(kind[:-1] == item.cell for kind in by_base[item.base])
        by_base[item.base][*item.cell, str(of_cell)] = item
    kinds = sorted({kind for own in by_base.values() for kind in own})
    bases = sorted(by_base, key=lambda base: fingerprint(person, base))
    rounds: list[list[Item]] = [[] for _ in kinds]
    for begin in range(0, len(bases), len(kinds)):
        square = _latin_square(len(kinds), fingerprint(person, "block", begin))
        for base, row in zip(bases[begin : begin + len(kinds)], square, strict=False):
            for number, kind in enumerate(row):
                if kinds[kind] in by_base[base]:
                    rounds[number].append(by_base[base][kinds[kind]])
    return [item for own in rounds for item in own]


def _latin_square(size: int, seed: str) -> Iterator[list[int]]:
    """Rows in which each of `size` symbols comes once, as it does in each column."""
    rng = np.random.default_rng(int(seed[:16], 16))
    rows, columns, symbols = (rng.permutation(size) for _ in range(3))
    for row in rows:
        yield [int(symbols[(row + column) % size]) for column in columns]
