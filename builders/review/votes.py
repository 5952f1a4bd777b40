"""Votes: what a browser may send, how a vote is recorded, and which votes count."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection, Row, Select, func, insert, select
from sqlalchemy.exc import IntegrityError

from mma_bench.builders.review.store import Store, items, votes
from mma_bench.errors import MmaBenchError
from mma_bench.web.accounts import Annotator
from mma_bench.web.store import now

MAX_NOTE = 2000  # characters


class VoteRefusedError(MmaBenchError):
    """The vote cannot be recorded, and sending it again will not help."""


class Vote(BaseModel):
    """A vote as the browser sends it. Without `passed` it withdraws the annotator's vote on the item."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    vote_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    item: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    object_visible: bool | None = None
    audio_pure: bool | None = None
    action_dynamic: bool | None = None
    passed: bool | None = None
    note: Annotated[str, Field(max_length=MAX_NOTE)] = ""
    guideline_version: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        answers = (self.object_visible, self.audio_pure, self.action_dynamic)
        if self.passed is None:
            if any(answer is not None for answer in answers) or self.note:
                raise ValueError("a withdrawal has no answers")
            return self
        if None in answers:
            raise ValueError("all three criteria must be answered")
        if self.passed and not all(answers):
            raise ValueError("a pass needs yes on all three criteria")
        if not self.passed and all(answers) and not self.note.strip():
            raise ValueError("a fail needs a no, or a note that says why")
        return self


def record(store: Store, annotator: Annotator, vote: Vote, *, offered: frozenset[str]) -> bool:
    """Append a vote; when this returns, it is on the disk.

    Args:
        offered: Items of the review set.

    Returns:
        False if the same vote was recorded before, which is left as it is.

    Raises:
        VoteRefusedError: The item is not in the review set.
    """
    if vote.item not in offered:
        raise VoteRefusedError("this clip is no longer in the review set")
    row = {
        **vote.model_dump(),
        "annotator": annotator.id,
        "withdrawn": vote.passed is None,
        "note": None if vote.passed is None else vote.note.strip(),
        "at": now(),
    }
    try:
        with store.writing() as connection:
            connection.execute(insert(votes).values(row))
    except IntegrityError:
        with store.reading() as connection:
            same = (votes.c.annotator == annotator.id) & (votes.c.vote_id == vote.vote_id)
            if connection.execute(select(votes.c.serial).where(same)).scalar() is None:
                raise
        return False
    return True


def current(annotator: int | None = None) -> Select[Any]:
    """The votes that count: of each annotator (or of one) the last on each active item, unless it was withdrawn."""
    last = select(func.max(votes.c.serial)).group_by(votes.c.annotator, votes.c.item)
    if annotator is not None:
        last = last.where(votes.c.annotator == annotator)
    chosen = select(votes, items.c.clip_id, items.c.class_name, items.c.failing).join(items)
    return chosen.where(votes.c.serial.in_(last) & ~votes.c.withdrawn & items.c.active).order_by(votes.c.serial)


def own_votes(connection: Connection, annotator: int) -> list[Row[Any]]:
    """The current votes of one annotator, in the order of voting."""
    return list(connection.execute(current(annotator)))
