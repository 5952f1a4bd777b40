"""The rehearsal: clips that are what their answers say, asked of everybody, and kept apart from the real votes."""

import math
import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from mma_bench.builders.review import rehearsal
from mma_bench.builders.review.app import create_app
from mma_bench.builders.review.cli import review
from mma_bench.builders.review.export import votes_table
from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.rehearsal import FPS, SECONDS, blows_s, render
from mma_bench.builders.review.review_set import Item, active
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import Vote, record
from mma_bench.builders.verify import CRITERIA
from mma_bench.media import SAMPLE_RATE
from mma_bench.media.decode import audio, frames
from mma_bench.media.facts import media_facts
from mma_bench.schema import REVIEWS
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.gate import session_cookie
from tests.builders.review.conftest import PASSWORD, ROOT

THINGS = ("drum", "bell", "ball")


@pytest.fixture
def practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> list[Item]:
    """The rehearsal's items, in a folder without a build."""
    monkeypatch.chdir(tmp_path)
    return rehearsal.load(store)


def change(pictures: list[Any]) -> np.ndarray[Any, Any]:
    """Mean absolute difference of each two frames in a row, 0 to 255."""
    stack = np.stack(pictures).astype(np.int16)
    return np.abs(np.diff(stack, axis=0)).mean(axis=(1, 2, 3))


