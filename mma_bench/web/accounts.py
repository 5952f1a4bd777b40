"""Annotators' accounts: hashed passwords, sessions that can be ended, and a limit on failed logins.

Each session is a row, and the browser holds its random token. Starlette's `SessionMiddleware` would keep the session in
a signed cookie, which stays valid until it expires: ending it at logout or with a new password takes a table like this
one, and a token that is looked up in a table needs no signature. The signing key would have to be stored as well, and
whoever got a copy of the database could forge sessions with it; the hashes of tokens are of no use to them.

Each failed login is a row too, so the limit survives a restart and is shared by all servers on one database. The
package `limits` keeps its counts in memory, Redis, Memcached or MongoDB only. Its moving window also cannot take back
one hit, as is needed here: an attempt counts as failed before its password is checked, until that was right.
"""

import hashlib
import re
import secrets
import threading
from dataclasses import dataclass
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.web.store import Store, annotators, attempts, now, organisers, sessions

SESSION_S: Final = 12 * 3600.0
WINDOW_S: Final = 300.0
PER_NAME: Final = 5  # failed logins within the window
PER_ADDRESS: Final = 50  # a team may share one
PASSWORD_LENGTHS: Final = (8, 128)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASHER = PasswordHasher()  # argon2id with the library's parameters
_HASHING = threading.BoundedSemaphore(4)  # each takes 64 MiB


class LoginRefusedError(MmaBenchError):
    """A wrong name or password; which of them is not said."""


class TooManyAttemptsError(MmaBenchError):
    """Too many failed logins; `retry_s` seconds must pass."""

    def __init__(self, retry_s: int) -> None:
        super().__init__(f"too many failed logins; try again in {retry_s} s")
        self.retry_s = retry_s


@dataclass(frozen=True)
class Annotator:
    """Someone with an account; `code` is the anonymous id in exported tables.

    An organiser sees everybody's votes, and therefore judges no clip.
    """

    id: int
    name: str
    code: str
    adjudicator: bool
    organiser: bool = False


def add_annotator(
    store: Store, name: str, password: str, *, adjudicator: bool = False, organiser: bool = False
) -> Annotator:
    """Make an account.

    Raises:
        ConfigError: The name is taken or has other characters, or the password is too short or too long.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r} is not an annotator's name", hint="use at most 64 letters, digits, '.', '_', '-' or '@'"
        )
    code = f"a-{secrets.token_hex(4)}"
    row = {"name": name.casefold(), "code": code, "password_hash": _hash_new(password), "adjudicator": adjudicator}
    try:
        with store.writing() as connection:
            number = connection.execute(insert(annotators).values(row).returning(annotators.c.id)).scalar_one()
            if organiser:
                connection.execute(insert(organisers).values(annotator=number))
    except IntegrityError:
        raise ConfigError(
            f"an annotator named {name!r} already exists",
            hint="choose another name, or set a new password with --reset",
        ) from None
    return Annotator(number, name.casefold(), code, adjudicator, organiser)


def reset_password(store: Store, name: str, password: str) -> None:
    """Set a new password and end the annotator's sessions.

    Raises:
        ConfigError: No such annotator, or the password is too short or too long.
    """
    hashed = _hash_new(password)
    with store.writing() as connection:
        number = connection.execute(select(annotators.c.id).where(annotators.c.name == name.casefold())).scalar()
        if number is None:
            raise ConfigError(f"there is no annotator named {name!r}", hint="`mma-bench review status` lists them")
        connection.execute(update(annotators).where(annotators.c.id == number).values(password_hash=hashed))
        connection.execute(delete(sessions).where(sessions.c.annotator == number))


def copy_accounts(source: Store, target: Store) -> None:
    """Let everybody who can log in at `source` log in at `target`, where adjudicators are annotators like others."""
    with source.reading() as connection:
        rows = connection.execute(select(annotators, organisers.c.annotator).outerjoin(organisers)).all()
    with target.writing() as connection:
        known = {row.name: row.id for row in connection.execute(select(annotators.c.name, annotators.c.id))}
        for row in rows:
            fresh = {"code": row.code, "password_hash": row.password_hash, "adjudicator": False}
            if row.name in known:
                connection.execute(update(annotators).where(annotators.c.id == known[row.name]).values(fresh))
                continue
            added = insert(annotators).values(name=row.name, **fresh).returning(annotators.c.id)
            number = connection.execute(added).scalar_one()
            if row.annotator is not None:
                connection.execute(insert(organisers).values(annotator=number))


def log_in(store: Store, name: str, password: str, address: str, *, session_s: float = SESSION_S) -> str:
    """Check a password and open a session.

    Args:
        address: The client's, which is limited as well as the name.

    Returns:
        The session's token, which only the browser keeps.

    Raises:
        LoginRefusedError: Wrong name or password.
        TooManyAttemptsError: The password was not checked.
    """
    name = name[:64].casefold()
    begun = _begin_attempt(store, {_subject("name", name): PER_NAME, _subject("address", address): PER_ADDRESS})
    with store.reading() as connection:
        row = connection.execute(select(annotators).where(annotators.c.name == name)).one_or_none()
    hashed = row.password_hash if row is not None else _decoy_hash()
    if not _matches(hashed, password[: PASSWORD_LENGTHS[1] + 1]) or row is None:
        raise LoginRefusedError("wrong name or password")
    with store.writing() as connection:
        connection.execute(delete(attempts).where(attempts.c.id.in_(begun)))
    return open_session(store, row.id, session_s=session_s)


def open_session(store: Store, annotator: int, *, session_s: float = SESSION_S) -> str:
    """Open a session for an annotator's number; returns its token. Sessions that have expired are removed."""
    token = secrets.token_urlsafe(32)
    row = {"token_sha256": _sha256(token), "annotator": annotator, "expires": now() + session_s}
    with store.writing() as connection:
        connection.execute(delete(sessions).where(sessions.c.expires <= now()))
        connection.execute(insert(sessions).values(row))
    return token


