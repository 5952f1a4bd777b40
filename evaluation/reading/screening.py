"""Outputs that are not answers: error messages, refusals, other languages."""

import re
from typing import Final

from mma_bench.evaluation.reading.words import word_set

_ERROR: Final = re.compile(
    r"^\W*error\b|\b\w*error\b\s?:|\bexception\b\s?:|\btraceback\b|\bcuda\b|\bhttp (?:error )?\d{3}\b"
    r"|\brate.limit|\btoo many requests\b|\btimed out\b|\bapi key\b|\bout of memory\b"
    r"|\binternal server error\b|\bservice unavailable\b"
)
_REFUSAL: Final = re.compile(
    r"\b(?:can't|cannot|can not|unable to|not able to|couldn't|don't have the ability to|not capable of) (?:directly |"
    r"currently )?(?:process|access|view|watch|listen|play|open|analy[sz]e|help|assist|answer|fulfill|comply)"
    r"|\bas an? (?:\w+ )?(?:text|language|ai)\b|\bas an? \w+.based model\b|\bas a large\b"
)
_ALOUD: Final = re.compile(
    r"\W*(?:(?:ok|okay|alright|hmm|so|well)\b\W*)*"
    r"(?:let's (?:see|think)|let me (?:see|think)|the user (?:asks|is asking|wants)|i need to|we need to"
    r"|first\b\W*(?:i|we) (?:should|need|have|must)|thinking process|i will think)\b"
)
_ELISION: Final = re.compile(r"[ljsn]'|qu'|c'est")
# French, German, Spanish, Italian, Portuguese function words; none is an English word.
_OTHER_LANGUAGE: Final = word_set(
    """
    un une et est le les du des dans je il elle pas que qui ne sur avec ce cette
    der das ein eine einen und ist ich nicht kein keine mit auf dem von zu
    el los las una es del por se hay sonido uno gli della di che suono uma não som
    """
)


def is_error(text: str) -> bool:
    """Whether the text is an error message of a program."""
    return _ERROR.search(text) is not None


def must_conclude(text: str) -> bool:
    """Whether only an explicit final answer counts: the model refuses, or reasons aloud."""
    return _REFUSAL.search(text) is not None or _ALOUD.match(text) is not None


def in_another_language(said: tuple[str, ...]) -> bool:
    """Whether at least a tenth of the words are French, German, Spanish, Italian or Portuguese function words."""
    return 10 * sum(word in _OTHER_LANGUAGE or _ELISION.match(word) is not None for word in said) >= max(len(said), 1)
