"""A copy of a database while people use it: all that the server has acknowledged is in it."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import func, select

from mma_bench.errors import ConfigError
from mma_bench.files import atomic_path
from mma_bench.web.store import Store


def back_up(store: Store, out: Path) -> int:
    """Copy the database to a file of SQLite, for its owner alone.

    A plain copy of the file would lack the latest rows, which SQLite keeps in its write-ahead log for a while.

    Args:
        store: Open, also in a server that goes on.
        out: A new file.

    Returns:
        How many of the rows that people sent are in the copy.

    Raises:
        ConfigError: `out` exists or is a URL, or the database is not a file of SQLite.
    """
    if store.file is None:
        raise ConfigError(
            f"{store.where} is not a file of SQLite",
            hint="use the server's own back-up, e.g. `pg_dump --format=custom --file=FILE DATABASE` for PostgreSQL",
        )
    if re.match(r"\w+:/", str(out)):  # a folder named "https:" is hardly meant, and the rest may hold a password
        raise ConfigError(f"{out} is a URL, not a file", hint="name a new file")
    if out.exists():
        raise ConfigError(f"{out} exists already", hint="name a new file; an older back-up is not overwritten")
    with atomic_path(out) as staged:
        staged.touch(mode=0o600)
        with closing(sqlite3.connect(store.file)) as source, closing(sqlite3.connect(staged)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    kept = type(store)(f"sqlite:///{out}")
    try:
        with kept.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(store.records)).scalar_one())
    finally:
        kept.close()
