"""Normalises a raw answer: bounded, casefolded, without markup, thoughts and echoes of the prompt."""

import re
import unicodedata
from typing import Final

MOST_CHARACTERS: Final = 20_000  # an answer of 512 tokens has about 2,500

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SPECIAL = re.compile(r"<\|[^<>|]{0,40}\|>|</?s>|<pad>|<unk>")
_THOUGHT_TAG = re.compile(r"<\s?(/?)\s?(?:think|thinking|thought|thoughts|reasoning)\s?>")
_ECHOES = re.compile(
    r"video[ _]caption\s?:[^.\n]*|which class best describes[^?.\n]*\?|\boptions\s?:[^.,\n]*,[^.\n]*"
    r"|answer using a single word or phrase"
)
_PLAIN = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "`": " ", "*": " ", "#": " ", "$": " ", "~": " ", "\\": " ", "“": '"', "”": '"'}
    | dict.fromkeys("‐‑‒−", "-")
    | dict.fromkeys("–—―", "—")
)


def prepare(text: str, *, keep_end: bool) -> str:
    """At most `MOST_CHARACTERS` of the answer, from its end or beginning, casefolded, with plain quotes and dashes."""
    text = text[-MOST_CHARACTERS:] if keep_end else text[:MOST_CHARACTERS]
    if not text.isascii():
        # Normalise character by character: reordering long runs of combining marks takes quadratic time.
        text = "".join(unicodedata.normalize("NFKC", character.translate(_PLAIN)) for character in text)
    text = _SPECIAL.sub("\n", text.casefold()).translate(_PLAIN)
    text = re.sub(r"\bn/a\b", "none", text)
    return text[-MOST_CHARACTERS:] if keep_end else text[:MOST_CHARACTERS]


def tokens(text: str) -> tuple[str, ...]:
    """The tokens of prepared text, or of a name."""
    return tuple(_TOKEN.findall(text.casefold().replace("_", " ")))


def without_thoughts(text: str) -> str | None:
    """The text after the last closed thought; None if the last thought is not closed (truncated)."""
    start, depth = 0, 0
    for tag in _THOUGHT_TAG.finditer(text):
        depth = 0 if tag[1] else 1
        start = tag.end()
    return None if depth else text[start:]


def without_echoes(text: str) -> str:
    """Remove the question, its options and its caption where the answer repeats them."""
    return _ECHOES.sub(".", text)
