"""Finds explicit final answers: `Final Answer:`, `the answer is`, a box, a tag, a JSON field."""

import re
from dataclasses import dataclass
from typing import Final

from mma_bench.evaluation.reading.clauses import split
from mma_bench.evaluation.reading.polarity import negates
from mma_bench.evaluation.reading.words import UNSETTLED, word_set

_IS = r"(?:is|are|was|would be|will be|should be|must be|is likely|is probably|has to be)\b"
# Unambiguous markers; `final answer cat`, without a colon, only if few words remain on the line.
_FINAL = (
    rf"\bfinal[ _]answer\b\W{{0,3}}?(?:{_IS}|[:—=]|\s-\s|\n)"
    r"|\bfinal[ _]answer\b(?=\s+(?!i\b)\S{1,40}(?:\s\S{1,40}){0,2}\s*(?:[.!\n]|$))"
    r"|\bboxed\s?\{|<answer>|<final_answer>"
    r"|\"(?:final[ _])?(?:answer|class|category|label|prediction|choice)\"\s?:"
)
_IN_PASSING = (
    rf"\b(?:answer|conclusion|correct option|best option|best match)\b\W{{0,3}}?(?:{_IS}|[:—=]|\s-\s)"
    rf"|\b(?:class|category|label)\b\s?(?:{_IS}|:)"
    r"|\b(?:so|therefore|thus|hence)\b,?\s(?:it is |it's )?(?=none of the above\b)"
)
_MARK = re.compile(f"(?P<final>{_FINAL})|{_IN_PASSING}")
# The instruction, echoed: `Final Answer: <class>`, "in the format".
_ECHOED = re.compile(
    r"\W*(?:<\s?class\s?>(?!\s?\w)|\[\s?class\s?\]|\{\s?class\s?\}|in the (?:format|form)\b|in this format)"
)
_STRING = re.compile(r"\s?\"([^\"\n]{0,200})\"")
_ANOTHER: Final = word_set("possible alternative previous earlier example least second other opposite first")
_LOOK_BACK: Final = 200  # characters
_BOX_END = re.compile(r"[}<\n]")
_LEAD: Final = " \t\n\r:—-=>|.,"


@dataclass(frozen=True)
class Announced:
    """The text after a final-answer marker.

    Attributes:
        text: The marked answer, plus the following text if no quote, tag or brace closes it.
        rest: All text after the marker.
        final: Whether the marker is unambiguous.
        start: Where the marker begins; the reasoning is before it.
    """

    text: str
    rest: str
    final: bool
    start: int


def announced(text: str) -> Announced | None:
    """The text after the last `Final Answer:`, else after the last weaker marker; None without a marker."""
    last: dict[bool, re.Match[str]] = {}
    echoed = False
    for mark in _MARK.finditer(text):
        if _ECHOED.match(text, mark.end()):
            echoed = True
        else:
            last[mark["final"] is not None] = mark
    mark_found = last.get(True) or last.get(False)
    if mark_found is None:
        return Announced("", "", final=True, start=len(text)) if echoed else None
    rest = text[mark_found.end() :].lstrip(_LEAD)
    kind = mark_found[0]
    string = _STRING.match(rest) if kind.startswith('"') else None
    if string is not None:
        answer = string[1]
    elif kind.startswith(("boxed", "<")):
        answer = _BOX_END.split(rest.replace("text{", " "), maxsplit=1)[0]
    else:
        before = split(text[max(mark_found.start() - _LOOK_BACK, 0) : mark_found.start()] + " answer")[-1].said
        doubts = [word for word in before if negates(word) or word in UNSETTLED]
        if not _ANOTHER.isdisjoint(before):
            doubts.append("whether")
        answer = rest = " ".join([*doubts, rest])  # "I don't think the answer is a cat"
    return Announced(answer, rest, final=mark_found["final"] is not None, start=mark_found.start())
