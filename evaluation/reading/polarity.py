"""Polarity of a class named in a clause."""

from enum import Enum

from mma_bench.evaluation.reading import words


class Polarity(Enum):
    """Affirmed, denied or open: in a question, in a conditional, or in a list of unclear polarity."""

    AFFIRMED = "affirmed"
    DENIED = "denied"
    OPEN = "open"


def negates(word: str) -> bool:
    """Whether the word negates its clause."""
    return word in words.NEGATORS or word.endswith("n't")
