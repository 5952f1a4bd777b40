"""The end of a command on the terminal: a short table, where the page is, and the next command."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows below their headings, as text: the first column to the left, the others to the right."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def command(*parts: str | Path) -> str:
    """A command from its words, as a shell takes it: `mma-bench score 'results/a run'`."""
    return shlex.join(map(str, parts))


def conclude(heads: Sequence[str], rows: Sequence[Sequence[str]], *, page: Path | None = None, then: str = "") -> None:
    """Print the result of a command; headings are bold on a terminal only.

    Args:
        heads: Headings of the table.
        rows: Its rows; without rows there is no table.
        page: The file to open.
        then: The next command, as `command` writes it.
    """
    if rows:
        first, *rest = table(heads, rows).split("\n")
        click.secho(first, bold=True)  # click drops the style if the output is not a terminal
        click.echo("\n".join(rest))
    if page is not None:
        click.echo(f"page: {page}")
    if then:
        click.echo(f"next: {then}")