def find_annotator(store: Store, token: str) -> Annotator | None:
    """The annotator of a session's token; None if there is no such session or it has expired."""
    role = organisers.c.annotator.is_not(None)
    chosen = select(annotators.c.id, annotators.c.name, annotators.c.code, annotators.c.adjudicator, role)
    matching = (sessions.c.token_sha256 == _sha256(token)) & (sessions.c.expires > now())
    with store.reading() as connection:
        row = connection.execute(chosen.join(sessions).outerjoin(organisers).where(matching)).one_or_none()
    return Annotator(*row) if row is not None else None


def log_out(store: Store, token: str) -> None:
    """End a session."""
    with store.writing() as connection:
        connection.execute(delete(sessions).where(sessions.c.token_sha256 == _sha256(token)))


def _begin_attempt(store: Store, limits: dict[str, int]) -> list[int]:
    """Count an attempt as failed until it has succeeded, so that many at once cannot slip past the limit."""
    begun = now()
    with store.writing() as connection:
        # One at a time: SQLite has one writer, other databases wait for this row (SQLite ignores FOR UPDATE).
        connection.execute(select(annotators.c.id).order_by(annotators.c.id).limit(1).with_for_update(key_share=True))
        connection.execute(delete(attempts).where(attempts.c.at <= begun - WINDOW_S))
        for subject, limit in limits.items():
            _refuse_if_full(connection, subject, limit, begun)
        return [
            connection.execute(insert(attempts).values(subject=subject, at=begun).returning(attempts.c.id)).scalar_one()
            for subject in limits
        ]


def _refuse_if_full(connection: Connection, subject: str, limit: int, begun: float) -> None:
    counted = select(func.count(), func.min(attempts.c.at)).where(attempts.c.subject == subject)
    failed, first = connection.execute(counted).one()
    if failed >= limit:
        raise TooManyAttemptsError(max(1, round(first + WINDOW_S - begun)))


def _hash_new(password: str) -> str:
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest:
        raise ConfigError("the password cannot be used", hint=f"choose one of {shortest} to {longest} characters")
    return _hash(password)


def _hash(password: str) -> str:
    with _HASHING:
        return _HASHER.hash(password)


def _matches(hashed: str, password: str) -> bool:
    try:
        with _HASHING:
            return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _decoy_hash() -> str:
    """A hash that takes as long to check as a real one, so that the time taken does not tell which names exist."""
    return _hash(secrets.token_hex(16))


def _subject(kind: str, value: str) -> str:
    """A hash: an unknown name may be a password typed into the wrong field, so names are not stored in plain text."""
    return _sha256(f"{kind}:{value}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
