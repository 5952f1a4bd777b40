"""Hints for a name that does not exist: the name that looks like it, and all that there are."""

from collections.abc import Iterable
from difflib import get_close_matches


def choose(name: str, known: Iterable[str], listed: str = "choose among") -> str:
    """A hint for an unknown name.

    Args:
        name: What was given.
        known: The names that exist, in the order in which they are listed.
        listed: The words before the list.

    Returns:
        `did you mean misaligned? choose among aligned, misaligned`; without a close name only the list.
    """
    names = [str(each) for each in known]
    by_folded = {each.casefold(): each for each in names}
    near = [by_folded[each] for each in get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)]
    return (f"did you mean {near[0]}? " if near else "") + f"{listed} {', '.join(names)}"
