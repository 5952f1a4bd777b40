"""Evaluates promises on frames with Great Expectations: in memory, without files, telemetry or progress bars."""

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
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.row_conditions import AndCondition, ComparisonCondition

from mma_bench.validation.expect import Expectation, Where, given
from mma_bench.validation.promises import Frames, Promise

EXAMPLES = 5  # offending rows named per promise


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


def evaluate(promises: Sequence[Promise], frames: Frames) -> list[Outcome]:
    """One outcome per promise, in order."""
    outcomes: dict[str, Outcome] = {}
    groups: dict[tuple[str, str], list[Promise]] = defaultdict(list)
    for promise in promises:
        groups[promise.frame, repr(_where(promise))].append(promise)
    for group in groups.values():
        outcomes.update(_evaluate_group(frames[group[0].frame], group))
    return [outcomes[promise.name] for promise in promises]


def _where(promise: Promise) -> Where:
    """The row condition; expectations about a whole frame have none."""
    return getattr(promise.expectation, "row_condition", None)


def _evaluate_group(frame: pl.DataFrame, promises: Sequence[Promise]) -> dict[str, Outcome]:
    """Promises about the same rows of a frame.

    Great Expectations filters the rows again for each of them, at a cost per column, so it gets only those needed.
    """
    show = list(dict.fromkeys([frame.columns[0], *(column for promise in promises for column in promise.show)]))
    needed = [*show, *_filtered_by(_where(promises[0])), *chain.from_iterable(map(_columns, promises))]
    table = frame.select(column for column in dict.fromkeys(needed) if column in frame.columns).to_pandas()
    batch = _whole_frame().get_batch({"dataframe": table})
    results = _run(batch, {promise.name: promise.expectation for promise in promises}, show)
    # Great Expectations ignores nulls; here a null breaks the promise, and a second run finds the rows.
    of_nulls = {
        promise.name: given(on.column, on.row_condition)
        for promise in promises
        if isinstance(on := promise.expectation, ColumnMapExpectation)
        and results[promise.name].result.get("missing_count")
    }
    nulls = _run(batch, of_nulls, show) if of_nulls else {}
    return {
        promise.name: _outcome(promise, frame.columns[0], results[promise.name], nulls.get(promise.name))
        for promise in promises
    }


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


def _outcome(
    promise: Promise, id_column: str, found: ExpectationValidationResult, nulls: ExpectationValidationResult | None
) -> Outcome:
    if "element_count" not in found.result:
        return Outcome(promise, 0, 0, [], error=_failure(found))
    results = [found.result, *([nulls.result] if nulls else [])]
    examples = [row for result in results for row in result["partial_unexpected_index_list"]]
    return Outcome(
        promise,
        rows=found.result["element_count"],
        broken=sum(result["unexpected_count"] for result in results),
        examples=[_example(row, promise, id_column) for row in examples[:EXAMPLES]],
    )


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
