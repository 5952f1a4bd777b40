"""Splits prepared text into sentences and clauses; a negation applies within its clause."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mma_bench.evaluation.reading.text import tokens
from mma_bench.evaluation.reading.words import FILLERS

# Multi-word negations and their lookalikes: each is replaced by a single word listed in `words`.
_EXCEPT = r"(?:except(?: for)?|other than|besides|apart from|aside from)"
_CLAUSE_FOLLOWS = r"(?: (?:i|it|there|we|you|he|she|they|the \w+|hear|see|can)\b)"
_REWRITES: Final = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        (r"\b[ei]\.[ge]\.", " "),
        (r"\b(?:without (?:a )?|no |beyond (?:any )?)(?:doubt|question)\b|\bnot to mention\b", " surely "),
        (r"\bnot (?:only|just|merely|simply)\b", " surely "),
        (
            r"\b(?:nothing|none|no (?:sounds?|audio|noises?)|(?:\w+n't|not|cannot) (?:\w+ ){0,2}anything) "
            rf"(?:but(?!{_CLAUSE_FOLLOWS})|{_EXCEPT})\b",
            " only ",
        ),
        (rf"\b{_EXCEPT}\b", " , except "),
        (
            r"\b(?:anything but|rul(?:e|es|ed|ing) out|free (?:of|from)|far from|(?:bet|decide) against"
            r"|out of the question|little sign of|few (?:would|people)|too \w+ (?:for|to be))\b",
            " not ",
        ),
        (r"\b(?:rather than|instead of|as opposed to|in place of|and not|but not)\b", " , not "),
        (r"\b(?:with no|without)\b", " , without "),
        (r"\b(?:look|listen|search)(?:s|ed|ing)? for\b|\b(?:song|story|joke|film|movie|book) about\b", " whether "),
        (r"\b(i|we|he|she|they|you|who) saw\b", r"\1 see"),
        # Closing phrases that follow an answer without a full stop (appendix L).
        (r"\s(?=(?:what do you|would you|do you|if you have|feel free|let me know|how can i|can i help)\b)", ". "),
    )
)
_BREAK: Final = re.compile(
    r"((?:[!?;\n]|(?<!\d)\.|\.(?!\d))+"  # separates sentences; the others separate clauses
    r"|[,:()\[\]{}|/=]+|\s-+\s|—|--"
    r"|\b(?:but|however|yet)\b|(?=\b(?:whereas|while|because|since|although|though)\b)"
    r"|\b(?:so|therefore|thus|hence)\b(?=\W+(?:it|it's|the|this|i|we|none|there|my|that|answer)\b)"
    r"|\band\b(?=\s+(?:it|it's|i|we|there|there's|no|neither|never|none)\b))"
)
_LEFT_OPEN: Final = frozenset({"not", "no", "never", "without", "cannot"})


@dataclass(frozen=True)
class Clause:
    """A clause of prepared text.

    Attributes:
        said: Its tokens, at least one.
        sentence: Index of its sentence.
        asked: Whether the sentence ends in a question mark.
        after: The separator before the clause.
    """

    said: tuple[str, ...]
    sentence: int
    asked: bool
    after: str


def split(text: str) -> list[Clause]:
    """The clauses of prepared text, in order."""
    for pattern, to in _REWRITES:
        text = pattern.sub(to, text)
    sentences = list(_sentences(_BREAK.split(text)))
    return [
        Clause(said, number, "?" in end, after)
        for number, (parts, end) in enumerate(sentences)
        for said, after in _with_open_denials(parts)
    ]


def _sentences(pieces: list[str]) -> Iterator[tuple[list[tuple[str, str]], str]]:
    """Each sentence as its clauses' texts with their preceding separators, and the separator that ends it."""
    parts = [(pieces[0], "")]
    for following, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if any(mark in following for mark in ".!?;\n") and following != "...":
            yield parts, following
            parts = []
        parts.append((text, following))
    yield parts, ""


def _with_open_denials(parts: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Move a negation at the end of a clause to the next contentful one: `I do not, however, hear a dog`."""
    held = False
    for text, after in parts:
        said = tokens(text)
        if not said:
            continue
        passed_over = held and all(word in FILLERS for word in said)
        yield (("not", *said) if held else said), after
        ends_open = len(said) > 1 and said[0] != "wait" and (said[-1] in _LEFT_OPEN or said[-1].endswith("n't"))
        held = ends_open or passed_over
