"""Nothing is lost or overwritten: many at once, another build, another database."""

import contextlib
import secrets
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.dialects import postgresql

from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.review_set import Item, active, put
from mma_bench.builders.review.store import Store, votes
from mma_bench.builders.review.votes import Vote, current, record
from mma_bench.errors import ConfigError, DataError
from mma_bench.redact import redacted
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator

PASSWORD = "correct horse"  # noqa: S105


def vote_on(item: Item, vote_id: str | None = None) -> Vote:
    answers = {"object_visible": True, "audio_pure": True, "action_dynamic": True, "passed": True}
    return Vote(vote_id=vote_id or secrets.token_hex(16), item=item.id, guideline_version=VERSION, **answers)


@pytest.mark.slow
def test_fifty_people_at_once_lose_no_vote_and_repeats_count_once(store: Store, review_set: list[Item]) -> None:
    people = [accounts.add_annotator(store, f"p{number}", PASSWORD) for number in range(50)]
    offered = frozenset(item.id for item in review_set)
    together = threading.Barrier(len(people))

    def judge(who: Annotator) -> int:
        together.wait()
        new = 0
        for item in review_set:
            vote = vote_on(item)
            new += sum(record(store, who, vote, offered=offered) for _ in range(2))
        return new

    with ThreadPoolExecutor(len(people)) as pool:
        counted = sum(pool.map(judge, people))
    with store.reading() as connection:
        kept = connection.execute(select(func.count()).select_from(votes)).scalar_one()
    assert counted == kept == len(people) * len(review_set)


def test_a_reader_sees_one_state_while_others_write(store: Store, review_set: list[Item]) -> None:
    anna = accounts.add_annotator(store, "anna", PASSWORD)
    offered = frozenset(item.id for item in review_set)
    with store.reading() as connection:
        assert connection.execute(current()).all() == []
        assert record(store, anna, vote_on(review_set[0]), offered=offered)  # does not wait for the reader
        assert connection.execute(current()).all() == []
    with store.reading() as connection:
        assert len(connection.execute(current()).all()) == 1


def test_a_late_repeat_does_not_overwrite_a_change_of_mind(store: Store, review_set: list[Item]) -> None:
    anna = accounts.add_annotator(store, "anna", PASSWORD)
    item, offered = review_set[0], frozenset({review_set[0].id})
    early = vote_on(item)
    record(store, anna, early, offered=offered)
    changed = Vote(**{**vote_on(item).model_dump(), "passed": False, "note": "on second thoughts"})
    record(store, anna, changed, offered=offered)
    record(store, anna, early, offered=offered)
    with store.reading() as connection:
        (kept,) = connection.execute(current())
    assert (kept.passed, kept.note) == (False, "on second thoughts")


def test_votes_on_clips_that_left_the_build_stay_but_do_not_count(store: Store, review_set: list[Item]) -> None:
    anna = accounts.add_annotator(store, "anna", PASSWORD)
    offered = frozenset(item.id for item in review_set)
    for item in review_set:
        record(store, anna, vote_on(item), offered=offered)
    put(store, review_set[1:])
    assert active(store) == review_set[1:]
    with store.reading() as connection:
        assert {vote.item for vote in connection.execute(current())} == {item.id for item in review_set[1:]}
    put(store, review_set)
    with store.reading() as connection:
        assert len(connection.execute(current()).all()) == len(review_set)


def test_what_is_no_kind_of_database_needs_no_driver_and_the_example_is_not_hidden() -> None:
    with pytest.raises(ConfigError, match=r"there is no kind of database 'nonsense'\n  hint: write sqlite:///FILE or"):
        Store("nonsense://host/x")
    with pytest.raises(ConfigError) as raised:
        Store("reviews.db")
    assert redacted(str(raised.value)) == str(raised.value)
    assert "USER:PASSWORD@" in str(raised.value)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("reviews.db", "cannot be read"),
        ("nonsense://user:hidden-word@host/x", "nonsense"),
        ("sqlite:////proc/none/review.db", "none"),
        ("postgresql+nodriver://user:hidden-word@127.0.0.1:1/x", "nodriver"),
    ],
)
def test_urls_that_cannot_be_used_are_named_without_their_password(url: str, complaint: str) -> None:
    with pytest.raises((ConfigError, OSError)) as raised:
        Store(url)
    assert complaint in str(raised.value)
    assert "hidden-word" not in str(raised.value)


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE votes (serial INTEGER)")
    with pytest.raises(DataError, match="votes has no column"):
        Store(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("votes",)]
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(f"sqlite:///{path}")


def test_a_copy_of_the_database_opens_no_session_and_shows_no_password(store: Store) -> None:
    anna = accounts.add_annotator(store, "anna", PASSWORD)
    token = accounts.log_in(store, "anna", PASSWORD, "")
    assert accounts.find_annotator(store, token) == anna
    with contextlib.closing(sqlite3.connect(str(store.engine.url.database))) as copy:
        dump = "\n".join(copy.iterdump())
    assert token not in dump
    assert PASSWORD not in dump
    assert "$argon2id$" in dump


