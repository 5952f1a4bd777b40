"""The licences under which a clip's media may be passed on, and how a clip's terms name them."""

import re
from typing import Final, Literal, TypeAlias

Licence: TypeAlias = Literal["cc0", "cc-by", "cc-by-sa"]

MARKED_CC_BY: Final = "CC BY, as marked on YouTube:"  # title, author, date and address follow, in anybody's words

_VERSION: Final = r"(?: (?:1\.0|2\.0|2\.1|2\.5|3\.0|4\.0))?"
_NAMES: Final[tuple[tuple[Licence, str], ...]] = (
    ("cc0", r"CC0(?: 1\.0)?"),
    ("cc-by-sa", rf"CC BY-SA{_VERSION}"),
    ("cc-by", rf"CC BY{_VERSION}"),
)
_AFTER: Final = r"(?: \(https?://[^\s()]+\))?(?:[,;] (?P<credit>\S.*))?"
# What may stand between two commas only if it limits the licence, or names another one.
_ELEMENTS: Final = re.compile(r"(?:BY|NC|ND|SA)(?:[- ](?:BY|NC|ND|SA))*(?: \d\.\d)?", re.IGNORECASE)
_LIMITS: Final = re.compile(
    r"^no\b|\b(?:not|except|only|unless|without|non[- ]?commercial|no[- ]?deriv\w*|all rights reserved)\b|\bBY-N[CD]\b",
    re.IGNORECASE,
)


def licence_of(terms: str) -> Licence | None:
    """The licence that a clip's terms name; None if it is none of these, or if the terms limit it.

    The terms are the licence's name alone, or followed by its address in brackets, or by a comma or semicolon and the
    credit: "CC BY", "CC BY 4.0, Ada", "CC BY-SA 3.0 (https://…), Ada". Anything else names no licence, and neither does
    a credit that takes something back, as in "CC BY, NC" or "CC BY 4.0, Ada, not for sale".
    """
    terms = terms.strip()
    if terms.startswith(f"{MARKED_CC_BY} "):
        return "cc-by"
    for licence, name in _NAMES:
        if match := re.fullmatch(name + _AFTER, terms, re.DOTALL):
            return None if _limits(match["credit"] or "") else licence
    return None


def _limits(credit: str) -> bool:
    parts = [part.strip() for part in re.split(r"[,;()]", credit)]
    return any(_ELEMENTS.fullmatch(part) or _LIMITS.search(part) for part in parts)
