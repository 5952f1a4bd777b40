"""Paraphrases of "None of the above", as opposed to mere negations: `I do not hear a dog`."""

import re
from typing import Final

from mma_bench.evaluation.reading import words
from mma_bench.evaluation.reading.polarity import Polarity, negates

_OFFERED = r"(?:above|options?|classes|class|choices?|categories|labels?|answers?|following|listed|given|provided)"
_NONE_OF: Final = re.compile(
    rf"\bnone of (?:(?:the |these |those |my |your )?(?:\w+ )?{_OFFERED}\b"
    r"|(?:these|those|them)\b(?! (?!is|are|match|matches|fit|fits|apply|applies|describe|describes|correspond)\w))"
)
_NONE_OF_THE_OTHERS: Final = re.compile(r"\bnone of (?:the )?others?\b")
_BLACK: Final = re.compile(
    r"\b(?:black|blank|dark) (?:screen|video|frames?|images?|picture)\b"
    r"|\b(?:screen|video|frames?|images?|picture) (?:is|are|was|appears|remains|stays)(?: \w+){0,2} "
    r"(?:black|blank|dark)\b"
)
_PERCEIVING: Final = words.word_set("there hear see heard seen")
_NO_PERCEPT: Final = re.compile(
    r"\b(?:no|any|without)"
    r"(?: (?:audible|discernible|identifiable|recognizable|meaningful|visible|clear|actual|single))? "
    r"(?:sounds?|audio|noises?|visuals?|images?|pictures?|visual content|content|video)\b"
    r"|\b(?:hear|heard|detect) a (?:single )?(?:sound|noise)\b"
    rf"|\bany of (?:these|those|them|the (?:\w+ )?{_OFFERED})\b"
)


def none_of_the_above(said: tuple[str, ...], *, others: bool) -> Polarity | None:
    """The polarity of "None of the above" in a clause; None if it is not mentioned.

    Args:
        said: Tokens of the clause.
        others: Whether it names another option too, or is a question.
    """
    whole = " ".join(said)
    if _NONE_OF_THE_OTHERS.search(whole):
        return None
    if literal := _NONE_OF.search(whole):
        denied = any(negates(word) for word in whole[: literal.start()].split())
        return Polarity.OPEN if others else Polarity.DENIED if denied else Polarity.AFFIRMED
    if _BLACK.search(whole) and "white" not in said:
        return Polarity.OPEN if others else Polarity.AFFIRMED
    if others or any(word not in words.FILLERS | words.EMPTY | words.NOTHING_PERCEIVED for word in said):
        return None
    negated = any(negates(word) for word in said if word not in words.EMPTY)
    if not words.EMPTY.isdisjoint(said):
        # "There is none" refers to what was named before.
        about_another = "none" in said and not _PERCEIVING.isdisjoint(said)
        return None if negated or about_another else Polarity.AFFIRMED
    return Polarity.AFFIRMED if negated and ("anything" in said or denies_percepts(said)) else None


def denies_percepts(said: tuple[str, ...]) -> bool:
    """Whether the clause states that there is no sound or no picture: "no sound", "doesn't have any audio"."""
    return _NO_PERCEPT.search(" ".join(said)) is not None
