"""A small build with its review set, an app to ask in process, a server to kill, and a browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from mma_bench.builders.review.app import create_app
from mma_bench.builders.review.review_set import Item, load
from mma_bench.builders.review.store import Store
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.gate import session_cookie

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).parents[3]
PASSWORD = "correct horse"  # noqa: S105
CHROMIUM = shutil.which("chromium")
REVIEW = "from mma_bench.builders.review.cli import review; review()"


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of 64 MiB are the library's promise, and no use to these tests."""
    monkeypatch.setattr(accounts, "_HASHER", accounts.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    accounts._decoy_hash.cache_clear()


@pytest.fixture
def project(build: Path) -> Path:
    """A small build of 12 clips, with params.yaml; the current folder."""
    (build / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    return build


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("mma_bench.web.store._BUSY_S", 1800.0)  # many writers on a slow machine
    opened = Store(f"sqlite:///{tmp_path / 'review.db'}")
    yield opened
    opened.close()


@pytest.fixture
def review_set(project: Path, store: Store) -> list[Item]:
    """12 clips and 2 controls."""
    return load(store, 0.05)


@pytest.fixture
def people(store: Store) -> dict[str, Annotator]:
    return {name: accounts.add_annotator(store, name, PASSWORD) for name in ("anna", "ben")}


Client = Callable[[str | None], TestClient]


@pytest.fixture
def client(store: Store, review_set: list[Item], people: dict[str, Annotator]) -> Client:
    """A browser, logged in as somebody or nobody."""
    app = create_app(store, review_set, 2)

    def opened(name: str | None) -> TestClient:
        browser = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
        if name is not None:
            browser.cookies.set(session_cookie("127.0.0.1"), accounts.open_session(store, people[name].id))
            browser.headers["X-Annotator"] = people[name].code
        return browser

    return opened


class Server:
    """`mma-bench review serve` as a process of its own, on one port."""

    def __init__(self, project: Path, *options: str) -> None:
        self.project, self.options = project, options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.database = f"sqlite:///{project / 'annotations/review.db'}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Returns when connections are accepted."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", REVIEW, "serve", "--port", str(self.port), *self.options],
            cwd=self.project,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if re.match("http://", line):
                return
        pytest.fail("the server ended before it served")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    """A server of one's own, to be killed."""
    running = Server(project)
    yield running
    running.close()


@pytest.fixture(scope="module")
def shared_server(make_build: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that leave it alone."""
    project = tmp_path_factory.mktemp("shared")
    make_build(project)
    (project / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    running = Server(project)
    yield running
    running.close()


def known(database: str, *names: str) -> dict[str, str]:
    """Make accounts; name → anonymous id."""
    store = Store(database)
    made = {name: accounts.add_annotator(store, name, PASSWORD).code for name in names}
    store.close()
    return made


def shown(page: "Page") -> str:
    """The item that is being judged."""
    item = page.get_attribute("body", "data-item")
    assert item is not None
    return item


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=0)
        yield opened
        opened.close()


Enter = Callable[..., "Page"]


@pytest.fixture
def enter(browser: "Browser") -> Iterator[Enter]:
    """Opens a browser of its own, logged in by keyboard; fails at the end if a page asked another site for anything."""
    contexts: list[BrowserContext] = []
    asked: list[tuple[str, str]] = []

    def opened(server: Any, name: str, width: int = 1280, height: int = 860) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(0)  # however slow the machine
        contexts.append(context)
        context.on("request", lambda request: asked.append((server.url, request.url)))
        page = context.new_page()
        page.goto(server.url)
        page.wait_for_selector("#name:focus")
        page.keyboard.type(name)
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-item]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [url for own, url in asked if not url.startswith((own, "data:", "blob:"))] == []
