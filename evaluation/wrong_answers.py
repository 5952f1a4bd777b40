"""All wrong answers of a run as rows of a table that can be filtered by protocol, condition and kind of mistake.

The filter is CSS (`:has`), so that the page runs no script. Clips are not in the table: `mistakes` has previews, and
`mma-bench view` plays every clip.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.cells import by_cell, is_right
from mma_bench.evaluation.headline import led_by_caption, led_by_other
from mma_bench.evaluation.predictions import Prediction
from mma_bench.files import write_text
from mma_bench.page import render
from mma_bench.prompts import NONE_OF_THE_ABOVE

PER_PAGE: Final = 5_000  # rows of an HTML file, about 1 MB
FOLDER: Final = "wrong-answers"
KINDS: Final = {
    "other_modality": "names what the other modality shows",
    "caption": "names what the caption says",
    "abstained": "says none of the above",
    "another_class": "names another class",
    "unparseable": "names no class or several",
}
_RAW: Final = 120  # maximum characters of an answer


def kind_of(row: Prediction) -> str | None:
    """The kind of mistake, a key of KINDS; None if the answer is correct or there is none."""
    if not row.is_answered or (row.status == "ok" and is_right(row)):
        return None
    if row.answer is None:
        return "unparseable"
    if led_by_other(row):
        return "other_modality"
    if led_by_caption(row):
        return "caption"
    return "abstained" if row.answer == NONE_OF_THE_ABOVE else "another_class"


def wrong_answers(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """A row for every wrong answer: protocol, condition, question, kind, id, seed, expected, answer, raw."""
    return [
        {
            "protocol": protocol,
            "condition": condition,
            "question": question,
            "kind": kind,
            "id": row.id,
            "seed": row.seed,
            "expected": row.expected,
            "answer": row.answer,
            "raw": None if row.raw is None or row.raw == row.answer else row.raw[:_RAW],
        }
        for (protocol, condition, question), rows in by_cell(predictions).items()
        for row in rows
        if (kind := kind_of(row)) is not None
    ]


def table(rows: Sequence[dict[str, Any]], total: int, first: int = 1) -> dict[str, Any]:
    """What the template `wrong_table.html` shows of one file: rows first to first + len(rows) - 1 of all `total`."""
    return {
        "rows": list(rows),
        "first": first,
        "total": total,
        "counts": Counter((row["condition"], row["kind"]) for row in rows),
        "filters": {
            name: list(dict.fromkeys(row[name] for row in rows)) for name in ("protocol", "condition", "question")
        }
        | {"kind": [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]},
        "kinds": KINDS,
    }


def write_rest(rows: Sequence[dict[str, Any]], folder: Path) -> int:
    """Write files with all rows beyond the first PER_PAGE, which the report has; files of an earlier run are removed.

    Returns:
        The number of files.
    """
    for old in folder.glob("*.html"):
        old.unlink()
    starts = range(PER_PAGE, len(rows), PER_PAGE)
    for number, start in enumerate(starts, start=2):
        part = rows[start : start + PER_PAGE]
        title = f"Wrong answers {start + 1:,} to {start + len(part):,} of {len(rows):,}"
        html = render("wrong_rest.html", "mma_bench.evaluation", title=title, wrong=table(part, len(rows), start + 1))
        write_text(folder / f"{number}.html", html)
    return len(starts)
