"""MkDocs' hook: README.md and CONTRIBUTING.md become pages, links to other files of the project work in the site, and a
report is there to look at.

On the forge a page links to `../sample/LICENSES.md`; a site has only its own files. So every file of the project that a
page links to is copied into the site below `files/`, and the link leads there.
"""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[1]
# Files of the project's root that are pages, by their place in the site.
FROM_ROOT: Final = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md"}

# The report of a baseline on the sample, which `make evaluate` makes; the site shows it as an example.
REPORT: Final = ROOT / "results/specialist/report.html"
SAMPLE: Final = "sample-report.html"
_NO_REPORT: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sample report</title>
<p>This site was made before there was a report: run <code>make evaluate</code>, then <code>make docs</code> again.</p>
</html>"""

_LINK: Final = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages of the root, and the files that pages link to."""
    for page, source in FROM_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    if REPORT.is_file():
        files.append(File.generated(config, SAMPLE, abs_src_path=str(REPORT)))
    else:
        files.append(File.generated(config, SAMPLE, content=_NO_REPORT))
    for file in list(files.documentation_pages()):
        for link in _LINK.findall(file.content_string):
            place = _place(file.src_uri, link)
            if place.startswith("files/") and place not in files.src_uris:
                copied = File.generated(config, place, abs_src_path=str(ROOT / place.removeprefix("files/")))
                files.append(copied)
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Let links lead to where the site has their files."""
    here = page.file.src_uri

    def led(match: re.Match[str]) -> str:
        return posixpath.relpath(_place(here, match[1]), posixpath.dirname(here) or ".")

    return markdown if here.startswith("files/") else _LINK.sub(led, markdown)


def _place(page: str, link: str) -> str:
    """Where the site has the file that `page` links to."""
    source = FROM_ROOT.get(page, f"docs/{page}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    for place, of_root in FROM_ROOT.items():
        if target == of_root:
            return place
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if target.startswith("..") or not (ROOT / target).is_file():
        raise FileNotFoundError(f"{source} links to {link}, and the project has no such file")
    return f"files/{target}"
