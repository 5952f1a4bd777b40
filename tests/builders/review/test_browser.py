"""Two people judge all clips by keyboard in a real Chromium, while servers and pages die under them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from mma_bench.builders.review.export import votes_table
from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.review_set import Item, active
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import current
from mma_bench.builders.verify import CRITERIA
from mma_bench.schema import REVIEWS
from mma_bench.tables import read_table
from mma_bench.web import accounts
from mma_bench.web.gate import session_cookie
from tests.browser import misfits
from tests.builders.review.conftest import CHROMIUM, PASSWORD, REVIEW, Enter, known, shown

if TYPE_CHECKING:
    from playwright.sync_api import Page

PEOPLE = ("anna", "ben")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]


def opinion(name: str, item: Item) -> tuple[bool, bool, bool]:
    """A simulated person: both see what controls lack, Ben hears noise in one class, neither likes another."""
    if item.failing:
        return ("object_visible" not in item.failing, False, True)
    if item.class_name == "Cattle":
        return (True, True, False)
    return (True, not (name == "ben" and item.class_name == "Horse"), True)


def press_until(page: "Page", key: int, name: str, *, yes: bool) -> None:
    """Press a criterion's key until it says so: at most yes, no, yes."""
    wanted = f'input[name="{name}"][value="{"yes" if yes else "no"}"]'
    for _ in range(2):
        if not page.is_checked(wanted):
            page.keyboard.press(str(key))
    assert page.is_checked(wanted)


def judge(page: "Page", name: str, items: dict[str, Item]) -> None:
    """Judge the clip that is shown, by keyboard, whatever is filled in already."""
    clip = shown(page)
    answers = opinion(name, items[clip])
    for key, (criterion, yes) in enumerate(zip(CRITERIA, answers, strict=True), 1):
        press_until(page, key, criterion, yes=yes)
    page.keyboard.press("m")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    if not all(answers):
        page.keyboard.type(f"{name} on {items[clip].class_name}, p f u n 1")
    page.keyboard.press("Escape")
    page.keyboard.press("p" if all(answers) else "f")
    page.wait_for_selector(f'body:not([data-item="{clip}"])')


def judge_all(page: "Page", name: str, items: dict[str, Item]) -> None:
    while page.get_attribute("body", "data-item") is not None:
        judge(page, name, items)
    page.wait_for_selector("text=You have judged all clips")
    page.wait_for_selector("text=All votes are saved")


def cookie(page: "Page") -> str:
    """The session's token."""
    name = session_cookie(urlsplit(page.url).netloc)
    return next(kept["value"] for kept in page.context.cookies() if kept["name"] == name)


def test_two_people_judge_everything_while_the_server_and_a_page_die(project: Path, server: Any, enter: Enter) -> None:
    codes = known(server.database, *PEOPLE)
    store = Store(server.database)
    items = {item.id: item for item in active(store)}
    store.close()
    assert len(items) == 14
    pages = {name: enter(server, name) for name in PEOPLE}
    for _ in range(3):  # in turn: neither waits for the other
        for name, page in pages.items():
            judge(page, name, items)

    # How long it will take is judged by how long it took, which is the machine's affair.
    assert re.fullmatch(r"3 of 14(, about \d+ (min|h) left)?", pages["ben"].text_content("#count") or "")
    anna = pages["anna"]
    away = shown(anna)
    anna.keyboard.press("1")
    anna.keyboard.press("2")
    server.kill()  # in the middle of a vote
    anna.keyboard.press("3")
    anna.keyboard.press("m")
    anna.keyboard.type("while you were away")
    anna.keyboard.press("Escape")
    anna.keyboard.press("p")
    anna.wait_for_selector("text=1 vote not sent yet, kept in this browser")
    half = shown(anna)  # the next clip plays on without a server
    anna.keyboard.press("1")
    anna.keyboard.press("1")
    context = anna.context
    anna.close()  # and the page dies in the middle of a vote
    server.start()

    anna = context.new_page()
    anna.goto(server.url)
    anna.wait_for_selector(f'body[data-item="{half}"]')
    assert anna.is_checked('input[name="object_visible"][value="no"]')
    anna.wait_for_selector("text=All votes are saved")
    anna.keyboard.press("u")  # back to the vote that was cast without a server
    anna.wait_for_selector(f'body[data-item="{away}"]')
    assert anna.input_value("#note") == "while you were away"
    anna.keyboard.press("n")  # later
    anna.wait_for_selector(f'body[data-item="{half}"]')
    judge_all(anna, "anna", items)
    judge_all(pages["ben"], "ben", items)

    command = [sys.executable, "-c", REVIEW, "export"]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    table = read_table(project / "reviews/reviews.parquet", REVIEWS)
    assert table.height == 28
    expected = {
        (item.clip_id, codes[name]): (*opinion(name, item), all(opinion(name, item)), bool(item.failing))
        for item in items.values()
        for name in PEOPLE
    }
    said = ("clip_id", "annotator", "object_visible", "audio_pure", "action_dynamic", "passed", "is_control")
    assert {row[:2]: row[2:] for row in table.select(said).iter_rows()} == expected
    for row in table.filter(~pl.col("passed")).iter_rows(named=True):
        assert row["note"].split()[0] == {code: name for name, code in codes.items()}[row["annotator"]]
        assert row["note"].endswith(", p f u n 1")
    assert set(table["guideline_version"]) == {VERSION}
    report = json.loads((project / "reviews/reviews.json").read_text())
    assert report["decisions"] == {"failed_review": 3, "ok": 6, "split_vote": 3}
    assert [row["caught"] for row in report["attention"]] == [2, 2]