def onsets_s(sound: np.ndarray[Any, Any]) -> list[float]:
    """When it becomes loud, in steps of 10 ms."""
    step = SAMPLE_RATE // 100
    loud = np.abs(sound[: len(sound) // step * step]).reshape(-1, step).max(axis=1)
    before = [loud[max(0, number - 10) : number].max(initial=0) for number in range(len(loud))]
    return [number / 100 for number in range(len(loud)) if loud[number] > max(0.3, 2 * before[number])]


@pytest.mark.parametrize("thing", THINGS)
def test_what_is_right_moves_with_its_sound(thing: str) -> None:
    """Each blow is heard at the moment at which the motion turns, so the clip passes action dynamics."""
    pictures, sound = render(thing, "right")
    heard = onsets_s(sound)
    assert heard == pytest.approx(blows_s(thing), abs=0.011)
    assert len(heard) >= 3
    moved = change(pictures)
    assert moved.mean() > 1
    # After a blow the thing goes back the way it came: the frames around it are the same in reverse.
    for at in blows_s(thing)[:-1]:
        touch = round(at * FPS, 3)
        before, after = pictures[math.floor(touch - 3)], pictures[math.ceil(touch + 3)]
        assert np.abs(before.astype(int) - after.astype(int)).mean() < 1


@pytest.mark.parametrize("thing", THINGS)
def test_each_fault_is_the_only_one(thing: str) -> None:
    pictures, sound = render(thing, "right")
    still, same = render(thing, "still")
    assert change(still).max() == 0
    assert np.array_equal(same, sound)
    moving, music = render(thing, "music")
    assert all(map(np.array_equal, moving, pictures))
    alone = music - 0.25 * sound
    assert np.square(alone).mean() > 4 * np.square(0.25 * sound).mean()
    distant, heard = render(thing, "distant")
    assert np.array_equal(heard, sound)
    touched = np.ptp(np.stack(distant), axis=0).max(axis=-1) > 0
    assert 0 < touched.mean() < 0.005  # of the picture's area


def test_the_files_have_picture_and_sound_and_are_drawn_once(practice: list[Item], store: Store) -> None:
    assert len(practice) == 8
    assert sum(not item.failing for item in practice) == 3
    assert {item.failing for item in practice} == {fault for fault, _ in rehearsal.FAULTS.values()}
    for item in practice:
        facts = media_facts(Path(item.path))
        assert facts["duration_s"] == pytest.approx(SECONDS, abs=0.1)
        assert (facts["motion"] > 0.01) is ("action_dynamic" not in item.failing), item.clip_id
        assert len(frames(Path(item.path))) == SECONDS * FPS
        assert np.abs(audio(Path(item.path))).max() > 0.2
    drawn = {item.path: Path(item.path).stat().st_mtime_ns for item in practice}
    assert rehearsal.load(store) == practice
    assert {item.path: Path(item.path).stat().st_mtime_ns for item in practice} == drawn


def judge(store: Store, who: Annotator, item: Item, failing: tuple[str, ...]) -> None:
    answers: dict[str, Any] = {key: key not in failing for key in CRITERIA} | {"passed": not failing}
    vote = Vote(vote_id=secrets.token_hex(8), item=item.id, guideline_version=VERSION, **answers)
    record(store, who, vote, offered=frozenset({item.id}))


def opened(app: Any, store: Store, who: Annotator) -> TestClient:
    browser = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    browser.cookies.set(session_cookie("127.0.0.1"), accounts.open_session(store, who.id))
    browser.headers["X-Annotator"] = who.code
    return browser


def test_everybody_judges_everything_and_is_told_what_was_expected(store: Store, practice: list[Item]) -> None:
    app = create_app(store, practice, 1, rehearsing=True)
    anna, ben = (accounts.add_annotator(store, name, PASSWORD) for name in ("anna", "ben"))
    for item in practice:
        judge(store, anna, item, item.failing)
    browser = opened(app, store, ben)
    assert browser.get("/api/queue").json()["left"] == 8
    assert not any(item.clip_id in browser.get("/api/queue").text for item in practice)
    assert "8 of 8 as expected" in opened(app, store, anna).get("/votes").text
    assert "<h1>Rehearsal</h1>" in browser.get("/").text
    wrong = {item.clip_id: () if item.failing else ("action_dynamic",) for item in practice}
    wrong["rehearsal.ball.still"] = ("object_visible",)  # fails it, but for another reason
    for item in practice:
        judge(store, ben, item, wrong[item.clip_id])
    page = browser.get("/votes").text
    assert "0 of 8 as expected" in page
    told = re.findall(r'<td class="expected">(.*?)</td>', page)
    assert sum("pass, because" in row for row in told) == 3
    for item in practice:
        assert any(rehearsal.FAULTS[item.clip_id.rpartition(".")[2]][1] in row for row in told)


def test_a_real_review_tells_nothing_of_what_is_expected(
    store: Store, review_set: list[Item], people: dict[str, Annotator]
) -> None:
    for item in review_set:
        judge(store, people["anna"], item, ())
    page = opened(create_app(store, review_set, 2), store, people["anna"]).get("/votes").text
    assert page.count("<tr>") == 15
    assert "xpected" not in page


def test_accounts_are_the_real_ones_and_votes_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    real = Store()
    anna = accounts.add_annotator(real, "anna", PASSWORD)
    accounts.add_annotator(real, "third", PASSWORD, adjudicator=True)
    accounts.add_annotator(real, "olga", PASSWORD, organiser=True)
    served: list[int] = []

    def run(self: Any, sockets: Any) -> None:
        self.config.load()
        for name in ("anna", "third", "olga"):
            browser = TestClient(self.config.loaded_app, base_url="http://127.0.0.1", follow_redirects=False)
            entered = browser.post("/login", data={"name": name, "password": "new password" if served else PASSWORD})
            assert entered.status_code == 303, name
            home = browser.get("/")
            assert (home.status_code, home.headers.get("location")) == (
                (303, "/organiser") if name == "olga" else (200, None)
            )
            if name == "third":  # practises like everybody
                code = accounts.find_annotator(Store(rehearsal.URL), browser.cookies[session_cookie("127.0.0.1")])
                assert code is not None
                queue = browser.get("/api/queue", headers={"X-Annotator": code.code}).json()
                assert queue["left"] == 8
        served.append(1)

    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    arguments = ["serve", "--rehearsal", "--port", "0"]
    result = CliRunner().invoke(review, arguments, catch_exceptions=False)
    assert "3 clips that are right and 5 that are not" in result.output
    for name in ("anna", "third", "olga"):
        accounts.reset_password(real, name, "new password")
    CliRunner().invoke(review, arguments, catch_exceptions=False)
    assert len(served) == 2

    practice = Store(rehearsal.URL)
    judge(practice, anna, active(practice)[0], ())
    assert votes_table(practice)["annotator"].to_list() == [anna.code]
    assert votes_table(real).is_empty()
    assert votes_table(real).columns == list(REVIEWS)
    assert active(real) == []
    practice.close()
    real.close()
