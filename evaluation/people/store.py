"""The tables of people's answers.

Answers are only ever appended. A person's answer to a prompt is the last one, so a late or repeated request can
overwrite nothing, and every change of mind stays on record.
"""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from mma_bench.evaluation.people import DEFAULT_URL
from mma_bench.web import store as base
from mma_bench.web.store import annotators

metadata = MetaData()

study = Table(
    "study",  # one row: what this database's people are asked
    metadata,
    Column("id", Integer, primary_key=True),
    Column("design", Text, nullable=False),  # JSON of `study.Design`
)
answers = Table(
    "answers",
    metadata,
    Column("serial", Integer, primary_key=True),
    Column("answer_id", String(64), nullable=False),  # made by the browser, so that a repeated request counts once
    Column("annotator", ForeignKey(annotators.c.id), nullable=False),
    Column("item", String(32), nullable=False),
    Column("option", Text, nullable=False),
    Column("seconds", Float, nullable=False),  # from the clip's first showing to the answer, breaks included
    Column("seen_before", Integer, nullable=False),  # earlier prompts about the same picture or sound
    Column("at", Float, nullable=False),  # Unix time of the server, in seconds
    UniqueConstraint("annotator", "answer_id"),
    Index("answers_current", "annotator", "item", "serial"),
)


class Store(base.Store):
    """The database of people's answers.

    Args:
        url: As in `web.store.Store`.
    """

    own, records = metadata, answers

    def __init__(self, url: str = DEFAULT_URL) -> None:
        super().__init__(url)
