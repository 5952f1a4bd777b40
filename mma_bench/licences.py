"""The licences under which a clip's media may be passed on, and how a clip's terms name them."""

import re
from typing import Final, Literal, TypeAlias

Licence: TypeAlias = Literal["cc0", "cc-by", "cc-by-sa"]

_NAMES: Final[tuple[tuple[Licence, str], ...]] = (
    ("cc0", r"CC0(?: 1\.0)?"),
    ("cc-by-sa", r"CC BY-SA(?: \d\.\d)?"),
    ("cc-by", r"CC BY(?: \d\.\d)?"),
)


def licence_of(terms: str) -> Licence | None:
    """The licence that a clip's terms begin with, as in "CC BY 4.0, Ada"; None if it is none of these."""
    for licence, name in _NAMES:
        if re.match(rf"{name}(?=$|[,;:.] | \()", terms.strip()):
            return licence
    return None