def test_sessions_expire_and_end_with_another_password(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = accounts.add_annotator(store, "anna", PASSWORD)
    token = accounts.open_session(store, anna.id, session_s=60)
    assert accounts.find_annotator(store, token) == anna
    later = accounts.now() + 61
    with monkeypatch.context() as clock:
        clock.setattr(accounts, "now", lambda: later)
        assert accounts.find_annotator(store, token) is None
    accounts.reset_password(store, "anna", "another password")
    assert accounts.find_annotator(store, token) is None
    with pytest.raises(accounts.LoginRefusedError):
        accounts.log_in(store, "anna", PASSWORD, "")
    assert accounts.find_annotator(store, accounts.log_in(store, "anna", "another password", "")) == anna


def test_many_guesses_at_once_do_not_slip_past_the_limit(store: Store) -> None:
    accounts.add_annotator(store, "anna", PASSWORD)

    def guess(number: int) -> str:
        try:
            accounts.log_in(store, "anna", f"guess {number}", f"address {number}")
        except (accounts.LoginRefusedError, accounts.TooManyAttemptsError) as error:
            return type(error).__name__
        return "in"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(guess, range(20)))
    assert outcomes.count("LoginRefusedError") == accounts.PER_NAME
    assert outcomes.count("TooManyAttemptsError") == 20 - accounts.PER_NAME


def guesses(store: Store, count: int, *, name: str, address: str) -> list[str]:
    """What became of guesses at a password; `{}` in the name or address is the guess's number."""
    outcomes = []
    for number in range(count):
        try:
            accounts.log_in(store, name.format(number), "a guess", address.format(number))
        except (accounts.LoginRefusedError, accounts.TooManyAttemptsError) as error:
            outcomes.append(type(error).__name__)
    return outcomes


@pytest.mark.parametrize(
    ("name", "address", "limit"), [("anna", "address {}", accounts.PER_NAME), ("name {}", "here", accounts.PER_ADDRESS)]
)
def test_a_name_and_an_address_are_limited_across_restarts_and_servers(
    store: Store, tmp_path: Path, name: str, address: str, limit: int
) -> None:
    accounts.add_annotator(store, "anna", PASSWORD)
    assert set(guesses(store, limit - 1, name=name, address=address)) == {"LoginRefusedError"}
    another = Store(f"sqlite:///{tmp_path / 'review.db'}")
    assert guesses(another, 2, name=name, address=address) == ["LoginRefusedError", "TooManyAttemptsError"]
    another.close()
    assert guesses(store, 1, name=name, address=address) == ["TooManyAttemptsError"]
    with pytest.raises(accounts.TooManyAttemptsError):  # the right password is not looked at either
        accounts.log_in(store, "anna", PASSWORD, address)


def test_logins_that_succeed_use_up_no_attempts(store: Store) -> None:
    anna = accounts.add_annotator(store, "anna", PASSWORD)
    for _ in range(accounts.PER_NAME + 1):
        assert accounts.find_annotator(store, accounts.log_in(store, "anna", PASSWORD, "here")) == anna
    guesses(store, accounts.PER_NAME - 1, name="anna", address="here")
    accounts.log_in(store, "anna", PASSWORD, "here")  # and forgive no failed ones
    assert guesses(store, 2, name="anna", address="here") == ["LoginRefusedError", "TooManyAttemptsError"]


def test_on_postgresql_attempts_are_counted_one_after_another(store: Store) -> None:
    """Counting first and inserting then, several at once would each see too few attempts of the others."""
    accounts.add_annotator(store, "anna", PASSWORD)
    statements: list[str] = []

    @event.listens_for(store.engine, "before_execute")
    def _recorded(_: Any, statement: Any, *others: Any) -> None:
        statements.append(str(statement.compile(dialect=postgresql.dialect())))

    guesses(store, 1, name="anna", address="here")
    assert statements[0].startswith("SELECT annotators.id")
    assert statements[0].endswith("FOR NO KEY UPDATE")


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x" * 65, "é", "a\n"])
def test_names_that_cannot_be_used(store: Store, name: str) -> None:
    with pytest.raises(ConfigError, match="is not an annotator's name"):
        accounts.add_annotator(store, name, PASSWORD)


def test_accounts_are_unique_and_passwords_long_enough(store: Store) -> None:
    first = accounts.add_annotator(store, "Anna", PASSWORD)
    with pytest.raises(ConfigError, match="an annotator named 'anna' already exists"):
        accounts.add_annotator(store, "anna", PASSWORD)
    with pytest.raises(ConfigError, match="password cannot be used"):
        accounts.add_annotator(store, "ben", "short")
    with pytest.raises(ConfigError, match="no annotator named 'ben'"):
        accounts.reset_password(store, "ben", PASSWORD)
    assert "anna" not in first.code
