"""What was acknowledged is in the copy: of `review backup` while votes come in, and of the file after a clean end."""

import json
import shutil
import sqlite3
import stat
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from mma_bench.builders.review.cli import review
from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.review_set import active
from mma_bench.builders.review.store import Store
from mma_bench.errors import ConfigError
from mma_bench.web import accounts
from mma_bench.web.backup import back_up
from mma_bench.web.gate import session_cookie


def vote_on_all(server: Any) -> int:
    """Judge every clip over HTTP as a new annotator; returns how many votes were acknowledged."""
    store = Store(server.database)
    who = accounts.add_annotator(store, "anna", "correct horse")
    cookie = session_cookie(urlsplit(server.url).netloc)
    headers = {"Cookie": f"{cookie}={accounts.open_session(store, who.id)}", "X-Annotator": who.code}
    chosen = active(store)
    store.close()
    answers = dict.fromkeys(("object_visible", "audio_pure", "action_dynamic", "passed"), True)
    for item in chosen:
        vote = {"vote_id": f"v-{item.id}", "item": item.id, "guideline_version": VERSION, **answers}
        request = urllib.request.Request(  # noqa: S310  (loopback)
            f"{server.url}/api/vote", json.dumps(vote).encode(), {**headers, "Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            assert json.load(answer) == {"recorded": True, "again": False}
    return len(chosen)


def votes_in(path: Path) -> int:
    """How many votes a program finds that knows nothing of a log beside the file."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as copy:
        return int(copy.execute("SELECT count(*) FROM votes").fetchone()[0])


@pytest.mark.slow
def test_a_back_up_made_while_people_vote_has_every_acknowledged_vote(server: Any, tmp_path: Path) -> None:
    acknowledged = vote_on_all(server)
    out = tmp_path / "copies/backup.db"
    result = CliRunner().invoke(review, ["backup", str(out), "--database", server.database])
    assert result.exit_code == 0, result.output
    assert f"{acknowledged} rows of votes" in result.output
    assert votes_in(out) == acknowledged
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(path.name for path in out.parent.iterdir()) == ["backup.db"]


@pytest.mark.slow
def test_after_sigterm_the_file_alone_has_every_acknowledged_vote(server: Any, tmp_path: Path) -> None:
    acknowledged = vote_on_all(server)
    server.close()  # SIGTERM
    assert server.process.returncode == 0
    shutil.copyfile(server.project / "annotations/review.db", tmp_path / "copy.db")
    assert votes_in(tmp_path / "copy.db") == acknowledged


def test_a_copy_of_the_file_alone_can_lack_votes(store: Store, review_set: Any, tmp_path: Path) -> None:
    """Why there is a command for it."""
    accounts.add_annotator(store, "anna", "correct horse")
    assert store.file is not None
    shutil.copyfile(store.file, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        tables = copy.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        assert not tables or copy.execute("SELECT count(*) FROM annotators").fetchone()[0] == 0


def test_no_file_is_overwritten(store: Store, tmp_path: Path) -> None:
    (tmp_path / "old.db").write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        back_up(store, tmp_path / "old.db")
    assert (tmp_path / "old.db").read_text() == "precious"


def test_of_a_server_its_own_program_makes_the_back_up(store: Store, tmp_path: Path) -> None:
    store.file = None
    with pytest.raises(ConfigError, match="not a file of SQLite") as refused:
        back_up(store, tmp_path / "copy.db")
    assert "pg_dump" in str(refused.value)


def test_the_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "review.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    store = Store(f"sqlite:///{path}")
    accounts.add_annotator(store, "anna", "correct horse")
    for each in tmp_path.iterdir():  # with its log and its index
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each.name
    assert len(list(tmp_path.iterdir())) == 3
    store.close()
