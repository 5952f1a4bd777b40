"""The browser in a real Chromium: filters, keys, addresses, what others wrote as text, on a phone, from a folder."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import CHROMIUM, chromium, misfits
from tests.evaluation.view.project import HOSTILE, make

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VIEW = "from mma_bench.cli import main; main()"
PLAYABLE = """() => new Promise((done) => {
  const video = document.querySelector("video");
  if (video.readyState >= 2) done();
  video.onloadeddata = done;
})"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("view"))


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    """The browser of two runs, served by the command; SIGTERM ends it cleanly."""
    command = [sys.executable, "-c", VIEW, "view", "one", "two", "--port", "0"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.send_signal(signal.SIGTERM)
    assert process.returncode in (0, -signal.SIGTERM)


def test_ctrl_c_is_how_it_ends(project: Path) -> None:
    command = [sys.executable, "-c", VIEW, "view", "one", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=project, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        urllib.request.urlopen(found[0]).close()  # noqa: S310 - of this machine
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 0
    assert errors == ""


@pytest.fixture(scope="module")
def folder(project: Path) -> str:
    """The same as a folder of files."""
    command = [sys.executable, "-c", VIEW, "view", "one", "two", "--out", "page"]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return (project / "page/index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as opened:
        yield opened


@pytest.fixture(params=["address", "folder"])
def page(browser: "Browser", request: pytest.FixtureRequest) -> Iterator["Page"]:
    """The page with all clips listed, served and from a folder; fails at the end if it asked another site."""
    url = request.getfixturevalue(request.param)
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(0)
    asked: list[str] = []
    context.on("request", lambda sent: asked.append(sent.url))
    opened = context.new_page()
    opened.goto(url)
    opened.wait_for_selector("#clips button")
    yield opened
    context.close()
    assert [each for each in asked if not each.startswith((url.removesuffix("index.html"), "data:"))] == []


def listed(page: "Page") -> list[str]:
    return [text.split(" · ")[-1] for text in page.locator("#clips small").all_inner_texts()]


def test_filters_find_kinds_of_mistakes_and_what_two_runs_differ_in(page: "Page") -> None:
    assert len(listed(page)) == 6
    page.select_option('[name="kind"]', "other modality")
    assert listed(page) == ["a.misaligned", "b.misaligned", "c.misaligned"]
    page.select_option('[name="run"]', "1")
    assert listed(page) == []
    page.click('button[type="reset"]')
    page.wait_for_selector("#clips li:nth-child(6)")
    page.select_option('[name="compare"]', "second")
    assert listed(page) == ["a.misaligned", "b.misaligned", "c.misaligned"]
    page.select_option('[name="question"]', "visual")
    assert listed(page) == []
    page.click('button[type="reset"]')
    page.wait_for_selector("#clips li:nth-child(6)")
    page.fill('[name="text"]', "b.ali")
    assert listed(page) == ["b.aligned"]
    assert page.inner_text("#found") == "1 clip of 6"
    page.fill('[name="text"]', "")
    page.select_option('[name="class"]', "Bird")
    assert len(listed(page)) == 3
    page.select_option('[name="condition"]', "aligned")
    assert listed(page) == []


def test_a_clip_plays_beside_its_prompts_and_both_runs_answers_as_text(page: "Page") -> None:
    page.click("text=b.misaligned")
    page.wait_for_selector(".answer")
    page.evaluate(PLAYABLE)
    assert page.inner_text("article h2") == "b.misaligned"
    assert "Which class best describes the audio content" in page.inner_text("#prompts")
    boxes = page.locator(".answer").all_inner_texts()
    assert [box.splitlines()[0] for box in boxes] == ["Run 1: one", "Run 2: two"] * 2
    assert HOSTILE in "".join(boxes)
    assert page.locator("article img, article script").count() == 0
    assert page.title() == "Clips and answers · mma-bench"


def test_keys_step_and_the_address_leads_back_to_the_clip_and_the_filters(page: "Page") -> None:
    page.select_option('[name="condition"]', "misaligned")
    page.locator("h1").click()  # the keys are for the page, not for a field
    for key in "jjjk":
        page.keyboard.press(key)
    page.wait_for_selector(".answer")
    assert page.inner_text("article h2") == "b.misaligned"
    page.reload()
    page.wait_for_selector(".answer")
    assert page.inner_text("article h2") == "b.misaligned"
    assert len(listed(page)) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_window_and_is_accessible(page: "Page", width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.set_viewport_size({"width": width, "height": 860})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.click("text=c.misaligned")
    page.wait_for_selector(".answer")
    assert misfits(page) == []
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