def test_the_next_clip_is_there_before_it_is_needed_and_this_one_loops(shared_server: Any, enter: Enter) -> None:
    known(shared_server.database, "carla")
    page = enter(shared_server, "carla")
    playing, waiting = page.locator("video:not([hidden])"), page.locator("video[hidden]")
    assert playing.get_attribute("src") == f"/media/{shown(page)}"
    assert playing.evaluate("video => video.loop && !video.muted")
    coming = waiting.get_attribute("data-item")
    waiting.evaluate("video => video.readyState >= 4 || new Promise(done => video.oncanplaythrough = done)")
    page.context.set_offline(True)
    page.keyboard.press("n")
    page.wait_for_selector(f'body[data-item="{coming}"]')
    moves = "video => new Promise(done => video.ontimeupdate = () => video.currentTime > 0 && done())"
    playing.evaluate(moves)
    page.keyboard.press(" ")
    assert playing.evaluate("video => video.paused")
    for key in "123p":
        page.keyboard.press(key)
    page.wait_for_selector("text=1 vote not sent yet, kept in this browser.")
    page.context.set_offline(False)
    page.wait_for_selector("text=All votes are saved")


def test_two_tabs_of_one_annotator_do_no_harm(shared_server: Any, enter: Enter) -> None:
    known(shared_server.database, "dora")
    first = enter(shared_server, "dora")
    second = first.context.new_page()
    second.goto(shared_server.url)
    second.wait_for_selector("body[data-item]")
    clip = shown(first)
    assert shown(second) == clip
    coming = second.locator("video[hidden]").get_attribute("data-item")
    for key in "123p123p":  # the second of them is what the other tab has next
        first.keyboard.press(key)
    first.wait_for_selector("text=All votes are saved")
    for key in "1232f":
        second.keyboard.press(key)
    second.wait_for_selector(f'body:not([data-item="{clip}"])')
    assert shown(second) != coming
    second.wait_for_selector("text=All votes are saved")
    store = Store(shared_server.database)
    dora = accounts.find_annotator(store, cookie(first))
    assert dora is not None
    with store.reading() as connection:
        cast = {vote.item: vote.passed for vote in connection.execute(current(dora.id))}
    store.close()
    assert cast == {clip: False, coming: True}  # one each, the last word counts


def test_votes_wait_for_the_right_person_when_the_login_ends(shared_server: Any, enter: Enter) -> None:
    codes = known(shared_server.database, "eva", "fred")
    page = enter(shared_server, "eva")
    store = Store(shared_server.database)
    accounts.log_out(store, cookie(page))
    for key in "123p":
        page.keyboard.press(key)
    page.wait_for_selector("text=Your session has expired. 1 vote in this browser will be sent after you log in.")
    for name in ("fred", "eva"):
        page.goto(f"{shared_server.url}/login")
        page.fill("#name", name)
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=All votes are saved")
        votes = votes_table(store)
        assert votes.filter(pl.col("annotator") == codes["fred"]).is_empty()
        assert votes.filter(pl.col("annotator") == codes["eva"]).height == (name == "eva")
        page.click("text=Log out")
    store.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 860), (390, 844)])
def test_pages_fit_and_are_accessible(shared_server: Any, enter: Enter, width: int, height: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    known(shared_server.database, f"grace-{width}")
    page = enter(shared_server, f"grace-{width}", width, height)
    for key in "122m":
        page.keyboard.press(key)
    page.keyboard.type("a car passes, " * 20 + "x" * 200)
    page.keyboard.press("Escape")
    for key in "3f123p":
        page.keyboard.press(key)
    page.wait_for_selector("text=All votes are saved")
    page.reload()  # the focus is at the page's start again
    page.wait_for_selector("body[data-item]")
    page.keyboard.press("1")
    order = []
    for _ in range(13):
        page.keyboard.press("Tab")
        order.append(page.evaluate("() => document.activeElement.name || document.activeElement.id"))
    assert [name for name in order if name in CRITERIA] == list(CRITERIA)
    clip = shown(page)
    store = Store(shared_server.database)
    olga = accounts.add_annotator(store, f"olga-{width}", PASSWORD, organiser=True)
    name = session_cookie(urlsplit(shared_server.url).netloc)
    organising = {"name": name, "value": accounts.open_session(store, olga.id), "url": shared_server.url}
    store.close()
    pages = {
        "/": "body[data-item]",
        "/votes": "td.verdict",
        "/organiser": ".tiles",
        f"/organiser/clips/{clip}": "video",
        "/login": "#password",
    }
    for path, ready in pages.items():
        if path == "/organiser":
            page.context.add_cookies([organising])  # type: ignore[list-item]
        if path == "/login":
            page.context.clear_cookies()
        page.goto(shared_server.url + path)
        page.wait_for_selector(ready)
        assert misfits(page) == [], path
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            violations = Axe().run(page).response["violations"]
            serious = [found for found in violations if found["impact"] in ("serious", "critical")]
            found_in = [(found["id"], [node["html"] for node in found["nodes"]]) for found in serious]
            assert found_in == [], (path, scheme)
