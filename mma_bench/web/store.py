"""A database of accounts and sessions, beside which a web app keeps its own tables.

It is a file of SQLite beside the project, or any server that SQLAlchemy knows.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

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


class StoreBusyError(MmaBenchError):
    """Another program holds the database, so nothing could be written; trying again later may help."""


class Store:
    """An open database; each app has a subclass that names its tables.

    Attributes:
        own: The app's tables.
        records: Of these, the one of what people send, to which rows are only added.

    Args:
        url: An SQLAlchemy URL; a file of SQLite is made with its folder.

    Raises:
        ConfigError: No such dialect or driver, or the server does not answer; the message holds no password.
        DataError: The database is of another kind.
    """

    own: ClassVar[MetaData]
    records: ClassVar[Table]

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise ConfigError(
                "the database's URL cannot be read",  # and may hold a password, so it is not repeated
                hint="write sqlite:///FILE or postgresql+psycopg://HOST/NAME; USER:PASSWORD@ goes before HOST",
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
            wrong = _differences(self.engine, self.own)
            if wrong is None:
                metadata.create_all(self.engine)
                self.own.create_all(self.engine)
        except NoSuchModuleError:
            raise ConfigError(
                f"{self.where}: there is no kind of database {parsed.drivername!r}",
                hint="write sqlite:///FILE or postgresql+psycopg://HOST/NAME",
            ) from None
        except ModuleNotFoundError as error:
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


def _differences(engine: Engine, own: MetaData) -> str | None:
    """The first table that is there under a name of ours without its columns; or that there are accounts, but none of
    the app's tables, as in the database of another app."""
    found = inspect(engine)
    for table in (*metadata.sorted_tables, *own.sorted_tables):
        if found.has_table(table.name):
            columns = {row["name"] for row in found.get_columns(table.name)}
            if missing := {column.name for column in table.columns} - columns:
                return f"its table {table.name} has no column {min(missing)}"
    if found.has_table(annotators.name) and not any(map(found.has_table, own.tables)):
        return f"it has accounts, but no table {min(own.tables)}"
    return None


def now() -> float:
    """Unix time in seconds."""
    return time.time()
