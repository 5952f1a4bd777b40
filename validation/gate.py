"""The gate: runs the suite of one table, writes a record and the page, and rejects the table if a promise is broken.

In: the table and the tables it is compared with. Out: `reports/validation/<table>.json`, which ties each promise to the
hashes of the files it was checked on, and `reports/validation.html`, which shows every gate that has run. Both are
written before a failure is raised, so that the details can be inspected.
"""

import importlib
from typing import cast

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.errors import GateError
from mma_bench.files import write_json, write_text
from mma_bench.validation.evaluate import Outcome, evaluate
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.promises import Suite
from mma_bench.validation.report import PAGE, page, read_records, record, sentence


def main(table: str, params: Params) -> None:
    """Run the gate of `table`, one of `mma_bench.layout.TABLES`.

    Raises:
        GateError: A promise is broken; names each, with offending rows and a hint.
        DataError: A file that the gate needs is missing or does not match its schema.
    """
    suite = cast(Suite, importlib.import_module(f"mma_bench.validation.{table}"))
    path = layout.VALIDATION / f"{table}.json"
    path.unlink(missing_ok=True)  # a gate that cannot run must not leave an old record
    inputs = Inputs()
    frames = suite.frames(inputs, params)
    outcomes = evaluate(suite.promises(params), frames)
    write_json(path, record(table, about(suite), suite.TABLE, inputs.sha256, outcomes))
    write_page()
    refuse_broken(table, outcomes)
    print(f"gate {table}: all {len(outcomes)} promises hold ({PAGE})")


def write_page() -> None:
    """Write the page of all gates that have run.

    Raises:
        DataError: A record is not JSON.
    """
    write_text(PAGE, page(read_records(layout.VALIDATION)))


def about(suite: Suite) -> str:
    """The first line of a suite's docstring."""
    return str(suite.__doc__).partition("\n")[0]


def refuse_broken(table: str, outcomes: list[Outcome]) -> None:
    """Do nothing if all promises hold.

    Raises:
        GateError: Names every broken promise, the number of rows that break it, some of them, and a hint.
    """
    broken = [outcome for outcome in outcomes if not outcome.passed]
    if broken:
        lines = [f"  {sentence(outcome)}\n    hint: {outcome.promise.hint}" for outcome in broken]
        raise GateError(
            f"gate {table}: {len(broken)} of {len(outcomes)} promises are broken:\n" + "\n".join(lines),
            hint=f"follow the hint below each promise (also in {PAGE}); if one is broken all the same, report it with "
            f"{layout.VALIDATION / f'{table}.json'}",
        )
