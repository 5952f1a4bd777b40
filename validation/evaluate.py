"""Evaluates promises on frames with Great Expectations: part by part in memory, without files, telemetry or progress
bars.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import polars as pl
from great_expectations import get_context
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.datasource.fluent.interfaces import Batch
from great_expectations.expectations.core.expect_column_values_to_be_unique import ExpectColumnValuesToBeUnique
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.row_conditions import AndCondition, ComparisonCondition

from mma_bench.validation.expect import Expectation, Where, given
from mma_bench.validation.promises import Frames, Promise

EXAMPLES = 5  # offending rows named per promise
PART = 10_000  # rows of a frame that are evaluated at a time; an evaluation takes 0.1 s however few there are


@dataclass(frozen=True)
class Outcome:
    """The result of one promise.

    Attributes:
        rows: Number of rows checked.
        broken: Number of rows that break it.
        examples: Up to `EXAMPLES` of them: column → value, the row's id first.
        error: Why it could not be evaluated; None if it was.
    """

    promise: Promise
    rows: int
    broken: int
    examples: list[dict[str, Any]]
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the promise holds."""
        return not self.broken and self.error is None


@cache
def _whole_frame() -> BatchDefinition[Any]:
    """An in-memory Great Expectations setup that takes any frame as one batch."""
    context = get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        ),
    )
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("whole")


class _Tally:
    """What the parts of a frame add up to for one promise."""

    def __init__(self) -> None:
        self.rows = self.broken = 0
        self.examples: list[Mapping[str, Any]] = []
        self.nulls: list[Mapping[str, Any]] = []
        self.error: str | None = None

    def add(self, found: ExpectationValidationResult, nulls: ExpectationValidationResult | None) -> None:
        """Count the result for one part, and that of the search for nulls if there was one."""
        if "element_count" not in found.result:
            self.error = self.error or _failure(found)
            return
        self.rows += found.result["element_count"]
        for result, examples in ((found, self.examples), *([(nulls, self.nulls)] if nulls else [])):
            self.broken += result.result["unexpected_count"]
            examples += result.result["partial_unexpected_index_list"][: EXAMPLES - len(examples)]

    def outcome(self, promise: Promise, id_column: str) -> Outcome:
        """The outcome for all parts."""
        if self.error is not None:
            return Outcome(promise, 0, 0, [], error=self.error)
        examples = [_example(row, promise, id_column) for row in [*self.examples, *self.nulls][:EXAMPLES]]
        return Outcome(promise, self.rows, self.broken, examples)


def evaluate(promises: Sequence[Promise], frames: Frames) -> list[Outcome]:
    """One outcome per promise, in order.

    Frames are evaluated in parts, so that only a part is in pandas' form; a promise of unique values needs all of them,
    and keeps the columns that it is about.
    """
    outcomes: dict[str, Outcome] = {}
    by_frame: dict[str, list[Promise]] = defaultdict(list)
    for promise in promises:
        by_frame[promise.frame].append(promise)
    for name, about_it in by_frame.items():
        outcomes |= _evaluate_frame(_parts(frames[name]), about_it)
    return [outcomes[promise.name] for promise in promises]


