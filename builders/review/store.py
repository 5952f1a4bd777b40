"""The database of accounts, sessions and votes: SQLite beside the project, or any server that SQLAlchemy knows.

Votes are only ever appended. The current vote of an annotator on an item is the last one; a withdrawal is a vote that
takes the former back. So a late or repeated request can overwrite nothing, and every change of mind stays on record.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from mma_bench.builders.review import DEFAULT_URL
from mma_bench.errors import ConfigError, DataError, MmaBenchError
from mma_bench.redact import redacted

_BUSY_S: Final = 30.0  # how long a writer waits for another
_LOCKED: Final = ("database is locked", "lock timeout", "could not obtain lock")

metadata = MetaData()

annotators = Table(
    "annotators",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),  # case-folded; not in exported tables
    Column("code", String(16), nullable=False, unique=True),  # random; the id in exported tables
    Column("password_hash", String(256), nullable=False),
    Column("adjudicator", Boolean, nullable=False),
)
# A table of its own, so that a database from before there were organisers is opened as it is.
organisers = Table("organisers", metadata, Column("annotator", ForeignKey("annotators.id"), primary_key=True))
sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),  # a copy of the database opens no session
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
    Column("expires", Float, nullable=False),  # Unix time in seconds
)
attempts = Table(
    "attempts",  # logins that failed or are being checked
    metadata,
    Column("id", Integer, primary_key=True),
    Column("subject", String(64), nullable=False, index=True),  # hash of a name or an address
    Column("at", Float, nullable=False),
)
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
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
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


class StoreBusyError(MmaBenchError):
    """Another program holds the database, so nothing could be written; trying again later may help."""


class Store:
    """An open database.

    Args:
        url: An SQLAlchemy URL; a file of SQLite is made with its folder.

    Raises:
        ConfigError: No such dialect or driver, or the server does not answer; the message holds no password.
        DataError: The database is of another kind.
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise ConfigError(
                "the database's URL cannot be read",  # and may hold a password, so it is not repeated
                hint="write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
            ) from None
        self.where = redacted(parsed.render_as_string(hide_password=True))
        self.file: Path | None = None  # of SQLite
        sqlite = parsed.get_backend_name() == "sqlite"
        if sqlite and parsed.database and not parsed.database.startswith((":memory:", "file:")):
            self.file = Path(parsed.database)
            _make_private(self.file)
        try:
            settings: dict[str, Any] = {"connect_args": {"timeout": _BUSY_S}} if sqlite else {"pool_pre_ping": True}
            self.engine = create_engine(parsed, pool_size=16, max_overflow=48, **settings)
            if sqlite:
                _prepare_sqlite(self.engine)
            wrong = _differences(self.engine)
            if wrong is None:
                metadata.create_all(self.engine)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"{self.where}: {error}", hint="install the database's driver, e.g. `pip install 'psycopg[binary]'`"
            ) from None
        except SQLAlchemyError as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise ConfigError(
                f"{self.where} cannot be opened: {redacted(str(reason))}",
                hint="see that the server runs and the file may be written",
            ) from None
        if wrong is not None:
            raise DataError(f"{self.where} is another database: {wrong}", hint="name another one with --database")
        self._writer = self.engine.execution_options(writes=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end, on the disk when this returns, or undone by an error."""
        try:
            with self._writer.begin() as connection:
                yield connection
        except OperationalError as error:
            if any(words in str(error.orig) for words in _LOCKED):
                raise StoreBusyError(
                    f"another program holds {self.where}, so nothing could be written",
                    hint="close it, or try again later",
                ) from None
            raise

    def close(self) -> None:
        """Close all connections; SQLite's write-ahead log is written back, so that the file has everything."""
        self.engine.dispose()
        if self.file is not None and self.file.is_file():
            with closing(sqlite3.connect(self.file)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, so that readers do not wait; a full sync, so that what was answered survives a power failure."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late; see below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A reader that turns writer fails when another wrote in between; IMMEDIATE queues writers instead.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_private(path: Path) -> None:
    """Make the file for its owner alone before anything is in it; SQLite gives its log the same permissions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    if path.stat().st_uid == os.geteuid():
        path.chmod(0o600)


def _differences(engine: Engine) -> str | None:
    """The first table that is there under a name of ours without its columns."""
    found = inspect(engine)
    for table in metadata.sorted_tables:
        if found.has_table(table.name):
            columns = {row["name"] for row in found.get_columns(table.name)}
            if missing := {column.name for column in table.columns} - columns:
                return f"its table {table.name} has no column {min(missing)}"
    return None


def now() -> float:
    """Unix time in seconds."""
    return time.time()
