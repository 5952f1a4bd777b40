"""METEOR of captions by NLTK (Banerjee and Lavie, 2005; its parameters alpha 0.9, beta 3, gamma 0.5).

METEOR matches equal words, then equal stems (Porter), then WordNet's synonyms. WordNet is no Python package: NLTK looks
for it in its data folders. Where it is not there, the third step cannot be done, and the score has a name of its own,
`meteor_exact_stem`, since it is as a rule lower and must not be compared with it.

Words are runs of letters and digits in lower case, with an apostrophe inside; punctuation is not a word.
"""

import re
from typing import Any, Final

from mma_bench.errors import MmaBenchError

WITH_WORDNET: Final = "meteor"
WITHOUT_WORDNET: Final = "meteor_exact_stem"
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


class Meteor:
    """Scores captions; `name` tells which score it is.

    Args:
        wordnet: An object with NLTK's `synsets(word)`; None takes NLTK's own, if its data are there.

    Raises:
        MmaBenchError: NLTK is not installed.
    """

    def __init__(self, wordnet: Any = None) -> None:
        try:
            from nltk.translate.meteor_score import single_meteor_score
        except ImportError:
            raise MmaBenchError(
                "captions are scored by METEOR, and nltk is not installed", hint="run `pip install nltk`"
            ) from None
        self._score = single_meteor_score
        wordnet = _installed_wordnet() if wordnet is None else wordnet
        self.name: Final = WITHOUT_WORDNET if wordnet is None else WITH_WORDNET
        self._wordnet = _NoSynonyms() if wordnet is None else wordnet

    def score(self, caption: str, reference: str) -> float:
        """How well a caption matches the reference: 0 (no word in common) to just below 1."""
        return float(self._score(_words(reference), _words(caption), wordnet=self._wordnet))


class _NoSynonyms:
    """Stands where NLTK wants WordNet, and knows no word."""

    def synsets(self, _word: str) -> list[Any]:
        return []


def _installed_wordnet() -> Any:
    """NLTK's WordNet, or None if its data are in none of NLTK's folders."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return wordnet


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
