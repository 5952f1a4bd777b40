"""What a clause does with a class that it names."""

from enum import Enum

from mma_bench.evaluation.reading import words


class Polarity(Enum):
    """Affirmed, denied, or left open: asked, conditional, or in a list of which it is unclear what becomes."""

    AFFIRMED = "affirmed"
    DENIED = "denied"
    OPEN = "open"


def negates(word: str) -> bool:
    """Whether the word denies what its clause says."""
    return word in words.NEGATORS or word.endswith("n't")
