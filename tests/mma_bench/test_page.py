"""The base of every page: nothing from outside, nothing hostile, the same bytes again, readable in both themes."""

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest
from matplotlib.figure import Figure

from mma_bench import page

HOSTILE = '<script src="https://evil.example/x.js"></script>"\'&$x$'


class References(HTMLParser):
    """Collects what a browser would fetch for a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found = re.findall(r"@import[^;]*|url\((?!#)[^)]*\)", html)
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            fetches = name in ("src", "srcset", "poster", "data", "background") or (name == "href" and tag != "a")
            if fetches and not (value or "").startswith(("data:", "#")):
                self.found.append(f"<{tag} {name}={value}>")


def chart(text: str = "clips") -> Figure:
    with page.chart_style():
        figure = Figure((12, 3))
        axes = figure.subplots()
        axes.barh([text, "b"], [1, 2], color=page.LIGHT["sight"])
        axes.plot([0, 1], [0, 1], "o", color=page.LIGHT["bad"])
        axes.set_title(text)
    return figure


def test_a_page_asks_for_nothing_from_outside() -> None:
    html = page.render("page.html", title="A page")
    assert References(html).found == []
    assert "<script" not in html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none';")
    assert "://" not in html


def test_the_search_for_references_finds_them() -> None:
    page_with_all = """<img src="a.png"><link href='https://x/y.css'><video poster=p.jpg src="data:video/mp4,"></video>
    <style>@import "x.css"; div { background: url(//x/y.png); fill: url(#inside) }</style><a href="https://x">link</a>"""
    assert len(References(page_with_all).found) == 5


def test_values_are_escaped() -> None:
    html = page.render("page.html", title=HOSTILE)
    assert "<script" not in html
    assert html.count("&lt;script") == 2


def test_a_missing_value_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PackageLoader", lambda _: jinja2.DictLoader({"a.html": "{{ title }} {{ missing }}"}))
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        page.render("a.html", title="A page")


def test_an_unknown_template_is_named() -> None:
    with pytest.raises(jinja2.TemplateNotFound, match=r"missing\.html"):
        page.render("missing.html", title="A page")


@pytest.mark.slow
def test_a_chart_is_the_same_bytes_again_in_another_process() -> None:
    drawing = page.svg(chart(), "A chart")
    assert page.svg(chart(), "A chart") == drawing
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_page import chart
from mma_bench import page
sys.stdout.write(page.svg(chart(), "A chart"))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == drawing


def test_a_chart_follows_the_theme_and_names_no_font() -> None:
    drawing = page.svg(chart(), "A chart")
    assert "var(--sight)" in drawing
    assert "var(--bad)" in drawing
    assert not [colour for colour in page.LIGHT.values() if colour in drawing]
    assert "font-family" not in drawing
    assert "http" not in drawing


def test_a_chart_escapes_names_and_takes_them_literally() -> None:
    drawing = page.svg(chart(HOSTILE), "A chart")
    assert "<script" not in drawing
    assert drawing.count("$x$</text>") == 2, "a name was set as mathematics"
    assert "<script" not in page.svg(chart(), HOSTILE)
    assert drawing.count("<text") == len(re.findall(r"</text>", drawing))


def test_every_reference_inside_a_chart_has_its_target() -> None:
    drawing = page.svg(chart(), "A chart")
    ids = re.findall(r' id="([^"]*)"', drawing)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"""(?:href="|url\()#([^")]*)""", drawing)) == set(ids)


def test_charts_with_other_labels_share_no_ids() -> None:
    first, second = (set(re.findall(r' id="([^"]*)"', page.svg(chart(), label))) for label in ("one", "two"))
    assert first
    assert not first & second


def test_media_become_data_uris(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\x00clip")
    uri = page.file_uri(tmp_path / "clip.mp4", "video/mp4")
    assert uri == page.data_uri(b"\x00clip", "video/mp4")
    head, body = uri.split(",")
    assert head == "data:video/mp4;base64"
    assert base64.b64decode(body) == b"\x00clip"


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [page.LIGHT, page.DARK], ids=["light", "dark"])
def test_text_has_contrast(theme: dict[str, str]) -> None:
    for ground in ("paper", "card"):
        for name in set(theme) - {"paper", "card", "line"}:
            darker, lighter = sorted((luminance(theme[ground]), luminance(theme[name])))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ground, name)


def test_both_themes_name_the_same_colours() -> None:
    assert set(page.LIGHT) == set(page.DARK)
    assert len(set(page.LIGHT.values())) == len(page.LIGHT), "two names for one colour would mix in charts"


def test_importing_the_module_does_not_load_matplotlib() -> None:
    code = "import sys, mma_bench.page; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
