"""Class names and their longest matches in a clause, so that `guinea pig` is not a pig."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mma_bench.evaluation.reading import words
from mma_bench.evaluation.reading.text import tokens
from mma_bench.evaluation.synonyms import OTHER_THINGS

Words = tuple[str, ...]
_NO_OPTION = ""  # owner of names of no option; they mask shorter names


@dataclass(frozen=True)
class Mention:
    """A name in a clause: its option and the token range from `start` to `end` (exclusive)."""

    option: str
    start: int
    end: int
    sound: bool


@dataclass(frozen=True)
class Names:
    """The names of all options, indexed by their tokens."""

    owners: Mapping[Words, str]
    longest: int

    def exact(self, said: Sequence[str]) -> str | None:
        """The option whose name equals these tokens."""
        return self.owners.get(_key(content(said))) or None

    def mentions(self, clause: Sequence[str]) -> list[Mention]:
        """The names in the clause, without overlap."""
        places = [at for at, word in enumerate(clause) if word not in words.ARTICLES]
        key = _key([clause[at] for at in places])
        found: list[Mention] = []
        at = 0
        while at < len(key):
            length, owner = self._longest_at(key, at)
            if owner:
                start, end = places[at], places[at + length - 1] + 1
                sound = length == 1 and key[at] in words.SOUNDS
                if length > 2 or not _makes_other(clause, start, end):
                    found.append(Mention(owner, start, end, sound))
            at += length
        return found

    def _longest_at(self, key: Words, at: int) -> tuple[int, str]:
        for length in range(min(self.longest, len(key) - at), 0, -1):
            owner = self.owners.get(key[at : at + length])
            if owner is not None:
                return length, owner
        return 1, _NO_OPTION


def names_of(options: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> Names:
    """Names of the options and of non-options: other classes and similarly named things.

    A name shared by two options matches neither.
    """
    return _names(tuple(options), tuple((name, tuple(others)) for name, others in synonyms.items()))


@lru_cache(maxsize=64)
def _names(options: tuple[str, ...], synonyms: tuple[tuple[str, tuple[str, ...]], ...]) -> Names:
    shared: dict[Words, set[str]] = defaultdict(set)
    others = {_key(content(tokens(name))) for name in OTHER_THINGS}
    for owner, names in synonyms:
        keys = {_key(content(tokens(name))) for name in names}
        if owner in options:
            for key in keys:
                shared[key].add(owner)
        else:
            others |= keys
    owners = dict.fromkeys(others, _NO_OPTION)
    owners |= {key: found.pop() if len(found) == 1 else _NO_OPTION for key, found in shared.items()}
    owners |= {_key(content(tokens(option))): option for option in options}
    owners.pop((), None)
    return Names(owners, max(map(len, owners), default=0))


def content(said: Sequence[str]) -> Words:
    """The tokens without articles."""
    return tuple(word for word in said if word not in words.ARTICLES)


def singular(word: str) -> str:
    """`dogs` → dog, `glasses` → glass, `cities` → city. Applied to names and text alike, so it need not be exact."""
    word = word.removesuffix("'s").replace("'", "")
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes", "zes")) else word[:-1]


def _key(said: Sequence[str]) -> Words:
    return tuple(singular(word) for word in said)


def _makes_other(clause: Sequence[str], start: int, end: int) -> bool:
    before, after = clause[max(start - 1, 0) : start], clause[end : end + 1]
    return not (words.MAKES_OTHER_BEFORE.isdisjoint(before) and words.MAKES_OTHER_AFTER.isdisjoint(after))


def weighed(clause: Sequence[str], found: list[Mention]) -> list[Mention]:
    """Drop sounds attributed to something else, and the objects of an action."""
    things = [mention for mention in found if not mention.sound]
    if not things:
        spoken = {at for mention in found for at in range(mention.start, mention.end)}
        rest = (word for at, word in enumerate(clause) if at not in spoken)
        return found if all(word in words.FILLERS for word in rest) else []
    named = {mention.option for mention in things}
    return [
        mention
        for mention in found
        if (not mention.sound or _is_listed(clause, mention))
        and named.isdisjoint(words.YIELDS.get(mention.option, frozenset()))
    ]


def _is_listed(clause: Sequence[str], mention: Mention) -> bool:
    """Whether it is next to "and" or "or": `a meow or a roar`."""
    before = content(clause[: mention.start])[-1:]
    return not {"and", "or"}.isdisjoint((*before, *clause[mention.end : mention.end + 1]))
