"""Reads a class out of a model's free-text answer, by rules that are written down here and nowhere else.

1. Case, punctuation, underscores, hyphens and plural endings do not matter: `brass instruments.` is Brass_instrument.
2. Chain of thought: only what follows the last `Final Answer:` counts; without it the answer is unparseable.
3. An answer that is an option is that option.
4. Otherwise all options that the answer mentions are collected, chatter around them is passed over (`Bird What do you
   think about that?`). One is the answer; several are unparseable.
5. The names that AudioSet's ontology gives to an option's sounds mention it too: `a dog barking` is Canidae, and
   `cat and dog` names two. A name that two options share mentions neither.
6. A mention right after a negation (`not a cat`, `does not sound like a cat`) makes the answer unparseable: what was
   denied is not what was meant, and what was meant is not said.

An unparseable answer has a status of its own; it is never scored as wrong in silence.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from mma_bench.evaluation.synonyms import SYNONYMS

_FINAL_ANSWER = re.compile(r"final\s+answer\s*\**\s*:", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9]+")
_NEGATIONS = frozenset(
    {"not", "no", "neither", "nor", "never", "without", "isnt", "arent", "wasnt", "dont", "doesnt", "cannot", "cant"}
)
_FILLERS = frozenset({"a", "an", "the", "any", "of", "to", "be", "really", "sound", "look", "seem", "like"})

Words = tuple[str, ...]


def parse(
    text: str, options: Sequence[str], synonyms: Mapping[str, Sequence[str]], *, chain_of_thought: bool = False
) -> str | None:
    """The option that the answer names, or None if it names none or several.

    Args:
        text: The raw answer.
        options: The classes that the question offered, as in the dataset (`Brass_instrument`).
        synonyms: Further names by class; classes that are not options are ignored.
        chain_of_thought: Read only what follows the last `Final Answer:`.
    """
    if chain_of_thought:
        parts = _FINAL_ANSWER.split(text)
        if len(parts) == 1:
            return None
        text = parts[-1]
    words = _words(text)
    names = _names(tuple(options))
    exact = names.get(words)
    if exact is not None:
        return exact
    mentioned = _mentions(words, _synonym_names(_frozen(synonyms, options)) | names)
    return mentioned.pop() if mentioned is not None and len(mentioned) == 1 else None


def parse_answer(text: str, options: Sequence[str], *, chain_of_thought: bool = False) -> str | None:
    """As `parse`, with the synonyms of the benchmark's classes."""
    return parse(text, options, SYNONYMS, chain_of_thought=chain_of_thought)


def _words(text: str) -> Words:
    return tuple(_singular(word) for word in _WORD.findall(text.casefold().replace("'", "").replace("’", "")))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=64)
def _names(options: tuple[str, ...]) -> dict[Words, str]:
    return {_words(option): option for option in options}


def _frozen(synonyms: Mapping[str, Sequence[str]], options: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((option, tuple(synonyms[option])) for option in options if option in synonyms)


@lru_cache(maxsize=64)
def _synonym_names(synonyms: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[Words, str]:
    owners: dict[Words, set[str]] = defaultdict(set)
    for option, names in synonyms:
        for name in names:
            owners[_words(name)].add(option)
    return {words: next(iter(classes)) for words, classes in owners.items() if len(classes) == 1 and words}


def _mentions(words: Words, names: Mapping[Words, str]) -> set[str] | None:
    """Classes whose names occur in `words`, longest name first and without overlap; None if one is negated."""
    longest = max((len(name) for name in names), default=0)
    found: set[str] = set()
    at = 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            owner = names.get(words[at : at + length])
            if owner is not None:
                if _negated(words[:at]):
                    return None
                found.add(owner)
                at += length
                break
        else:
            at += 1
    return found


def _negated(before: Words) -> bool:
    content = [word for word in before if word not in _FILLERS]
    return bool(content) and content[-1] in _NEGATIONS
