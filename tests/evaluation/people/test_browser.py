"""A person answers everything by keyboard in a real Chromium, while the server dies and the page is loaded anew."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mma_bench.evaluation.people.answers import given_by
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import design_of, items_of
from mma_bench.web import accounts
from tests.evaluation.people.conftest import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]


class Server:
    """`mma-bench review --task answer serve` as a process of its own, on one port."""

    def __init__(self, dataset: Path, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self.database = folder, f"sqlite:///{folder / 'people.db'}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.options = ["--dataset", str(dataset), "--conditions", "aligned,misaligned", "--limit", "3"]
        self.start()

    def start(self) -> None:
        """Returns when connections are accepted."""
        code = "from mma_bench.cli import main; main()"
        words = ["review", "--task", "answer", "serve", "--port", str(self.port), "--database", self.database]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words, *self.options],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if not any(re.match("http://", line) for line in self.process.stdout):
            pytest.fail("the server ended before it served")

    def kill(self) -> None:
        self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def server(dataset: Path, tmp_path: Path) -> Iterator[Server]:
    running = Server(dataset, tmp_path)
    yield running
    running.kill()


@pytest.fixture
def page(server: Server) -> Iterator["Page"]:
    from playwright.sync_api import sync_playwright

    store = Store(server.database)
    accounts.add_annotator(store, "anna", PASSWORD)
    store.close()
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=0)
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        context.set_default_timeout(0)  # however slow the machine
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        opened = context.new_page()
        opened.goto(server.url)
        opened.wait_for_selector("#name:focus")
        for text, key in (("anna", "Tab"), (PASSWORD, "Enter")):
            opened.keyboard.type(text)
            opened.keyboard.press(key)
        opened.wait_for_selector("body[data-item]")
        yield opened
        browser.close()
    assert [url for url in asked if not url.startswith((server.url, "data:"))] == []


def answer(page: "Page", key: str = "2") -> str:
    """Answer with the option of a key; returns the item."""
    page.wait_for_selector("body[data-item]")
    item = page.get_attribute("body", "data-item")
    assert item is not None
    page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector(f'body:not([data-item="{item}"])')
    return item


def test_everything_is_answered_by_keyboard_while_the_server_and_the_page_die(server: Server, page: "Page") -> None:
    assert "Which class best describes" in page.inner_text("#before")
    assert page.locator("#search").is_hidden()  # four options need no search
    page.keyboard.press("Enter")
    assert page.inner_text("#message") == "Choose an option first."
    chosen = {answer(page): "Cat", answer(page, "3"): "Rain"}
    server.kill()
    chosen[answer(page, "1")] = "Bird"
    page.wait_for_selector("#saved.waiting")
    server.start()
    page.wait_for_selector("#saved:has-text('All answers are saved')")
    page.reload()
    page.wait_for_selector("body[data-item]")
    assert page.inner_text("#count") == "3 of 12"
    last = list(chosen)[-1]
    page.click("#back")
    page.wait_for_selector(f'body[data-item="{last}"]')
    assert page.is_checked('input[value="Bird"]')
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    chosen[last] = "Bowed_string_instrument"
    while page.wait_for_selector("body[data-item], #done:not([hidden])").get_attribute("id") != "done":
        chosen[answer(page)] = "Cat"
    page.wait_for_selector("text=You have answered all questions")
    page.wait_for_selector("#saved:has-text('All answers are saved')")
    store = Store(server.database)
    anna = accounts.find_annotator(store, page.context.cookies()[0]["value"])
    assert anna is not None
    given = given_by(store, anna.id)
    assert {item: each.option for item, each in given.items()} == chosen
    assert given.keys() == {item.id for item in items_of(design_of(store))}
    assert all(0 < each.seconds < 86_400 for each in given.values())
    store.close()


def test_long_lists_of_options_are_searched(server: Server, page: "Page") -> None:
    names = [f"Class_{number:02}" for number in range(40)]

    def longer(route: "object") -> None:
        answer = route.fetch()  # type: ignore[attr-defined]
        queue = answer.json()
        queue["ahead"] = [{**asked, "options": [*names, *asked["options"]]} for asked in queue["ahead"]]
        route.fulfill(response=answer, body=json.dumps(queue))  # type: ignore[attr-defined]

    page.route("**/api/queue*", longer)
    page.reload()
    page.wait_for_selector("#search:focus")
    item = page.get_attribute("body", "data-item")
    page.keyboard.type("string")
    assert page.locator("#options label:visible").count() == 1
    page.keyboard.press("Enter")
    assert page.is_checked('input[value="Bowed_string_instrument"]')
    assert page.get_attribute("body", "data-item") == item
    page.keyboard.press("Control+a")
    page.keyboard.type("xyz")
    assert page.is_visible("#none")
    page.keyboard.press("Enter")  # what is filtered out is not chosen
    assert page.inner_text("#message") == "Choose an option first."
    page.keyboard.press("Control+a")
    page.keyboard.type("cat")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'body:not([data-item="{item}"])')
    page.wait_for_selector("#saved:has-text('All answers are saved')")


@pytest.mark.parametrize(("width", "height"), [(1280, 860), (390, 844)])
def test_clip_and_answer_are_on_the_screen_together(page: "Page", width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_selector("#options label")
    for part in ("video", "#before", "#answer"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height + 1, part
