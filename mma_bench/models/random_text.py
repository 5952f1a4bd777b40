"""Random text with a given number of tokens, for models whose remote tokenizer only reports counts.

Section 4.1.4 appends 10,000 random tokens. For local models they are drawn from the vocabulary; here random
pseudo-words are drawn until the server's token count matches.
"""

from collections.abc import Callable

import numpy as np

_ONSETS = tuple("b c d f g h j k l m n p r s t v w z br ch cl dr fl gr pl sh st th tr".split(" "))  # noqa: SIM905
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_CODAS = ("", "", "n", "r", "s", "l", "t", "nd", "rk")
_FILLER = " a"  # one or two tokens in any tokenizer; fills the gap after the last word
_TRIALS = 12


def random_text(count: int, seed: int, measure: Callable[[str], int]) -> tuple[str, int]:
    """Text of `count` tokens, or slightly fewer if whole words do not fit exactly.

    Args:
        count: Number of tokens, at least 1.
        seed: The same seed and the same tokenizer give the same text.
        measure: Returns the number of tokens of a text; called about ten times.

    Returns:
        The text, which begins with a space, and its number of tokens as measured.
    """
    words = _words(count, seed)  # a word has at least one token
    fits, too_many = 0, len(words) + 1
    text, tokens = "", 0
    guess = max(1, count // 3)
    for _ in range(_TRIALS):
        candidate = "".join(words[:guess])
        measured = measure(candidate)
        if measured <= count:
            fits, text, tokens = guess, candidate, measured
        else:
            too_many = guess
        if tokens == count or too_many - fits <= 1:
            break
        # Tokens per word vary little, so the next guess is close; clamp it to the bounds.
        guess = min(max(round(guess * count / max(measured, 1)), fits + 1), too_many - 1)
    if gap := count - tokens:
        filled = text + _FILLER * gap
        if (measured := measure(filled)) <= count:
            return filled, measured
    return text, tokens


def _words(number: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    syllables = [rng.integers(0, len(parts), (number, 2)) for parts in (_ONSETS, _VOWELS, _CODAS)]
    long = rng.random(number) < 0.5
    words = []
    for index in range(number):
        parts_of_word = [
            "".join(
                parts[drawn[index, part]] for parts, drawn in zip((_ONSETS, _VOWELS, _CODAS), syllables, strict=True)
            )
            for part in range(2 if long[index] else 1)
        ]
        words.append(" " + "".join(parts_of_word))
    return words
