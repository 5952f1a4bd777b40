"""Annotators' accounts: hashed passwords, sessions that expire, and logins that cannot be guessed at speed."""

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

from mma_bench.builders.review.store import Store, annotators, attempts, now, sessions
from mma_bench.errors import ConfigError, MmaBenchError

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
    """Who is logged in; `code` is the anonymous id."""

    id: int
    name: str
    code: str
    adjudicator: bool


def add_annotator(store: Store, name: str, password: str, *, adjudicator: bool = False) -> Annotator:
    """Make an account.

    Raises:
        ConfigError: The name is taken or has other characters, or the password is too short or too long.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r} is not an annotator's name", hint="use at most 64 letters, digits, '.', '_', '-' or '@'"
        )
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest:
        raise ConfigError("the password cannot be used", hint=f"choose one of {shortest} to {longest} characters")
    code = f"a-{secrets.token_hex(4)}"
    row = {"name": name.casefold(), "code": code, "password_hash": _hash(password), "adjudicator": adjudicator}
    try:
        with store.writing() as connection:
            number = connection.execute(insert(annotators).values(row).returning(annotators.c.id)).scalar_one()
    except IntegrityError:
        raise ConfigError(
            f"there is an annotator {name!r} already", hint="choose another name, or --reset the password"
        ) from None
    return Annotator(number, name.casefold(), code, adjudicator)


def reset_password(store: Store, name: str, password: str) -> None:
    """Set another password and end the annotator's sessions.

    Raises:
        ConfigError: No such annotator, or the password is too short or too long.
    """
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest:
        raise ConfigError("the password cannot be used", hint=f"choose one of {shortest} to {longest} characters")
    hashed = _hash(password)
    with store.writing() as connection:
        number = connection.execute(select(annotators.c.id).where(annotators.c.name == name.casefold())).scalar()
        if number is None:
            raise ConfigError(f"there is no annotator {name!r}", hint="`mma-bench review status` lists them")
        connection.execute(update(annotators).where(annotators.c.id == number).values(password_hash=hashed))
        connection.execute(delete(sessions).where(sessions.c.annotator == number))


def log_in(store: Store, name: str, password: str, address: str, *, session_s: float = SESSION_S) -> str:
    """Check a password and open a session.

    Args:
        address: The client's, which is limited as well as the name.

    Returns:
        The session's token, which only the browser keeps.

    Raises:
        LoginRefusedError: Wrong name or password.
        TooManyAttemptsError: Neither was looked at.
    """
    name = name[:64].casefold()
    attempt = _begin_attempt(store, {_subject("name", name): PER_NAME, _subject("address", address): PER_ADDRESS})
    with store.reading() as connection:
        row = connection.execute(select(annotators).where(annotators.c.name == name)).one_or_none()
    hashed = row.password_hash if row is not None else _unknown()
    if not _matches(hashed, password[: PASSWORD_LENGTHS[1] + 1]) or row is None:
        raise LoginRefusedError("wrong name or password")
    with store.writing() as connection:
        connection.execute(delete(attempts).where(attempts.c.id.in_(attempt)))
    return open_session(store, row.id, session_s=session_s)


def open_session(store: Store, annotator: int, *, session_s: float = SESSION_S) -> str:
    """Open a session for an annotator's number; returns its token. Sessions that have expired are removed."""
    token = secrets.token_urlsafe(32)
    row = {"token_sha256": _sha256(token), "annotator": annotator, "expires": now() + session_s}
    with store.writing() as connection:
        connection.execute(delete(sessions).where(sessions.c.expires <= now()))
        connection.execute(insert(sessions).values(row))
    return token


def who(store: Store, token: str) -> Annotator | None:
    """Whose session a token opens; None if it has expired or is none."""
    chosen = select(annotators.c.id, annotators.c.name, annotators.c.code, annotators.c.adjudicator)
    matching = (sessions.c.token_sha256 == _sha256(token)) & (sessions.c.expires > now())
    with store.reading() as connection:
        row = connection.execute(chosen.join(sessions).where(matching)).one_or_none()
    return Annotator(*row) if row is not None else None


def log_out(store: Store, token: str) -> None:
    """End a session."""
    with store.writing() as connection:
        connection.execute(delete(sessions).where(sessions.c.token_sha256 == _sha256(token)))


def _begin_attempt(store: Store, limits: dict[str, int]) -> list[int]:
    """Count an attempt as failed until it has succeeded, so that many at once cannot slip past the limit."""
    begun = now()
    with store.writing() as connection:
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
def _unknown() -> str:
    """A hash that takes as long to check as a real one, so that time does not tell which names exist."""
    return _hash(secrets.token_hex(16))


def _subject(kind: str, value: str) -> str:
    """A name that nobody has may be a password typed into the wrong field, so none is kept in clear."""
    return _sha256(f"{kind}:{value}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
