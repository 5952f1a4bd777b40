"""Reads a class out of a model's free-text answer, by rules that are written down here.

An answer that is unparseable has a status of its own; a wrong reading would be counted in silence. So where a careful
reader would hesitate, nothing is read.

1. Case, mark-up, underscores, hyphens, articles and plurals do not matter. An answer that is a name of an option, and
   nothing else, is that option.
2. Names are those of the options, of AudioSet's ontology (`synonyms.json`) and of everyday life (`everyday_names.csv`).
   The longest counts: a `guinea pig` is not a pig, a `fire alarm` not a fire, and `dog food` not a dog. Sounds that
   many things make (`howl`) and words of many senses (`camera`) count only where nothing else stands beside them.
3. A denial reaches over its clause (`I do not hear a dog`, `a cat rather than a dog`) and over a list that goes on
   from it. What is denied anywhere is not the answer, and a denial alone names nothing. What is asked or conditional
   is left open.
4. One affirmed option is the answer. Several are unparseable, unless one stands by itself (`Cat. A dog barks at it.`).
5. After a correction (`wait`, `no`, `actually`) only what follows counts.
6. What is announced as the answer (`the answer is`, `Final Answer:`, a box, a tag, a field of JSON) goes before what
   was said until then. Chain of thought counts only what is announced, or follows `</think>`; a thought that was cut
   off names nothing.
7. "None of the above", where it is offered, may be said as `none of these`, `nothing`, `no sound`, `I can't hear
   anything`, or `the screen is black`.
8. Error messages, refusals, other languages, letters, numbers, yes and no are unparseable.

Only `reading.text.MOST_CHARACTERS` of an answer are read, the first, or the last of a chain of thought, in linear time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from mma_bench.evaluation.reading import claims, screening
from mma_bench.evaluation.reading import text as texts
from mma_bench.evaluation.reading.claims import Statement
from mma_bench.evaluation.reading.final_answer import announced
from mma_bench.evaluation.reading.names import names_of
from mma_bench.evaluation.reading.polarity import Polarity
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.prompts import NONE_OF_THE_ABOVE


def parse(
    text: str, options: Sequence[str], synonyms: Mapping[str, Sequence[str]], *, chain_of_thought: bool = False
) -> str | None:
    """The option that the answer names, or None if it names none or several.

    Args:
        text: The raw answer; any string.
        options: The classes that the question offered, as in the dataset (`Brass_instrument`).
        synonyms: Further names by class. Those of a class that is not an option name nothing, but a shorter name
            within one (`pig` in `guinea pig`) is not read.
        chain_of_thought: Read only what is announced as the answer.
    """
    for option in (text, text.strip()):
        if option in options:
            return option
    names = names_of(options, synonyms)
    plain = texts.prepare(text, keep_end=chain_of_thought)
    settled = texts.without_thoughts(plain)
    if settled is None:
        return None
    said = texts.tokens(settled)
    exact = names.exact(said)
    if exact is not None or not said or screening.is_error(settled) or screening.in_another_language(said):
        return exact

    def read(part: str) -> list[Statement]:
        return claims.read(part, names, none_offered=NONE_OF_THE_ABOVE in options)

    answer = announced(settled)
    if answer is not None:
        part = read(answer.text)
        if answer.final or any(statement.claims for statement in part):
            return _undenied(_chosen(part, explicit=True), read(answer.rest))
    thought_aloud = chain_of_thought and settled == plain
    if thought_aloud or screening.must_conclude(settled):
        return None
    return _undenied(_chosen(read(texts.without_echoes(settled)), explicit=False), read(settled))


def parse_answer(text: str, options: Sequence[str], *, chain_of_thought: bool = False) -> str | None:
    """As `parse`, with the names of the benchmark's classes.

    >>> parse_answer("It is a dog barking.", ["Canidae", "Cat"])
    'Canidae'
    """
    return parse(text, options, SYNONYMS, chain_of_thought=chain_of_thought)


def _undenied(option: str | None, said: list[Statement]) -> str | None:
    denied = any(statement.claims.get(option or "") is Polarity.DENIED for statement in said)
    return None if denied else option


def _chosen(said: list[Statement], *, explicit: bool) -> str | None:
    """The one option that is affirmed after the last correction.

    Where several are, it is the one that stands by itself, or, in what was announced, that of the first sentence.
    """
    start = max((at for at, statement in enumerate(said) if statement.corrects), default=0)
    said = [statement for statement in said[start:] if statement.claims]
    if explicit:
        said = said[:1] + [statement for statement in said[1:] if not statement.subordinate]
    named = _affirmed(said)
    if len(named) > 1 and explicit:
        named = _affirmed([statement for statement in said if statement.clause.sentence == said[0].clause.sentence])
    elif len(named) > 1 and start == 0:
        statements = Counter(statement.clause.sentence for statement in said)
        named = _affirmed([item for item in said if item.bare and statements[item.clause.sentence] == 1])
    return named.pop() if len(named) == 1 else None


def _affirmed(said: list[Statement]) -> set[str]:
    """The options that are affirmed, with those that are left open beside them; none if none is affirmed."""
    claimed = {claim for statement in said for claim in statement.claims.items()}
    if not any(polarity is Polarity.AFFIRMED for _, polarity in claimed):
        return set()
    return {option for option, polarity in claimed if polarity is not Polarity.DENIED}
