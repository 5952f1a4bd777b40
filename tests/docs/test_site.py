"""The site builds without a warning, holds every page, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, DESKTOP, PHONE, chromium
from tests.docs.pages import PAGES, ROOT

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
def test_every_page_fits_a_phone_and_a_desktop(site: Path) -> None:
    wide = []
    with chromium() as browser:
        for width in (PHONE, DESKTOP):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.set_default_timeout(0)
            for path in sorted(site.glob("*.html")):
                page.goto(path.as_uri())
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    wide.append((path.name, width))
            page.close()
    assert wide == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_opened_as_a_file_it_can_be_searched_and_copies_commands_without_their_prompt(site: Path) -> None:
    asked: list[str] = []
    with chromium() as browser:
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
    assert copied == "mma-bench avhbench-compare results/avhbench results/avhbench-tuned"
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
