"""What each clause of an answer claims: which options it affirms, denies, or leaves open."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mma_bench.evaluation.reading import words
from mma_bench.evaluation.reading.clauses import Clause, split
from mma_bench.evaluation.reading.names import Names, weighed
from mma_bench.evaluation.reading.none_of_the_above import denies_percepts, none_of_the_above
from mma_bench.evaluation.reading.polarity import Polarity, negates
from mma_bench.prompts import NONE_OF_THE_ABOVE

_CORRECTS: Final = re.compile(
    r"^(?:no$|wait\b|sorry\b|correction\b|actually\b|hmm\b|oops\b|apologies\b|scratch that\b|on second\b|or rather\b)"
    r"|\b(?:is|was|it's) actually\b|\bi mean\b"
)
_SUBORDINATING: Final = words.word_set("because since although though while whereas")
_BESIDE_A_NAME: Final = words.word_set(
    "a an the class answer option category label b c d e f g h i j or also maybe perhaps surely only just sound"
)
_AUXILIARIES: Final = words.word_set(
    "is are was were does do did can cannot could has have had seems appears would will may might must should never"
)
_PERCEIVED: Final = words.word_set("visible audible heard seen present there here shown detected")
_PRONOUNS: Final = words.word_set("it one any none they them that that's")


@dataclass
class Statement:
    """A clause and what it claims.

    Attributes:
        clause: The clause.
        claims: Options with the polarity of each.
        negated: It contains a negation outside the names.
        bare: It consists of a name only, so it is not a remark about one.
    """

    clause: Clause
    claims: dict[str, Polarity]
    negated: bool
    bare: bool

    @property
    def corrects(self) -> bool:
        """Whether it retracts the preceding text."""
        return _CORRECTS.search(" ".join(self.clause.said)) is not None

    @property
    def subordinate(self) -> bool:
        """Whether it is a subordinate clause of reason or concession."""
        return self.clause.said[0] in _SUBORDINATING

    def becomes(self, polarity: Polarity) -> None:
        """Set the polarity of all its claims."""
        self.claims = dict.fromkeys(self.claims, polarity)


def read(text: str, names: Names, *, none_offered: bool) -> list[Statement]:
    """The clauses of prepared text with the claims of each.

    Args:
        text: As `text.prepare` returns it.
        names: Names of the options.
        none_offered: Whether "None of the above" is an option.
    """
    clauses = split(text)
    excepting = any("except" in clause.said for clause in clauses)
    said = [_statement(clause, names, none_offered=none_offered and not excepting) for clause in clauses]
    _continue_denials(said)
    _continue_empty_denials(said)
    _refer_back(said)
    return said


def _statement(clause: Clause, names: Names, *, none_offered: bool) -> Statement:
    mentions = names.mentions(clause.said)
    spoken = {at for mention in mentions for at in range(mention.start, mention.end)}
    rest = [word for at, word in enumerate(clause.said) if at not in spoken]
    negated = any(negates(word) for word in rest)
    if negated:  # a negated option stays negated, even if the match is weak
        polarity = Polarity.DENIED
    else:
        mentions = weighed(clause.said, mentions)
        unsettled = clause.asked or not words.UNSETTLED.isdisjoint(rest)
        polarity = Polarity.OPEN if unsettled else Polarity.AFFIRMED
    claims = {mention.option: polarity for mention in mentions}
    if none_offered:
        claims.pop(NONE_OF_THE_ABOVE, None)
        none = none_of_the_above(clause.said, others=bool(claims) or clause.asked)
        if none is Polarity.OPEN:
            claims = dict.fromkeys(claims, Polarity.OPEN)
        if none is not None:
            claims[NONE_OF_THE_ABOVE] = none
    bare = bool(claims) and all(word in _BESIDE_A_NAME or word.isdigit() for word in rest)
    return Statement(clause, claims, negated, bare)


def _continue_denials(said: list[Statement]) -> None:
    """Extend negations over lists: `no dog, cat, or bird` denies all three, `not a dog, a cat` only one."""
    denial: Statement | None = None
    run: list[Statement] = []  # what continues after it
    for statement in said:
        if denial is not None and statement.clause.sentence == denial.clause.sentence and not _stands_alone(statement):
            run.append(statement)
            continue
        _settle(denial, run)
        run = []
        denial = statement if Polarity.DENIED in statement.claims.values() else None
    _settle(denial, run)


def _stands_alone(statement: Statement) -> bool:
    return (
        Polarity.DENIED in statement.claims.values()
        or statement.corrects
        or not words.VERBS.isdisjoint(statement.clause.said)
    )


def _settle(denial: Statement | None, run: list[Statement]) -> None:
    run = [statement for statement in run if statement.claims]
    if denial is None or not run:
        return
    listed = any(not {"or", "and", "nor"}.isdisjoint(statement.clause.said) for statement in run)
    if listed or len(run) > 1 or not _is_opposed(denial.clause.said[:3], run[0].clause.said[0]):
        for statement in run:
            statement.becomes(Polarity.DENIED if listed else Polarity.OPEN)


def _is_opposed(denial: tuple[str, ...], then: str) -> bool:
    """`Not a dog, a cat` and `it isn't a dog, a cat`, but not `no dog, cat`."""
    return "not" in denial or "isn't" in denial or ("no" in denial and then in ("a", "an"))


def _continue_empty_denials(said: list[Statement]) -> None:
    """A negation without a name leaves open what follows it after a colon or on the next line."""
    for before, statement in pairwise(said):
        denies_nothing = before.negated and not before.claims and not before.corrects
        leads = statement.clause.after.strip(" ") in (":", "(", "[", "{", "\n", "...")
        if denies_nothing and leads and NONE_OF_THE_ABOVE not in statement.claims and not _stands_alone(statement):
            statement.becomes(Polarity.OPEN)


def _refer_back(said: list[Statement]) -> None:
    """`I thought of a dog, but could not hear one`, `the dog, however, is not audible`: the dog is left open."""
    named: list[Statement] = []  # the claims of the last sentence that has any
    for statement in said:
        sentence = statement.clause.sentence
        if statement.claims:
            if named and named[-1].clause.sentence != sentence:
                named = []
            named.append(statement)
        elif named and statement.negated and not statement.clause.asked:
            goes_on = named[-1].clause.sentence == sentence and _is_predicate(statement.clause)
            if goes_on or _is_about_what_was_named(statement.clause):
                for item in named:
                    item.becomes(Polarity.OPEN)
                named = []


def _is_predicate(clause: Clause) -> bool:
    first, last = clause.said[0], clause.said[-1]
    return first in _AUXILIARIES or first.endswith("n't") or (first == "not" and last in _PERCEIVED)


def _is_about_what_was_named(clause: Clause) -> bool:
    if _PRONOUNS.isdisjoint(clause.said) or "other" in clause.said or denies_percepts(clause.said):
        return False
    return all(word in words.FILLERS or word in _PRONOUNS or negates(word) for word in clause.said)
