"""The output of a gate: a JSON record, and one self-contained page for all gates that have run."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from markupsafe import Markup, escape
from pydantic import BaseModel, TypeAdapter, ValidationError

from mma_bench import layout
from mma_bench.errors import DataError
from mma_bench.files import file_sha256, set_aside
from mma_bench.layout import TABLES
from mma_bench.page import render
from mma_bench.tables import read_json
from mma_bench.validation.evaluate import Outcome
from mma_bench.validation.expect import Expectation

PAGE: Final = layout.REPORTS / "validation.html"
FORMAT: Final = 1  # of a record; incremented when its keys change

_HASH: Final = re.compile("[0-9a-f]{64}")

Record: TypeAlias = dict[str, Any]
_ANY: Final = TypeAdapter(Record)


class _Expectation(BaseModel):
    """What the page shows of a promise."""

    name: str
    says: str
    paper: str
    rule: str
    passed: bool
    rows: int | None
    broken: int | None
    examples: list[Any]
    hint: str


class _Record(BaseModel):
    """What the page shows of a gate."""

    table: str
    about: str
    passed: bool
    inputs: dict[str, str]
    expectations: list[_Expectation]


# Arguments of an expectation that configure how it runs, not what it expects.
_HOW: Final = ("row_condition", "condition_parser", "ignore_row_if", "meta", "mostly")


def record(table: str, about: str, subject: Path, sha256: Mapping[str, str], outcomes: Sequence[Outcome]) -> Record:
    """The record of one run of a gate; deterministic for the same tables and bounds.

    Args:
        table: The gate's name.
        about: The purpose of the gate, in one sentence.
        subject: The file that the gate checks.
        sha256: Path → hash of every file read, including the subject.
        outcomes: In the suite's order.
    """
    return {
        "format": FORMAT,
        "table": table,
        "about": about,
        "passed": all(outcome.passed for outcome in outcomes),
        "subject": subject.as_posix(),
        "sha256": sha256[subject.as_posix()],
        "inputs": dict(sha256),
        "expectations": [
            {
                "name": outcome.promise.name,
                "says": outcome.promise.says,
                "paper": outcome.promise.paper,
                "frame": outcome.promise.frame,
                "rule": rule(outcome.promise.expectation),
                "passed": outcome.passed,
                "rows": outcome.rows,
                "broken": outcome.broken,
                "examples": outcome.examples,
                "error": outcome.error,
                "hint": outcome.promise.hint,
            }
            for outcome in outcomes
        ],
    }


def rule(expectation: Expectation) -> str:
    """The expectation as Great Expectations calls it: `expect_column_values_to_be_between(motion, min_value=0.5)`."""
    configuration = expectation.configuration
    given = {key: value for key, value in configuration.kwargs.items() if key not in _HOW}
    columns = [str(given.pop(key)) for key in ("column", "column_A", "column_B") if key in given]
    arguments = ", ".join([*columns, *(f"{key}={value!r}" for key, value in given.items())])
    where = getattr(expectation, "row_condition", None)
    return f"{configuration.type}({arguments})" + (f" where {where!r}" if where is not None else "")


def sentence(outcome: Outcome) -> str:
    """A message about a broken promise: its name, the number of rows that break it, and examples."""
    name, says = outcome.promise.name, outcome.promise.says
    if outcome.error is not None:
        return f"{name}: could not be evaluated ({outcome.error})"
    examples = "; ".join(map(example, outcome.examples))
    more = "; ..." if outcome.broken > len(outcome.examples) else ""
    return f"{name}: {outcome.broken} of {outcome.rows} rows break it: {examples}{more}\n    {says}"


def example(row: Mapping[str, Any]) -> str:
    """An offending row: `dog-1 (motion 0.02)`."""
    (_, name), *values = row.items()
    return f"{name} ({', '.join(f'{column} {_short(value)}' for column, value in values)})" if values else str(name)


def read_records(folder: Path) -> list[Record]:
    """The records of all gates that have run, in build order, except those in an older format.

    A damaged record is set aside.
    """
    records = [_read(folder / f"{table}.json") for table in TABLES]
    return [entry for entry in records if entry.get("format") == FORMAT]


def _read(path: Path) -> Record:
    """A record; empty if there is none, or a damaged one."""
    if not path.is_file():
        return {}
    try:
        entry: Record = _ANY.validate_python(read_json(path))
        if entry.get("format") == FORMAT:
            _Record.model_validate(entry)
    except (DataError, ValidationError):
        set_aside(path, f"run `mma-bench validate {path.stem}` again")
        return {}
    return entry


def page(records: Sequence[Record]) -> str:
    """The HTML page; gates whose files have changed since they ran are marked, gates that have not run are listed."""
    ran = {entry["table"] for entry in records}
    return render(
        "validation.html",
        package="mma_bench.validation",
        title="Validation gates",
        gates=[{**entry, "changed": changed(entry)} for entry in records],
        not_run=[table for table in TABLES if table not in ran],
        example=example,
        marked=marked,
    )


def marked(text: str) -> Markup:
    """Text with `code` in backticks marked up as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def changed(entry: Record) -> list[str]:
    """The files that have changed since a gate read them; the package's shards are not read again."""
    tables = {
        path: sha256 for path, sha256 in entry["inputs"].items() if not path.startswith(f"{layout.PACKAGE}/data/")
    }
    return [path for path, sha256 in tables.items() if not Path(path).is_file() or file_sha256(Path(path)) != sha256]


def _short(value: Any) -> str:
    """A value shortened for messages: six digits of a number, a prefix of a hash; the record has the full value."""
    if value is None:
        return "null"
    if isinstance(value, str) and _HASH.fullmatch(value):
        return f"{value[:12]}…"
    return f"{value:g}" if isinstance(value, float) else str(value)
