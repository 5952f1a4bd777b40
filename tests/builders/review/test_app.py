"""Who gets in, what is served, and what is refused."""

import html
import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from mma_bench.builders.review.guidelines import CRITERIA, VERSION
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store, votes
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.app import MAX_BODY
from mma_bench.web.gate import OPEN, session_cookie

Client = Callable[[str | None], TestClient]
PASSWORD = "correct horse"  # noqa: S105


def ballot(clip: Item, **changes: Any) -> dict[str, Any]:
    yes = {"object_visible": True, "audio_pure": True, "action_dynamic": True, "passed": True, "note": ""}
    return {"vote_id": secrets.token_hex(16), "item": clip.id, "guideline_version": VERSION, **yes, **changes}


def recorded(store: Store) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(votes)).scalar_one()


@pytest.mark.slow
def test_nothing_but_the_login_is_open(client: Client, review_set: list[Item], store: Store) -> None:
    nobody = client(None)
    app: Any = nobody.app
    paths = {route.path for route in app.routes} - OPEN | {f"/media/{review_set[0].id}", "/nowhere"}
    assert {"/", "/votes", "/desk", "/api/queue", "/api/vote", "/logout", "/static/{name}", "/organiser"} < paths
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert nobody.request(method, path).status_code == 401, path
    assert nobody.get("/", headers={"accept": "text/html"}).headers["location"] == "/login"
    assert nobody.post("/api/vote", json=ballot(review_set[0])).status_code == 401
    assert recorded(store) == 0


def test_an_annotator_sees_and_changes_only_their_own(
    client: Client, review_set: list[Item], people: dict[str, Annotator]
) -> None:
    anna, ben = client("anna"), client("ben")
    first = review_set[0]
    vote = ballot(first, audio_pure=False, passed=False, note="a car passes")
    assert anna.post("/api/vote", json=vote).json() == {"recorded": True, "again": False}
    seen = "".join(ben.get(path).text for path in ("/api/queue", "/", "/votes"))
    for secret in ("a car passes", people["anna"].code, "anna"):
        assert secret not in seen
    assert ben.get("/api/queue").json()["done"] == 0
    assert ben.post("/api/vote", json={**vote, "passed": True, "audio_pure": True}).json()["again"] is False
    assert ben.get("/api/queue").json()["done"] == 1


def shown_votes(browser: TestClient) -> list[list[str]]:
    """The rows of the page of one's own votes, without their time."""
    rows = re.findall("<tr>(.*?)</tr>", browser.get("/votes").text, re.DOTALL)[1:]
    return [re.findall("<td[^>]*>(.*?)</td>", row, re.DOTALL)[1:] for row in rows]


def test_the_page_of_votes_shows_ones_own_alone_latest_first(client: Client, review_set: list[Item]) -> None:
    anna, ben = client("anna"), client("ben")
    first, second = review_set[:2]
    anna.post("/api/vote", json=ballot(first, audio_pure=False, passed=False, note="a car passes"))
    anna.post("/api/vote", json=ballot(second))
    ben.post("/api/vote", json=ballot(first))
    names = [item.class_name.replace("_", " ") for item in (first, second)]
    assert shown_votes(anna) == [
        [names[1], "yes", "yes", "yes", "pass", ""],
        [names[0], "yes", "no", "yes", "fail", "a car passes"],
    ]
    assert shown_votes(ben) == [[names[0], "yes", "yes", "yes", "pass", ""]]
    page = anna.get("/votes").text
    assert VERSION in page
    assert all(html.escape(criterion.rule) in page for criterion in CRITERIA)
    withdrawal = {"vote_id": secrets.token_hex(16), "item": first.id, "guideline_version": VERSION}
    ben.post("/api/vote", json=withdrawal)
    assert shown_votes(ben) == []
    assert "You have not judged a clip yet" in ben.get("/votes").text
    assert (anna.get("/desk").status_code, anna.get("/desk").headers["location"]) == (308, "/votes")


def test_a_note_is_text_and_never_markup(client: Client, review_set: list[Item]) -> None:
    anna = client("anna")
    note = "<script>alert(1)</script> & <img src=x onerror=alert(1)>"
    anna.post("/api/vote", json=ballot(review_set[0], passed=False, note=note))
    page = anna.get("/votes").text
    assert "<script>" not in page  # the page has one of its own, by address
    assert "<img" not in page
    assert html.escape(note) in page


