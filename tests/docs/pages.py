"""The pages that users read, taken apart: fenced blocks, and the commands in them and in the text."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.M | re.S)
_PROGRAMS = r"(?:mma-bench|make|dvc|python|pytest|pip|hf|cp|ray|accelerate|lmms_eval|inspect|pre-commit)"
_INLINE = re.compile(rf"`({_PROGRAMS} [^`]+)`")
_PROMPT = re.compile(r"^[a-z]*\$ ")  # of a machine that has a name: head$
_SHELL: Final = ("console", "bash", "sh", "shell")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title or "", what is in it, and the heading above it."""

    language: str
    title: str
    text: str
    heading: str


@dataclass(frozen=True)
class Command:
    """One command of a page; `text` is one line, without comment."""

    page: str
    text: str
    inline: bool = False

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks in their order."""
    text = page.read_text(encoding="utf-8")
    headings = [(match.start(), match[1]) for match in re.finditer(r"^#+ (.+)$", _FENCE.sub(_blank, text), re.M)]
    return [
        Block(match[1], match[2] or "", match[3], next((h for at, h in reversed(headings) if at < match.start()), ""))
        for match in _FENCE.finditer(text)
    ]


def commands(page: Path) -> Iterator[Command]:
    """Every command in shell blocks (with a prompt, or all lines of a block without one) and between backticks."""
    for block in blocks(page):
        if block.language in _SHELL:
            for line in _lines(block.text):
                for part in re.split(r"\s+(?:&&|\|)\s+", line):
                    yield Command(page.name, part)
    for match in _INLINE.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        yield Command(page.name, " ".join(match[1].split()), inline=True)


def _lines(text: str) -> Iterator[str]:
    joined = text.replace("\\\n", " ").splitlines()
    prompted = any(_PROMPT.match(line) for line in joined)
    for line in joined:
        if prompted and not _PROMPT.match(line):
            continue  # what a command prints
        bare = re.sub(r"(^|\s)#.*$", "", _PROMPT.sub("", line) if prompted else line)
        if bare.strip():
            yield " ".join(bare.split())


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, namespace by namespace; a list takes the place of a list."""
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return both
