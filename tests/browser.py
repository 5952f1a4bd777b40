"""Looks at a page in Chromium as wide as a phone and a desktop, light and dark, and says what is wrong with it."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM: Final = shutil.which("chromium")
PHONE, DESKTOP = 390, 1280
# Tables may be wider than a phone, and scroll; on a desktop they fit, and charts and their labels fit everywhere.
_MISFITS: Final = """(phone) => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const width = document.documentElement.clientWidth;
  const seen = (element) => element.getClientRects().length > 0;
  const found = [];
  const whole = document.documentElement.scrollWidth;
  if (whole > width) found.push(`the page is ${whole} wide`);
  for (const element of document.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (seen(element) && !element.closest(".scroll, svg") && (box.right > width + 1 || box.left < -1))
      found.push(`outside of the window: ${element.outerHTML.slice(0, 100)}`);
  }
  for (const box of document.querySelectorAll(".scroll")) {
    const chart = box.querySelector("svg"), over = box.scrollWidth - box.clientWidth;
    if (over > 1 && chart) found.push(`out of sight by ${over}: chart ${chart.getAttribute("aria-label")}`);
    if (over > 1 && !chart && !phone) found.push(`out of sight by ${over}: table ${box.innerText.split("\\n", 1)[0]}`);
  }
  for (const chart of document.querySelectorAll("svg[role=img]")) {
    const frame = chart.getBoundingClientRect();
    for (const text of seen(chart) ? chart.querySelectorAll("text") : []) {
      const box = text.getBoundingClientRect();
      const aside = box.left < frame.left - 2 || box.right > frame.right + 2;
      if (aside || box.top < frame.top - 2 || box.bottom > frame.bottom + 2)
        found.push(`cut off in ${chart.getAttribute("aria-label")}: ${text.textContent.trim()}`);
    }
  }
  return found;
}"""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser without a time limit, however slow the machine."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=0)
        yield browser
        browser.close()


def faults(path: Path, *, may_scroll: Collection[str] = ()) -> list[str]:
    """What a reader of the page cannot see or read, and what the page fetches.

    Args:
        path: An HTML file.
        may_scroll: The first words of tables and the labels of charts that grow with the data, and so may scroll.
    """
    found: list[str] = []
    with chromium() as browser:
        for width in (PHONE, DESKTOP):
            context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
            context.set_default_timeout(0)
            fetched: list[str] = []
            context.on("request", lambda request, into=fetched: into.append(request.url))  # type: ignore[misc]
            page = context.new_page()
            page.goto(path.as_uri())
            said = misfits(page) + [f"fetches {url}" for url in fetched if not url.startswith(("file:", "data:"))]
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                said += [f"{scheme}: {each}" for each in hard_to_read(page)]
            found += [f"{width}: {each}" for each in said if not any(f" {name}" in each for name in may_scroll)]
            context.close()
    return found


def misfits(page: "Page") -> list[str]:
    """What is out of sight; unfolds all that is folded."""
    width = page.evaluate("document.documentElement.clientWidth")
    found: list[str] = page.evaluate(_MISFITS, width < DESKTOP)
    return found


def hard_to_read(page: "Page") -> list[str]:
    """Serious faults by the rules of axe: contrast, labels, what a keyboard cannot reach."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [
        f"{found['id']} in {[node['html'][:100] for node in found['nodes'][:3]]}"
        for found in violations
        if found["impact"] in ("serious", "critical")
    ]
