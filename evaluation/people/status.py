"""What the organiser wants to know: each person's progress, time and attention, and how far people agree.

It has people's names and times, so it is for the organiser only: in the terminal, and on the organiser's page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mma_bench.evaluation.formats import percent
from mma_bench.evaluation.people.agreement import Agreement, agreements
from mma_bench.evaluation.people.answers import Person, people
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import Design, Item, is_exported
from mma_bench.stats import format_estimate, interval

AGREEMENT_HEADS = ("condition", "question", "people", "prompts", "accuracy", "same answer", "alpha", "ceiling")


@dataclass(frozen=True)
class Progress:
    """How far one person is.

    Attributes:
        code: The anonymous id in exported files.
        controls: Controls answered.
        missed: Of these, answered wrongly.
        seconds: Median time for an answer; None before the first.
        seen_before: Answers to prompts about a picture or sound that the person had been asked about before.
    """

    name: str
    code: str
    answered: int
    controls: int
    missed: int
    seconds: float | None
    seen_before: int

    @property
    def caught(self) -> str:
        """`2 of 3`, of the controls that were answered; `0 of 0` before the first, not “none right”."""
        return f"{self.controls - self.missed} of {self.controls}"


@dataclass(frozen=True)
class Status:
    """The state of a study: of `prompts` prompts, controls included."""

    prompts: int
    people: tuple[Progress, ...]
    agreement: tuple[Agreement, ...]


def status(store: Store, design: Design, items: Mapping[str, Item]) -> Status:
    """The state of the study in `store`."""
    everybody = people(store)
    exported = [item for item in items.values() if is_exported(design, item)]
    return Status(len(items), tuple(_progress(who, items) for who in everybody), tuple(agreements(everybody, exported)))


def _progress(person: Person, items: Mapping[str, Item]) -> Progress:
    given = [each for each in person.given.values() if each.item in items]
    controls = [each for each in given if items[each.item].control]
    return Progress(
        name=person.name,
        code=person.code,
        answered=len(given),
        controls=len(controls),
        missed=sum(each.option != items[each.item].expected for each in controls),
        seconds=median(each.seconds for each in given) if given else None,
        seen_before=sum(each.seen_before > 0 for each in given),
    )


def lines(found: Status, where: str) -> Iterator[str]:
    """People's progress, line by line."""
    yield f"{where}: {found.prompts} questions, {len(found.people)} people"
    for who in found.people:
        pace = "" if who.seconds is None else f", {who.seconds:.1f} s each (median)"
        yield f"  {who.name}, {who.code}: {who.answered} answered, {who.caught} controls right{pace}"


def agreement_rows(found: Sequence[Agreement]) -> list[tuple[str, ...]]:
    """A table for the terminal and for pages, under AGREEMENT_HEADS; shares in percent."""
    several = len({row.protocol for row in found}) > 1
    return [
        (
            f"{row.condition}, {row.protocol}" if several else row.condition,
            row.question,
            str(row.people),
            str(row.prompts),
            percent(row.accuracy),
            format_estimate(row.same),
            interval({"kappa": row.alpha, "low": row.low, "high": row.high}),
            format_estimate(row.ceiling),
        )
        for row in found
    ]