def test_a_page_of_one_annotator_does_not_vote_in_the_session_of_another(
    client: Client, review_set: list[Item], people: dict[str, Annotator], store: Store
) -> None:
    ben = client("ben")
    ben.headers["X-Annotator"] = people["anna"].code
    assert ben.post("/api/vote", json=ballot(review_set[0])).status_code == 409
    assert ben.get("/api/queue").status_code == 409
    assert recorded(store) == 0


def test_the_same_vote_counts_once(client: Client, review_set: list[Item], store: Store) -> None:
    anna, vote = client("anna"), ballot(review_set[0])
    assert [anna.post("/api/vote", json=vote).json()["again"] for _ in range(3)] == [False, True, True]
    changed = {**vote, "passed": False, "note": "no"}
    assert anna.post("/api/vote", json=changed).json()["again"] is True
    assert recorded(store) == 1
    assert anna.get("/api/queue").json()["latest"][-1]["answers"]["passed"] is True


def test_a_withdrawn_clip_comes_again(client: Client, review_set: list[Item]) -> None:
    anna = client("anna")
    anna.post("/api/vote", json=ballot(review_set[0]))
    assert review_set[0].id not in json.dumps(anna.get("/api/queue").json()["ahead"])
    withdrawal = {"vote_id": secrets.token_hex(16), "item": review_set[0].id, "guideline_version": VERSION}
    assert anna.post("/api/vote", json=withdrawal).status_code == 200
    queue = anna.get("/api/queue").json()
    assert review_set[0].id in json.dumps(queue["ahead"])
    assert (queue["done"], queue["left"]) == (0, 14)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"object_visible": False}, "a pass needs yes on all three"),
        ({"passed": False}, "a fail needs a no"),
        ({"audio_pure": None}, "all three criteria must be answered"),
        ({"passed": None}, "a withdrawal has no answers"),
        ({"passed": "yes"}, "valid boolean"),
        ({"item": "../../params.yaml"}, "pattern"),
        ({"item": "0" * 32}, "no longer in the review set"),
        ({"annotator": 1}, "not permitted"),
        ({"note": "x" * 2001}, "at most 2000"),
        ({"vote_id": "1"}, "pattern"),
    ],
)
def test_votes_that_make_no_sense_are_refused(
    client: Client, review_set: list[Item], store: Store, changes: dict[str, Any], complaint: str
) -> None:
    answer = client("anna").post("/api/vote", json=ballot(review_set[0], **changes))
    assert answer.status_code == 422
    assert complaint in answer.json()["error"]
    assert recorded(store) == 0


