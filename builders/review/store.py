"""The review's tables: what is judged, and votes.

Votes are only ever appended. The current vote of an annotator on an item is the last one; a withdrawal is a vote that
takes the former back. So a late or repeated request can overwrite nothing, and every change of mind stays on record.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from mma_bench.builders.review import DEFAULT_URL
from mma_bench.web import store as base
from mma_bench.web.store import annotators

metadata = MetaData()

items = Table(
    "items",
    metadata,
    Column("id", String(32), primary_key=True),  # opaque: says neither clip nor whether it is a control
    Column("clip_id", String(255), nullable=False),
    Column("class_name", String(255), nullable=False),  # what annotators are asked about
    Column("path", String(1024), nullable=False),
    Column("failing", String(64), nullable=False),  # of a control: criteria that must be answered with no; else ""
    Column("active", Boolean, nullable=False),  # in the review set of the latest build
)
votes = Table(
    "votes",
    metadata,
    Column("serial", Integer, primary_key=True),
    Column("vote_id", String(64), nullable=False),  # made by the browser, so that a repeated request counts once
    Column("annotator", ForeignKey(annotators.c.id), nullable=False),
    Column("item", ForeignKey("items.id"), nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("object_visible", Boolean),  # null if withdrawn, and so the next four
    Column("audio_pure", Boolean),
    Column("action_dynamic", Boolean),
    Column("passed", Boolean),
    Column("note", Text),
    Column("guideline_version", String(16), nullable=False),
    Column("at", Float, nullable=False),  # Unix time of the server, in seconds
    UniqueConstraint("annotator", "vote_id"),
    Index("votes_current", "annotator", "item", "serial"),
)


class Store(base.Store):
    """The review's database.

    Args:
        url: As in `web.store.Store`.
    """

    own, records = metadata, votes

    def __init__(self, url: str = DEFAULT_URL) -> None:
        super().__init__(url)
