"""METEOR for captions, by NLTK (Banerjee and Lavie, 2005; parameters alpha 0.9, beta 3, gamma 0.5).

METEOR matches equal words, then equal stems (Porter), then WordNet synonyms. WordNet is not a Python package: NLTK
looks for it in its data folders. Without it, the third step is skipped and the score is called `meteor_exact_stem`: it
is usually lower than METEOR and not comparable with it.

Words are lower-case runs of letters and digits, with inner apostrophes; punctuation is dropped.
"""

import re
from typing import Any, Final

from mma_bench import extras

WITH_WORDNET: Final = "meteor"
WITHOUT_WORDNET: Final = "meteor_exact_stem"
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


class Meteor:
    """Scores captions; `name` is the name of the score.

    Args:
        wordnet: An object with NLTK's `synsets(word)`; None uses NLTK's own, if its data are installed.

    Raises:
        MissingExtra: NLTK is not installed.
    """

    def __init__(self, wordnet: Any = None) -> None:
        extras.require("avhbench", "avhbench")
        from nltk.translate.meteor_score import single_meteor_score

        self._score = single_meteor_score
        wordnet = _installed_wordnet() if wordnet is None else wordnet
        self.name: Final = WITHOUT_WORDNET if wordnet is None else WITH_WORDNET
        self._wordnet = _NoSynonyms() if wordnet is None else wordnet

    def score(self, caption: str, reference: str) -> float:
        """How well a caption matches the reference: from 0 (no word in common) to just below 1."""
        return float(self._score(_words(reference), _words(caption), wordnet=self._wordnet))


class _NoSynonyms:
    """An empty replacement for WordNet."""

    def synsets(self, _word: str) -> list[Any]:
        return []


def _installed_wordnet() -> Any:
    """NLTK's WordNet, or None if its data are not installed."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return wordnet


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