def test_media_are_served_by_known_id_alone_and_in_ranges(
    client: Client, review_set: list[Item], project: Path
) -> None:
    anna, item = client("anna"), review_set[0]
    content = (project / item.path).read_bytes()
    assert anna.get(f"/media/{item.id}").content == content
    part = anna.get(f"/media/{item.id}", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
    assert anna.get(f"/media/{item.id}", headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    for escape in ("../params.yaml", "..%2fparams.yaml", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", item.path):
        answer = anna.get(f"/media/{escape}")
        assert answer.status_code in (404, 405), escape
        assert b"workers" not in answer.content
    assert anna.get(f"/static/..%2f{Path(__file__).name}").status_code == 404


def test_oversized_bodies_are_refused_announced_or_not(client: Client, store: Store) -> None:
    anna = client("anna")

    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 1024 + 2):
            yield b" " * 1024

    json_type = {"content-type": "application/json"}
    assert anna.post("/api/vote", content=b" " * (MAX_BODY + 1), headers=json_type).status_code == 413
    assert anna.post("/api/vote", content=endless(), headers=json_type).status_code == 413
    assert client(None).post("/login", content=endless()).status_code == 413
    assert recorded(store) == 0


def test_requests_from_another_site_are_refused(client: Client, review_set: list[Item], store: Store) -> None:
    anna = client("anna")
    vote = ballot(review_set[0])
    assert anna.post("/api/vote", json=vote, headers={"Origin": "http://evil.example"}).status_code == 403
    assert anna.post("/api/vote", content=json.dumps(vote), headers={"content-type": "text/plain"}).status_code == 415
    assert client(None).post("/login", data={"name": "anna"}, headers={"Origin": "null"}).status_code == 403
    assert recorded(store) == 0
    assert anna.post("/api/vote", json=vote, headers={"Origin": "http://127.0.0.1"}).status_code == 200


def test_login_and_logout(client: Client) -> None:
    browser = client(None)
    wrong = browser.post("/login", data={"name": "anna", "password": "wrong"})
    unknown = browser.post("/login", data={"name": "nobody", "password": PASSWORD})
    assert (wrong.status_code, wrong.text) == (unknown.status_code, unknown.text) == (403, wrong.text)
    answer = browser.post("/login", data={"name": "Anna", "password": PASSWORD})
    assert answer.headers["location"] == "/"
    assert {"httponly", "samesite=strict"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert "secure" not in answer.headers["set-cookie"].lower()
    cookie = session_cookie("127.0.0.1")
    token = browser.cookies[cookie]
    assert browser.get("/").status_code == 200
    browser.post("/logout")
    browser.cookies.set(cookie, token)
    assert browser.get("/").status_code == 401
    assert browser.post("/login", content="&".join(["a=b"] * 9)).status_code == 400
    secure = TestClient(browser.app, base_url="https://127.0.0.1", follow_redirects=False)
    entered = secure.post("/login", data={"name": "anna", "password": PASSWORD})
    assert "secure" in entered.headers["set-cookie"].lower()


@pytest.mark.parametrize("end", ["logout", "password", "time"])
def test_the_cookie_of_a_session_that_ended_opens_nothing(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    browser, thief = client(None), client(None)
    browser.post("/login", data={"name": "anna", "password": PASSWORD})
    cookie = session_cookie("127.0.0.1")
    thief.cookies.set(cookie, browser.cookies[cookie])
    assert thief.get("/votes").status_code == 200
    if end == "logout":
        browser.post("/logout")
    elif end == "password":
        accounts.reset_password(store, "anna", "another password")
    else:
        later = accounts.now() + accounts.SESSION_S + 1
        monkeypatch.setattr(accounts, "now", lambda: later)
    for path in ("/", "/votes", "/api/queue"):
        assert thief.get(path).status_code == 401


def test_logins_are_limited(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = client(None)
    for _ in range(accounts.PER_NAME):
        assert browser.post("/login", data={"name": "anna", "password": "wrong"}).status_code == 403
    refused = browser.post("/login", data={"name": "anna", "password": PASSWORD})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= accounts.WINDOW_S
    assert browser.post("/login", data={"name": "ben", "password": PASSWORD}).status_code == 303
    later = accounts.now() + accounts.WINDOW_S + 1
    monkeypatch.setattr(accounts, "now", lambda: later)
    assert browser.post("/login", data={"name": "anna", "password": PASSWORD}).status_code == 303


def test_every_page_forbids_what_comes_from_elsewhere(client: Client) -> None:
    for browser, path in ((client(None), "/login"), (client("anna"), "/"), (client("anna"), "/votes")):
        policy = browser.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), path
        assert "http" not in policy
        assert "unsafe" not in policy
        assert "http" not in browser.get(path).text


def test_servers_on_one_host_leave_each_others_sessions_alone(client: Client) -> None:
    """A browser sends a host's cookies to all its ports."""
    app = client(None).app
    cookies: dict[str, str] = {}
    for port in (8000, 8001):
        browser = TestClient(app, base_url=f"http://127.0.0.1:{port}", cookies=cookies, follow_redirects=False)
        assert browser.post("/login", data={"name": "anna", "password": PASSWORD}).status_code == 303
        assert len(browser.cookies) == len(cookies) + 1
        cookies = dict(browser.cookies)
    last = TestClient(app, base_url="http://127.0.0.1:8001", cookies=cookies, follow_redirects=False)
    last.post("/logout")
    first = TestClient(app, base_url="http://127.0.0.1:8000", cookies=cookies, follow_redirects=False)
    assert first.get("/votes").status_code == 200
