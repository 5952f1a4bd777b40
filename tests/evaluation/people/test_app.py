"""Questions, answers and clips over HTTP."""

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import select

from mma_bench.evaluation.people.answers import given_by
from mma_bench.evaluation.people.store import Store, answers
from mma_bench.evaluation.people.study import Item
from mma_bench.web.accounts import Annotator
from tests.evaluation.packaged import media_of
from tests.evaluation.people.conftest import Client, answer_all


def sent(item: str, option: str = "Bird", number: int = 0, **others: Any) -> dict[str, Any]:
    return {"answer_id": f"answer-{number:012}", "item": item, "option": option, "seconds": 1.5, **others}


def test_nobody_is_asked_who_is_not_logged_in(client: Client, items: dict[str, Item]) -> None:
    for path in ("/", "/api/queue", f"/media/{next(iter(items))}", "/organiser"):
        assert client(None).get(path).status_code == 401, path
    page = client("anna").get("/")
    assert page.status_code == 200
    assert "Answer questions" in page.text


def test_a_person_is_told_what_a_model_is_told_and_nothing_else(client: Client, items: dict[str, Item]) -> None:
    queue = client("anna").get("/api/queue").json()
    assert (queue["done"], queue["left"], len(queue["ahead"])) == (0, len(items), 20)
    for asked in queue["ahead"]:
        assert asked.keys() == {"item", "before", "after", "options"}
    told = json.dumps(queue)
    for secret in ("misaligned", "aligned", "donor", "expected", "control"):
        assert secret not in told


def test_answers_are_kept_at_once_and_the_queue_goes_on_from_there(
    client: Client, store: Store, people: dict[str, Annotator]
) -> None:
    anna = client("anna")
    first, second = anna.get("/api/queue").json()["ahead"][:2]
    assert anna.post("/api/answer", json=sent(first["item"])).json() == {"recorded": True, "again": False}
    assert anna.post("/api/answer", json=sent(first["item"])).json() == {"recorded": True, "again": True}
    queue = client("anna").get("/api/queue").json()
    assert queue["ahead"][0] == second
    assert queue["done"] == 1
    assert queue["latest"] == [{**first, "option": "Bird"}]
    assert client("ben").get("/api/queue").json()["done"] == 0
    assert given_by(store, people["anna"].id)[first["item"]].seconds == 1.5


def test_the_last_answer_counts_and_the_others_stay_on_record(
    client: Client, store: Store, people: dict[str, Annotator]
) -> None:
    anna = client("anna")
    item = anna.get("/api/queue").json()["ahead"][0]["item"]
    for number, option in enumerate(("Bird", "Cat")):
        assert anna.post("/api/answer", json=sent(item, option, number)).status_code == 200
    assert given_by(store, people["anna"].id)[item].option == "Cat"
    with store.reading() as connection:
        assert list(connection.execute(select(answers.c.option)).scalars()) == ["Bird", "Cat"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"option": "Dog"}, "not one of the options"),
        ({"option": "None of the above"}, "not one of the options"),
        ({"item": "0" * 32}, "no longer asked"),
        ({"item": "../../etc"}, "pattern"),
        ({"seconds": -1.0}, "greater than or equal to 0"),
        ({"seconds": "soon"}, "valid number"),
        ({"name": "anna"}, "Extra inputs"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(client: Client, change: dict[str, Any], words: str) -> None:
    anna = client("anna")
    item = anna.get("/api/queue").json()["ahead"][0]["item"]
    refused = anna.post("/api/answer", json={**sent(item), **change})
    assert refused.status_code == 422
    assert words in refused.json()["error"]
    assert anna.get("/api/queue").json()["done"] == 0


def test_a_page_that_another_person_opened_is_refused(client: Client, people: dict[str, Annotator]) -> None:
    anna = client("anna")
    item = anna.get("/api/queue").json()["ahead"][0]["item"]
    assert anna.post("/api/answer", json=sent(item), headers={"X-Annotator": people["ben"].code}).status_code == 409
    assert anna.post("/api/answer", content=b"{}").status_code == 415
    assert anna.post("/api/answer", json=sent(item), headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_clip_of_a_question_is_served_to_the_byte(client: Client, items: dict[str, Item]) -> None:
    anna = client("anna")
    for item in list(items.values())[:3]:
        got = anna.get(f"/media/{item.id}")
        assert hashlib.sha256(got.content).digest() == hashlib.sha256(media_of(item.base)).digest()
    assert anna.get("/media/" + "0" * 32).status_code == 404


def test_how_often_a_clip_was_met_before_is_recorded(
    store: Store, people: dict[str, Annotator], items: dict[str, Item]
) -> None:
    answer_all(store, people["anna"], items, lambda item: item.options[0])
    given = given_by(store, people["anna"].id)
    before: list[Item] = []
    for item in items.values():
        met = [each for each in before if {each.base, each.donor} & {item.base, item.donor}]
        assert given[item.id].seen_before == len(met)
        before.append(item)


def test_the_organiser_sees_progress_and_agreement_and_answers_nothing(
    client: Client, store: Store, people: dict[str, Annotator], items: dict[str, Item]
) -> None:
    olga = client("olga")
    assert olga.get("/").headers["location"] == "/organiser"
    assert olga.get("/api/queue").status_code == 403
    assert client("anna").get("/organiser").status_code == 403
    assert "0 of 2" in olga.get("/organiser").text
    answer_all(store, people["anna"], items, lambda item: item.expected, seconds=3.0)
    answer_all(store, people["ben"], items, lambda item: item.options[0], seconds=5.0)
    page = olga.get("/organiser").text
    assert "2 of 2" in page
    assert "3.0" in page
    assert people["anna"].code in page
    assert "misaligned" in page
    assert "olga" in page


def test_a_clip_that_was_altered_is_not_shown(
    client: Client, items: dict[str, Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mma_bench.evaluation.dataset.packet_sha256", lambda *_: "0" * 64)
    refused = client("anna").get(f"/media/{next(iter(items))}")
    assert refused.status_code == 500
    assert "is not the clip that its row describes" in refused.json()["error"]
