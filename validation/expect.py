"""Short constructors for the Great Expectations used in suites, each on columns of a frame."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from great_expectations.expectations.core.expect_column_pair_values_to_be_equal import ExpectColumnPairValuesToBeEqual
from great_expectations.expectations.core.expect_column_value_lengths_to_be_between import (
    ExpectColumnValueLengthsToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_be_null import ExpectColumnValuesToBeNull
from great_expectations.expectations.core.expect_column_values_to_be_unique import ExpectColumnValuesToBeUnique
from great_expectations.expectations.core.expect_column_values_to_match_regex import ExpectColumnValuesToMatchRegex
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column, RowConditionType

__all__ = ["SHA256", "Column", "Expectation", "Where"]

Where: TypeAlias = RowConditionType  # row condition; None for all rows

SHA256 = "^[0-9a-f]{64}$"


def holds(column: str, where: Where = None) -> Expectation:
    """The boolean column is true."""
    return ExpectColumnValuesToBeInSet(column=column, value_set=[True], row_condition=where)


def one_of(column: str, values: Sequence[Any], where: Where = None) -> Expectation:
    """The value is one of `values`."""
    return ExpectColumnValuesToBeInSet(column=column, value_set=list(values), row_condition=where)


def at_least(column: str, low: float, where: Where = None) -> Expectation:
    """low <= value."""
    return ExpectColumnValuesToBeBetween(column=column, min_value=low, row_condition=where)


def at_most(column: str, high: float, where: Where = None) -> Expectation:
    """value <= high."""
    return ExpectColumnValuesToBeBetween(column=column, max_value=high, row_condition=where)


def above(column: str, low: float, where: Where = None) -> Expectation:
    """low < value."""
    return ExpectColumnValuesToBeBetween(column=column, min_value=low, strict_min=True, row_condition=where)


def between(column: str, low: float, high: float, where: Where = None) -> Expectation:
    """low <= value <= high."""
    return ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, row_condition=where)


def matches(column: str, pattern: str, where: Where = None) -> Expectation:
    """The text matches the regular expression from its start."""
    return ExpectColumnValuesToMatchRegex(column=column, regex=pattern, row_condition=where)


def filled(column: str, where: Where = None) -> Expectation:
    """The text is not empty."""
    return ExpectColumnValueLengthsToBeBetween(column=column, min_value=1, row_condition=where)


def given(column: str, where: Where = None) -> Expectation:
    """There is a value."""
    return ExpectColumnValuesToNotBeNull(column=column, row_condition=where)


def absent(column: str, where: Where = None) -> Expectation:
    """There is no value."""
    return ExpectColumnValuesToBeNull(column=column, row_condition=where)


def unique(column: str) -> Expectation:
    """No value occurs twice."""
    return ExpectColumnValuesToBeUnique(column=column)


def equal(column: str, other: str, where: Where = None) -> Expectation:
    """Both columns hold the same value, and neither is null."""
    return ExpectColumnPairValuesToBeEqual(
        column_A=column, column_B=other, ignore_row_if="neither", row_condition=where
    )
