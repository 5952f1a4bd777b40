"""Answers: what a browser may send, how an answer is recorded, and which answers count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from mma_bench.errors import MmaBenchError
from mma_bench.evaluation.people.store import Store, answers
from mma_bench.evaluation.people.study import Item
from mma_bench.web.accounts import Annotator
from mma_bench.web.store import annotators, now, organisers

_MOST_SECONDS: Final = 30 * 86_400.0  # a page may stay open


class AnswerRefusedError(MmaBenchError):
    """The answer cannot be recorded, and sending it again will not help."""


class Sent(BaseModel):
    """An answer as the browser sends it; `seconds` since the clip was first shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    answer_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    item: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    option: Annotated[str, Field(min_length=1, max_length=500)]
    seconds: Annotated[float, Field(ge=0, le=_MOST_SECONDS, allow_inf_nan=False)]


@dataclass(frozen=True)
class Given:
    """A person's answer that counts.

    Attributes:
        seconds: Since the clip was first shown, breaks included.
        seen_before: How many prompts about the same picture or sound the person had answered before.
    """

    item: str
    option: str
    seconds: float
    seen_before: int


@dataclass(frozen=True)
class Person:
    """Somebody who is asked; `code` is the anonymous id in exported files."""

    name: str
    code: str
    given: Mapping[str, Given]  # item → answer, in the order of answering


def record(store: Store, annotator: Annotator, sent: Sent, items: Mapping[str, Item]) -> bool:
    """Append an answer; when this returns, it is on the disk.

    Args:
        items: What is asked, by id.

    Returns:
        False if the same answer was recorded before, which is left as it is.

    Raises:
        AnswerRefusedError: The prompt is not asked, or does not offer the option.
    """
    item = items.get(sent.item)
    if item is None:
        raise AnswerRefusedError("this question is no longer asked")
    if sent.option not in item.options:
        raise AnswerRefusedError(f"{sent.option!r} is not one of the options")
    try:
        with store.writing() as connection:
            earlier = select(answers.c.item).where(answers.c.annotator == annotator.id).distinct()
            shown = [items[each] for each in connection.execute(earlier).scalars() if each in items]
            clips = {item.base, item.donor}
            seen = sum(each.id != item.id and not clips.isdisjoint((each.base, each.donor)) for each in shown)
            row = {**sent.model_dump(), "annotator": annotator.id, "seen_before": seen, "at": now()}
            connection.execute(insert(answers).values(row))
    except IntegrityError:
        with store.reading() as connection:
            same = (answers.c.annotator == annotator.id) & (answers.c.answer_id == sent.answer_id)
            if connection.execute(select(answers.c.serial).where(same)).scalar() is None:
                raise
        return False
    return True


def given_by(store: Store, annotator: int) -> dict[str, Given]:
    """One person's answers that count, by item, in the order of answering."""
    last = select(func.max(answers.c.serial)).where(answers.c.annotator == annotator).group_by(answers.c.item)
    chosen = select(answers.c.item, answers.c.option, answers.c.seconds, answers.c.seen_before)
    with store.reading() as connection:
        rows = connection.execute(chosen.where(answers.c.serial.in_(last)).order_by(answers.c.serial))
        return {row.item: Given(*row) for row in rows}


def people(store: Store) -> list[Person]:
    """Everybody but organisers, by name."""
    chosen = select(annotators.c.id, annotators.c.name, annotators.c.code)
    asked = chosen.outerjoin(organisers).where(organisers.c.annotator.is_(None)).order_by(annotators.c.name)
    with store.reading() as connection:
        rows = connection.execute(asked).all()
    return [Person(row.name, row.code, given_by(store, row.id)) for row in rows]


def unanswered(person: Person, items: Mapping[str, Item]) -> int:
    """How many prompts the person has yet to answer."""
    return len(items.keys() - person.given.keys())
