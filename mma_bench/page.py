"""The base of every HTML page of the project: self-contained, readable in light and dark mode.

A page is a jinja2 template that extends `page.html`. Values are escaped; the page loads nothing external (its content
security policy forbids it too), so that a report can be mailed, archived or opened offline. Charts are matplotlib
figures converted to inline SVG whose colours follow the page's theme.
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The page's colours. Charts are drawn with the light ones; in the SVG each becomes the CSS variable of that name.
LIGHT: Final = {
    "paper": "#fcfcfa",
    "card": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#5a626c",
    "line": "#dcdfe3",
    "accent": "#0b6e69",
    "sight": "#2563ae",
    "sound": "#b4520f",
    "good": "#1b7340",
    "bad": "#b3261e",
    "warn": "#8a5a00",
}
DARK: Final = {
    "paper": "#14171b",
    "card": "#1c2026",
    "ink": "#e8eaed",
    "muted": "#a3abb5",
    "line": "#363c45",
    "accent": "#5cc8c0",
    "sight": "#7fb3f0",
    "sound": "#f0a266",
    "good": "#6fcf8f",
    "bad": "#f2857d",
    "warn": "#e2b556",
}

_VARIABLES: Final = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
_ID = re.compile(r' id="([^"]*)"')
_COLOUR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
_FONT = re.compile(r"font-family: [^;\"]*; ?")
_STYLE_SHEET = re.compile(r"<style.*?</style>", re.DOTALL)


def render(template: str, package: str = "mma_bench", *, title: str, script: str = "", **context: Any) -> str:
    """The page of a template in `<package>/templates/`, as one HTML document.

    The template may extend `page.html`, which provides the blocks `style`, `lead` (below the heading), `content` and
    `footer`, and the filter `count` (3518 → 3,518). Values are escaped unless they are `Markup`.
    A page runs no script but `script`, whose hash is in its content security policy.

    Raises:
        jinja2.UndefinedError: The template uses a value that the context lacks.
    """
    packages = dict.fromkeys((package, "mma_bench"))
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = lambda number: f"{int(number):,}"
    text = environment.get_template(template).render(
        title=title,
        light=LIGHT,
        dark=DARK,
        script=Markup(script),  # noqa: S704  (our own code)
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **context,
    )
    # Markdown must not contain tags of others either, but quotation marks are plain text there.
    return text.replace("&#39;", "'").replace("&#34;", '"') if template.endswith(".md") else text


def data_uri(content: bytes, media_type: str) -> str:
    """Bytes as a `data:` URI, e.g. for the `src` of an image or a video."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def file_uri(path: Path, media_type: str) -> str:
    """A file as a `data:` URI."""
    return data_uri(path.read_bytes(), media_type)


@contextmanager
def chart_style() -> Iterator[None]:
    """Matplotlib's settings for charts of a page: draw figures 4 to 6 inches wide under it, at 72 px per inch.

    Also a decorator: `@chart_style()`.

    Figures of that width stay readable on a phone and scale up on a wide screen.
    """
    import matplotlib as mpl

    with mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 10,
            "text.parse_math": False,  # a "$" in a name is literal
            "text.color": LIGHT["ink"],
            "axes.edgecolor": LIGHT["line"],
            "axes.labelcolor": LIGHT["muted"],
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "grid.color": LIGHT["line"],
            "grid.linewidth": 0.7,
            "xtick.color": LIGHT["line"],
            "ytick.color": LIGHT["line"],
            "xtick.labelcolor": LIGHT["muted"],
            "ytick.labelcolor": LIGHT["ink"],
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        }
    ):
        yield


def svg(figure: "Figure", label: str) -> Markup:
    """A matplotlib figure as inline SVG: the same bytes for the same figure, text as text, colours of the theme.

    Args:
        figure: Drawn with the colours of `LIGHT` under `chart_style`.
        label: Text alternative of the chart; also keeps the ids of several charts distinct.
    """
    import matplotlib as mpl

    stream = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with chart_style(), mpl.rc_context({"svg.hashsalt": label, "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata=metadata, transparent=True)
    drawing = stream.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    opening, rest = drawing.split(">", 1)
    width, height = (float(value) for value in re.findall(r'(?:width|height)="([\d.]+)pt"', opening))
    rest = rest.replace("xlink:href", "href")
    rest = _ID.sub(lambda found: found[0] if f"#{found[1]}" in rest else "", rest)
    rest = _COLOUR.sub(lambda found: f"{found[1]}: {_VARIABLES.get(found[2], found[2])}", rest)
    rest = _FONT.sub("", _STYLE_SHEET.sub("", rest))  # the page's own font and line joins apply
    head = Markup('<svg viewBox="0 0 {:g} {:g}" style="--width: {:g}px" role="img" aria-label="{}">')
    return head.format(width, height, width, label) + Markup(rest)  # noqa: S704  (matplotlib escapes the text it writes)
