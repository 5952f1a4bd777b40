"""Text that others wrote, such as a title or a name, as one line that shows all that it holds."""

import unicodedata
from typing import Final

_HIDDEN: Final = frozenset({"Cc", "Cf"})  # categories of control and format characters
_JOINERS: Final = frozenset("\u200c\u200d")  # format characters that change how the letters or emoji beside them look
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # by category letters and a symbol, and yet empty


def one_line(text: str) -> str:
    """The text with single spaces and without control and format characters; lone surrogates are written as escapes.

    So it has no NUL or escape sequence, nothing that turns the direction of what follows it, and no hidden character
    but the joiners that some scripts and emoji need.
    """
    spaced = " ".join(text.split())
    kept = "".join(sign for sign in spaced if sign in _JOINERS or unicodedata.category(sign) not in _HIDDEN)
    return " ".join(kept.encode(errors="backslashreplace").decode().split())


def is_visible(text: str) -> bool:
    """Whether the text has a letter, digit, sign or symbol that is not blank; marks on nothing do not count."""
    return any(unicodedata.category(sign)[0] in "LNPS" and sign not in _BLANK for sign in text)
