"""Looks at HTML pages as a browser does: what they would fetch or run, and whether they fit the window."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FRAME = """<!doctype html><body style="margin:0"><iframe src="{name}"
style="width:{width}px;height:{height}px;border:0" onload="
const d = this.contentDocument, w = this.contentWindow, r = d.documentElement;
const wide = [...d.body.querySelectorAll('*')].filter(e => !e.closest('.scroll, svg') &&
  (e.getBoundingClientRect().right > r.clientWidth + 1 || e.getBoundingClientRect().left < -1));
const found = document.createElement('pre'); found.id = 'found';
found.textContent = JSON.stringify({{client: r.clientWidth, scroll: r.scrollWidth, height: r.scrollHeight,
  wide: wide.map(e => e.outerHTML.slice(0, 120)),
  fetched: w.performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))}});
document.body.append(found)"></iframe></body>"""


_CLICK = """<!doctype html><body><iframe src="{name}" onload="
const d = this.contentDocument;
d.querySelectorAll('{button}')[{index}].click();
const found = document.createElement('pre'); found.id = 'found';
found.textContent = JSON.stringify([...d.querySelector('table').querySelectorAll('{cells}')]
  .map(e => e.firstChild.textContent));
document.body.append(found)"></iframe></body>"""


class Page(HTMLParser):
    """Text, elements by tag, and all that the page would fetch from outside or run."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: dict[str, list[dict[str, str | None]]] = {}
        self.unsafe = re.findall(r"@import[^;]*|url\((?!#)[^)]*\)", content)
        self.text = ""
        self.feed(content)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.setdefault(tag, []).append(dict(attrs))
        self.text += " "
        for name, value in attrs:
            fetches = name in ("src", "srcset", "poster", "data", "background") or name == "href"
            if (fetches and not (value or "").startswith(("data:", "#"))) or name.startswith("on"):
                self.unsafe.append(f"<{tag} {name}={value}>")
        if tag in ("script", "iframe", "object", "embed", "base", "form"):
            self.unsafe.append(f"<{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data


def look(page: Path, width: int, height: int = 900) -> dict[str, Any]:
    """Open a page in a frame of `width` CSS pixels in headless Chromium and measure it.

    Returns:
        `client` and `scroll` width, `height` of the content, elements that stand out of the window (`wide`) and
        addresses that were asked for (`fetched`).
    """
    frame = page.with_name(f"frame{width}.html")
    frame.write_text(_FRAME.format(name=page.name, width=width, height=height))
    dump = _chromium(frame, "--dump-dom", "--virtual-time-budget=4000").stdout.decode()
    found = re.search(r'<pre id="found">(.*?)</pre>', dump, re.DOTALL)
    assert found is not None, dump[-500:]
    measured: dict[str, Any] = json.loads(html.unescape(found[1]))
    return measured


def clicked(page: Path, button: str, number: int, cells: str) -> list[str]:
    """Click the n-th element that matches `button`, counted from 1; the first words of `cells` in the first table."""
    frame = page.with_name("clicked.html")
    frame.write_text(_CLICK.format(name=page.name, button=button, index=number - 1, cells=cells))
    dump = _chromium(frame, "--dump-dom", "--virtual-time-budget=4000").stdout.decode()
    found = re.search(r'<pre id="found">(.*?)</pre>', dump, re.DOTALL)
    assert found is not None, dump[-500:]
    names: list[str] = json.loads(html.unescape(found[1]))
    return names


def _chromium(page: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    assert CHROMIUM is not None
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files")
    profile = f"--user-data-dir={page.parent / 'profile'}"
    return subprocess.run([CHROMIUM, *fixed, profile, *arguments, page.as_uri()], check=True, capture_output=True)