def _parts(frame: pl.DataFrame | Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    if isinstance(frame, pl.DataFrame):
        frame = frame.iter_slices(PART) if frame.height else iter([frame])
    return frame


def _evaluate_frame(parts: Iterator[pl.DataFrame], promises: Sequence[Promise]) -> dict[str, Outcome]:
    groups: dict[str, list[Promise]] = defaultdict(list)
    of_all_rows: dict[str, list[pl.DataFrame]] = {}
    for promise in promises:
        if isinstance(promise.expectation, ExpectColumnValuesToBeUnique):
            of_all_rows[promise.name] = []
        else:
            groups[repr(_where(promise))].append(promise)
    tallies = {promise.name: _Tally() for promise in promises}
    id_column = ""
    for part in parts:
        id_column = part.columns[0]
        for group in groups.values():
            _evaluate_group(part, group, tallies)
        for promise in promises:
            if promise.name in of_all_rows:
                of_all_rows[promise.name].append(_needed(part, [promise]))
    for promise in promises:
        if promise.name in of_all_rows:
            _evaluate_unique(pl.concat(of_all_rows.pop(promise.name)), promise, tallies)
    return {promise.name: tallies[promise.name].outcome(promise, id_column) for promise in promises}


def _evaluate_unique(frame: pl.DataFrame, promise: Promise, tallies: Mapping[str, _Tally]) -> None:
    """Give Great Expectations only the rows that share their value with another one, or have none."""
    (column,) = _columns(promise)
    if column in frame.columns:
        shared = frame.filter(pl.col(column).is_duplicated() | pl.col(column).is_null())
        tallies[promise.name].rows += frame.height - shared.height
        frame = shared
    _evaluate_group(frame, [promise], tallies)


def _where(promise: Promise) -> Where:
    """The row condition; expectations about a whole frame have none."""
    return getattr(promise.expectation, "row_condition", None)


def _evaluate_group(frame: pl.DataFrame, promises: Sequence[Promise], tallies: Mapping[str, _Tally]) -> None:
    """Promises about the same rows of a part of a frame.

    Great Expectations filters the rows again for each of them, at a cost per column, so it gets only those needed.
    """
    batch = _whole_frame().get_batch({"dataframe": _needed(frame, promises).to_pandas()})
    show = _shown(frame, promises)
    results = _run(batch, {promise.name: promise.expectation for promise in promises}, show)
    # Great Expectations ignores nulls; here a null breaks the promise, and a second run finds the rows.
    of_nulls = {
        promise.name: given(on.column, on.row_condition)
        for promise in promises
        if isinstance(on := promise.expectation, ColumnMapExpectation)
        and results[promise.name].result.get("missing_count")
    }
    nulls = _run(batch, of_nulls, show) if of_nulls else {}
    for promise in promises:
        tallies[promise.name].add(results[promise.name], nulls.get(promise.name))


def _shown(frame: pl.DataFrame, promises: Sequence[Promise]) -> list[str]:
    return list(dict.fromkeys([frame.columns[0], *(column for promise in promises for column in promise.show)]))


def _needed(frame: pl.DataFrame, promises: Sequence[Promise]) -> pl.DataFrame:
    """The columns that are needed for promises about the same rows, and are there."""
    needed = [
        *_shown(frame, promises),
        *_filtered_by(_where(promises[0])),
        *chain.from_iterable(map(_columns, promises)),
    ]
    return frame.select(column for column in dict.fromkeys(needed) if column in frame.columns)


def _run(
    batch: Batch, expectations: Mapping[str, Expectation], show: Sequence[str]
) -> dict[str, ExpectationValidationResult]:
    """Validate a suite; results by the expectations' keys, with offending rows given by the columns `show`."""
    suite = ExpectationSuite(
        name="promises",
        expectations=[expectation.copy(update={"meta": {"key": key}}) for key, expectation in expectations.items()],
    )
    validation = batch.validate(
        suite,
        result_format={
            "result_format": "SUMMARY",
            "unexpected_index_column_names": show,
            "partial_unexpected_count": EXAMPLES,
            "return_unexpected_index_query": False,
        },
    )
    return {_key(result): result for result in validation.results}


def _key(result: ExpectationValidationResult) -> str:
    assert result.expectation_config is not None
    return str(result.expectation_config.meta["key"])


def _example(row: Mapping[str, Any], promise: Promise, id_column: str) -> dict[str, Any]:
    concerned = [
        value for key, value in promise.expectation.dict().items() if key in ("column", "column_A", "column_B")
    ]
    columns = dict.fromkeys([id_column, *concerned, *promise.show])
    return {column: _plain(row[column]) for column in columns}


def _columns(promise: Promise) -> list[str]:
    """The columns that a promise is about."""
    given = promise.expectation.configuration.kwargs
    return [str(given[key]) for key in ("column", "column_A", "column_B") if key in given]


def _filtered_by(where: Where) -> Iterator[str]:
    """The columns of a row condition, which may be a conjunction."""
    for part in where.conditions if isinstance(where, AndCondition) else [where]:
        if isinstance(part, ComparisonCondition):
            yield part.column.name


def _plain(value: Any) -> Any:
    """A JSON value: numpy's scalars become Python's, NaN (pandas' null) becomes None."""
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value


def _failure(result: ExpectationValidationResult) -> str:
    """The message of an expectation that raised, such as a missing column."""
    messages = [
        info["exception_message"]
        for info in (result.exception_info or {}).values()
        if isinstance(info, dict) and info.get("raised_exception")
    ]
    return "; ".join(dict.fromkeys(messages)) or f"no result: {result.exception_info}"
