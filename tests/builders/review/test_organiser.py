"""The organiser's pages: what they show, and that nobody else sees them."""

import html
import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import inspect

from mma_bench.builders.review import organiser
from mma_bench.builders.review.consensus import reliability
from mma_bench.builders.review.export import votes_table
from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import Vote, record
from mma_bench.stats import format_estimate, interval
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.store import organisers
from tests.builders.review.conftest import PASSWORD

Client = Callable[[str | None], TestClient]


def cast(store: Store, who: Annotator, item: Item, *, passed: bool, note: str = "why") -> None:
    answers = {"object_visible": passed, "audio_pure": passed, "action_dynamic": True, "passed": passed, "note": note}
    vote = Vote(vote_id=secrets.token_hex(8), item=item.id, guideline_version=VERSION, **answers)
    record(store, who, vote, offered=frozenset({item.id}))


@pytest.fixture
def olga(store: Store, people: dict[str, Annotator], client: Client) -> TestClient:
    people["olga"] = accounts.add_annotator(store, "olga", PASSWORD, organiser=True)
    return client("olga")


def text(page: str) -> str:
    """What is read on a page, words apart by one space."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())


@pytest.mark.parametrize("path", ["/organiser", "/organiser/", "/organiser/clips/{clip}", "/organiser/new"])
def test_only_an_organiser_gets_in(
    store: Store, people: dict[str, Annotator], client: Client, olga: TestClient, review_set: list[Item], path: str
) -> None:
    path = path.format(clip=review_set[0].id)
    people["carla"] = accounts.add_annotator(store, "carla", PASSWORD, adjudicator=True)
    assert client(None).get(path).status_code == 401
    for name in ("anna", "carla"):
        refused = client(name).get(path)
        assert (refused.status_code, refused.json()) == (403, {"error": "this page is for the organiser"})
    assert olga.get(path).status_code == (404 if path.endswith("new") else 307 if path.endswith("/") else 200)


def test_an_organiser_judges_nothing(store: Store, olga: TestClient, review_set: list[Item]) -> None:
    assert olga.get("/").headers["location"] == "/organiser"
    answers = dict.fromkeys(("object_visible", "audio_pure", "action_dynamic", "passed"), True)
    vote = {"vote_id": "v" * 16, "item": review_set[0].id, "guideline_version": VERSION, **answers}
    assert olga.post("/api/vote", json=vote).status_code == 403
    assert olga.get("/api/queue").status_code == 403
    assert votes_table(store).is_empty()


def test_it_shows_progress_agreement_split_votes_and_missed_controls_as_they_are_now(
    store: Store, people: dict[str, Annotator], olga: TestClient, review_set: list[Item]
) -> None:
    before = text(olga.get("/organiser").text)
    assert "0 of 12 clips judged by enough people" in before
    assert "No clip has been judged by two people yet" in before
    assert "Split votes (0) None. Missed controls (0) None." in before
    clips = [item for item in review_set if not item.failing]
    controls = [item for item in review_set if item.failing]
    for item in clips:
        cast(store, people["anna"], item, passed=item != clips[2])
    for number, item in enumerate(clips[:4]):
        cast(store, people["ben"], item, passed=number != 0)
    for item in controls:
        cast(store, people["anna"], item, passed=item == controls[0])
    page = olga.get("/organiser").text
    found = text(page)
    assert "4 of 12 clips judged by enough people 2 passed by all 0 failed by all 2 split" in found
    assert "anna 12 of 12 2 of 2 1" in found
    assert "ben 4 of 12 0 of 2 0" in found
    assert "olga 0 of" not in found
    verdict = next(row for row in reliability(votes_table(store)) if row.criterion == "passed")
    alpha = interval({"kappa": verdict.alpha, "low": verdict.low, "high": verdict.high})
    assert f"Verdict 4 {format_estimate(verdict.percent)} {alpha}" in found
    links = re.findall(r'href="/organiser/clips/(\w+)"', page)
    assert sorted(links[:2]) == sorted([clips[0].id, clips[2].id])
    assert links[2:] == [controls[0].id]
    due = ", ".join(
        {"object_visible": "object visibility", "audio_pure": "audio purity"}[key] for key in controls[0].failing
    )
    assert f"anna: {controls[0].class_name}: {controls[0].clip_id} , should be no: {due}" in found
    cast(store, people["ben"], clips[2], passed=False)
    assert "1 failed by all 1 split" in text(olga.get("/organiser").text)


def test_a_clip_shows_who_voted_what(
    store: Store, people: dict[str, Annotator], olga: TestClient, review_set: list[Item]
) -> None:
    item, other = review_set[:2]
    cast(store, people["anna"], item, passed=True, note="")
    cast(store, people["ben"], item, passed=False, note="<b>a car</b>")
    cast(store, people["ben"], other, passed=False, note="of another clip")
    page = olga.get(f"/organiser/clips/{item.id}").text
    rows = re.findall("<tr>(.*?)</tr>", page, re.DOTALL)[1:]
    cells = [[text(cell).strip() for cell in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]
    assert sorted(row[:6] for row in cells) == [
        ["anna", "yes", "yes", "yes", "pass", ""],
        ["ben", "no", "no", "yes", "fail", "<b>a car</b>"],
    ]
    assert html.escape("<b>a car</b>") in page
    assert f'src="/media/{item.id}"' in page
    assert olga.get(f"/media/{item.id}").status_code == 200
    assert olga.get(f"/organiser/clips/{'0' * 32}").status_code == 404
    policy = olga.get("/organiser").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")


def test_the_status_is_computed_again_only_when_something_is_new(
    store: Store,
    people: dict[str, Annotator],
    olga: TestClient,
    review_set: list[Item],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[Any] = []
    compute = organiser.status
    monkeypatch.setattr(organiser, "status", lambda *given: computed.append(given) or compute(*given))
    for _ in range(3):
        olga.get("/organiser")
    assert len(computed) == 1
    cast(store, people["anna"], review_set[0], passed=True)
    olga.get("/organiser")
    assert len(computed) == 2
    accounts.add_annotator(store, "new", PASSWORD)
    assert "new" in olga.get("/organiser").text


def test_a_database_from_before_there_were_organisers_is_opened(store: Store, people: dict[str, Annotator]) -> None:
    with store.writing() as connection:
        organisers.drop(connection)
    again = Store(f"sqlite:///{store.file}")
    assert inspect(again.engine).has_table("organisers")
    found = accounts.find_annotator(again, accounts.open_session(again, people["anna"].id))
    assert found == people["anna"]
    again.close()
