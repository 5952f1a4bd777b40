"""The site builds without a warning, holds every page, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT
from tests.evaluation.pages import CHROMIUM

pytestmark = pytest.mark.slow
REPORT = ROOT / "results/specialist/report.html"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr.strip()
    return folder


def test_the_site_has_every_page_and_asks_nothing_of_the_network(site: Path) -> None:
    made = {path.stem for path in site.glob("*.html")}
    assert {"index" if page.stem == "README" else page.stem.lower() for page in PAGES} <= made
    assert ("Both senses right" in (site / "sample-report.html").read_text()) == REPORT.is_file()
    for path in site.glob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)", path.read_text())
        assert not loaded, f"{path.name} loads {loaded[0]}"
    assert 'href="files/sample/LICENSES.html"' in (site / "index.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_opened_as_a_file_it_can_be_searched_and_copies_commands_without_their_prompt(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=0
        )
        context = browser.new_context()
        context.set_default_timeout(0)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto((site / "evaluate.html").as_uri())
        page.click("label.md-search__icon, .md-search__input")
        page.keyboard.type("tombstone")
        page.wait_for_selector(".md-search-result__item a[href*='glossary.html']", state="attached")
        block = page.locator("div.highlight", has_text="mma-bench avhbench-compare").first
        copied = block.locator("code").evaluate(
            "code => { code.setAttribute('data-md-copying', ''); return code.innerText.trim(); }"
        )
        browser.close()
    assert copied == "mma-bench avhbench-compare results/avhbench results/avhbench-tuned"
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
