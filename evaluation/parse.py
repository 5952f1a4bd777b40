"""Parses the class from a model's free-text answer, by the rules documented here.

Unparseable answers are reported as such, whereas a misread answer would go unnoticed. So when in doubt, the parser
returns nothing.

1. Case, markup, underscores, hyphens, articles and plurals do not matter. An answer that consists of the name of an
   option is that option.
2. Names come from the options, AudioSet's ontology (`synonyms.json`) and everyday language (`everyday_names.csv`).
   The longest match wins: a `guinea pig` is not a pig, a `fire alarm` not a fire, and `dog food` not a dog. Sounds with
   many sources (`howl`) and ambiguous words (`camera`) count only if the clause names nothing else.
3. A negation covers its clause (`I do not hear a dog`, `a cat rather than a dog`) and a list that continues it. An
   option negated anywhere is not the answer, and a negation alone names nothing. Questions and conditionals leave an
   option open.
4. A single affirmed option is the answer. Several are unparseable, unless one is a clause of its own (`Cat. A dog barks
   at it.`).
5. After a correction (`wait`, `no`, `actually`) only what follows counts.
6. An explicit final answer (`the answer is`, `Final Answer:`, a box, a tag, a JSON field) overrides the preceding text.
   In chain of thought only the final answer or the text after `</think>` counts; a truncated thought names nothing.
7. "None of the above", where offered, also matches `none of these`, `nothing`, `no sound`, `I can't hear
   anything`, or `the screen is black`.
8. Error messages, refusals, other languages, letters, numbers, yes and no are unparseable.

Only the first `reading.text.MOST_CHARACTERS` of an answer are read (the last for chain of thought), in linear time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from mma_bench.evaluation.reading import claims, screening
from mma_bench.evaluation.reading import text as texts
from mma_bench.evaluation.reading.claims import Statement
from mma_bench.evaluation.reading.final_answer import announced
from mma_bench.evaluation.reading.names import names_of
from mma_bench.evaluation.reading.polarity import Polarity
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.prompts import NONE_OF_THE_ABOVE

_NOTHING: Final[tuple[frozenset[str], frozenset[str]]] = (frozenset(), frozenset())


def parse(
    text: str, options: Sequence[str], synonyms: Mapping[str, Sequence[str]], *, chain_of_thought: bool = False
) -> str | None:
    """The option that the answer names, or None if it names none or several.

    Args:
        text: The raw answer; any string.
        options: The classes that the question offered, as in the dataset (`Brass_instrument`).
        synonyms: Further names by class. Names of a class that is not an option match nothing, but they mask shorter
            names within them (`pig` in `guinea pig`).
        chain_of_thought: Read only an explicit final answer.
    """
    named, denied = statements(text, options, synonyms, chain_of_thought=chain_of_thought)
    return None if len(named) != 1 or named <= denied else next(iter(named))


def statements(
    text: str, options: Sequence[str], synonyms: Mapping[str, Sequence[str]], *, chain_of_thought: bool = False
) -> tuple[frozenset[str], frozenset[str]]:
    """The options that the answer affirms, and those that it denies anywhere; arguments as in `parse`."""
    for option in (text, text.strip()):
        if option in options:
            return frozenset({option}), frozenset()
    names = names_of(options, synonyms)
    plain = texts.prepare(text, keep_end=chain_of_thought)
    settled = texts.without_thoughts(plain)
    if settled is None:
        return _NOTHING
    said = texts.tokens(settled)
    exact = names.exact(said)
    listed = {names.exact(texts.tokens(part)) for part in settled.split(",")} - {None}
    if len(listed) > 1:  # "Glass, Door" is not a glass door
        exact = None
    if exact is not None or not said or screening.is_error(settled) or screening.in_another_language(said):
        return (frozenset({exact}) if exact else frozenset()), frozenset()

    def read(part: str) -> list[Statement]:
        return claims.read(part, names, none_offered=NONE_OF_THE_ABOVE in options)

    answer = announced(settled)
    if answer is not None:
        part = read(answer.text)
        if answer.final or any(statement.claims for statement in part):
            return _chosen(part, explicit=True), _denied(read(answer.rest))
    thought_aloud = chain_of_thought and settled == plain
    if thought_aloud or screening.must_conclude(settled):
        return _NOTHING
    return _chosen(read(texts.without_echoes(settled)), explicit=False), _denied(read(settled))


def parse_answer(text: str, options: Sequence[str], *, chain_of_thought: bool = False) -> str | None:
    """Like `parse`, with the names of the benchmark's classes.

    >>> parse_answer("It is a dog barking.", ["Canidae", "Cat"])
    'Canidae'
    """
    return parse(text, options, SYNONYMS, chain_of_thought=chain_of_thought)


def _denied(said: list[Statement]) -> frozenset[str]:
    return frozenset(
        option for statement in said for option, polarity in statement.claims.items() if polarity is Polarity.DENIED
    )


def _chosen(said: list[Statement], *, explicit: bool) -> frozenset[str]:
    """The options that are affirmed after the last correction.

    If there are several, and one can be preferred, it is the one in a clause of its own or, in an explicit final
    answer, that of the first sentence.
    """
    start = max((at for at, statement in enumerate(said) if statement.corrects), default=0)
    said = [statement for statement in said[start:] if statement.claims]
    if explicit:
        said = said[:1] + [statement for statement in said[1:] if not statement.subordinate]
    named = _affirmed(said)
    if len(named) > 1 and explicit:
        named = _affirmed([statement for statement in said if statement.clause.sentence == said[0].clause.sentence])
    elif len(named) > 1 and start == 0:
        sentences = Counter(statement.clause.sentence for statement in said)
        alone = _affirmed([item for item in said if item.bare and sentences[item.clause.sentence] == 1])
        named = alone if len(alone) == 1 else named
    return frozenset(named)


def _affirmed(said: list[Statement]) -> set[str]:
    """The affirmed options plus the open ones; empty if none is affirmed."""
    claimed = {claim for statement in said for claim in statement.claims.items()}
    if not any(polarity is Polarity.AFFIRMED for _, polarity in claimed):
        return set()
    return {option for option, polarity in claimed if polarity is not Polarity.DENIED}
