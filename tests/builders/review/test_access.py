"""Under which names the server answers, whose address it believes, and that no header breaks it."""

import json
import sqlite3
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mma_bench.builders.review.app import create_app
from mma_bench.builders.review.cli import review
from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.review_set import Item, active
from mma_bench.builders.review.store import Store
from mma_bench.web import accounts
from mma_bench.web.gate import host_of, serves, session_cookie

Client = Callable[[str | None], TestClient]


@pytest.mark.parametrize(
    ("host", "reached", "answered"),
    [
        ("127.0.0.1:8600", "127.0.0.1", True),
        ("localhost:8600", "127.0.0.1", True),
        ("[::1]:8600", "::1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("10.0.0.7:8600", "10.0.0.7", True),
        ("10.0.0.7:8600", "::ffff:10.0.0.7", True),
        ("review.example.org", "127.0.0.1", True),
        ("evil.example:8600", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("localhost:8600", "10.0.0.7", False),
        ("10.0.0.8", "10.0.0.7", False),
        ("user@evil.example:127.0.0.1", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("[::1", "::1", False),
        ("127.0.0.1:port", "127.0.0.1", False),
    ],
)
def test_only_names_of_this_server_are_answered(host: str, reached: str, answered: bool) -> None:
    assert serves(host_of(host), reached, frozenset({"review.example.org"})) is answered


def test_a_name_that_leads_here_from_another_site_gets_nothing(client: Client) -> None:
    refused = client("anna").get("/api/queue", headers={"Host": "evil.example"})
    assert refused.status_code == 421
    assert "--public-host" in refused.json()["error"]


def test_a_public_name_is_answered_once_it_is_named(store: Store, review_set: list[Item]) -> None:
    browser = TestClient(create_app(store, review_set, 2, hosts=["Review.example.org"]), base_url="http://127.0.0.1")
    assert browser.get("/login", headers={"Host": "review.example.org"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://[::1", "http://[", "null", "http://a b", "\\", "http://127.0.0.1:99999999"])
def test_malformed_origins_are_refused(client: Client, origin: str) -> None:
    answer = client("anna").post("/api/vote", json={}, headers={"Origin": origin})
    assert answer.status_code == 403


@pytest.mark.parametrize("network", ["proxy", "10.0.0.0/33", "*", ""])
def test_a_proxy_is_named_by_its_address(network: str) -> None:
    result = CliRunner().invoke(review, ["serve", "--trusted-proxy", network])
    assert result.exit_code == 2
    assert "write it as 10.0.0.7" in result.output


@pytest.mark.parametrize(("proxies", "address"), [((), "127.0.0.1"), (("127.0.0.1",), "10.9.9.9")])
def test_the_forwarded_address_is_believed_from_named_proxies_only(
    store: Store, project: Any, monkeypatch: pytest.MonkeyPatch, proxies: tuple[str, ...], address: str
) -> None:
    """The client before the last proxy that is not named counts, whatever it says about others before it."""
    from mma_bench.builders.review import serve as serving

    seen: list[str] = []
    monkeypatch.setattr(
        "mma_bench.web.accounts._begin_attempt",
        lambda store, limits: seen.append(str(sorted(limits))) or [],
    )
    monkeypatch.setattr("mma_bench.web.accounts._subject", lambda kind, value: f"{kind}:{value}")

    def run(self: Any, sockets: Any) -> None:
        self.config.load()
        browser = TestClient(self.config.loaded_app, base_url="http://127.0.0.1", client=("127.0.0.1", 5))
        headers = {"X-Forwarded-For": "1.2.3.4, 10.9.9.9"}
        browser.post("/login", data={"name": "anna", "password": "wrong"}, headers=headers)

    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    serving.serve(
        store, 2, "127.0.0.1", 0, controls=0.0, adjudicate=False, session_s=60.0, public_hosts=(), proxies=proxies
    )
    assert seen == [str(sorted([f"address:{address}", "name:anna"]))]


@pytest.mark.slow
def test_a_program_that_holds_the_database_stops_no_reader_and_no_vote_is_lost(server: Any) -> None:
    store = Store(server.database)
    who = accounts.add_annotator(store, "anna", "correct horse")
    token = accounts.open_session(store, who.id)
    headers = {"Cookie": f"{session_cookie(urlsplit(server.url).netloc)}={token}", "X-Annotator": who.code}
    clip = active(store)[0].id
    vote = {"vote_id": "v" * 16, "item": clip, "guideline_version": VERSION, "passed": True}
    vote |= dict.fromkeys(("object_visible", "audio_pure", "action_dynamic"), True)

    def ask(path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310  (loopback)
            f"{server.url}{path}", body, {**headers, "Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return bytes(answer.read())

    assert store.file is not None
    with ThreadPoolExecutor(60) as pool, closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = [pool.submit(ask, "/api/vote", json.dumps(vote).encode()) for _ in range(60)]
        for path in ("/", "/votes", "/api/queue", f"/media/{clip}"):
            assert ask(path), path
        other.execute("ROLLBACK")
        told = [json.loads(each.result()) for each in waiting]
    assert sorted(each["again"] for each in told) == [False, *[True] * 59]
    assert json.loads(ask("/api/queue"))["done"] == 1
    store.close()


def test_a_writer_that_waits_in_vain_is_told_to_come_again(
    review_set: list[Item], people: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.file is not None
    token = accounts.open_session(store, people["anna"].id)
    monkeypatch.setattr("mma_bench.web.store._BUSY_S", 0.05)
    hasty = Store(f"sqlite:///{store.file}")
    kept = {session_cookie("127.0.0.1"): token}
    anna = TestClient(create_app(hasty, review_set, 2), base_url="http://127.0.0.1", cookies=kept)
    anna.headers["X-Annotator"] = people["anna"].code
    vote = {"vote_id": "v" * 16, "item": review_set[0].id, "guideline_version": VERSION, "passed": True}
    vote |= dict.fromkeys(("object_visible", "audio_pure", "action_dynamic"), True)
    with closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = anna.post("/api/vote", json=vote)
        assert (told.status_code, told.headers["Retry-After"]) == (503, "5")
        assert "another program holds" in told.json()["error"]
        other.execute("ROLLBACK")
    assert anna.post("/api/vote", json=vote).status_code == 200
    hasty.close()
