"""A promise: a named expectation, with the curation rule that it enforces and a hint for when it is broken.

A suite is a module with `TABLE`, the file that it checks, and two functions: `frames(inputs, params)` reads tables and
returns frames of facts, whose first column is the id shown in messages; `promises(params)` lists their invariants.
A frame that may not fit into memory is an iterator of its parts, at least one, all with the same columns.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import polars as pl

from mma_bench.config import Params
from mma_bench.validation.expect import Expectation
from mma_bench.validation.inputs import Inputs

Frames: TypeAlias = Mapping[str, pl.DataFrame | Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class Promise:
    """An invariant of every row of a frame.

    Attributes:
        name: Stable, snake_case, unique in its suite.
        says: The invariant, as one sentence.
        paper: The section or appendix of arXiv 2511.22826 that requires it, or "the build" for our own rules.
        expectation: On columns of the frame. A null breaks it, unless it expects nulls.
        hint: What to do if it is broken, in the imperative.
        frame: Name of the suite's frame.
        show: Additional columns to show for an offending row.
    """

    name: str
    says: str
    paper: str
    expectation: Expectation
    hint: str
    frame: str = "rows"
    show: tuple[str, ...] = ()


class Suite(Protocol):
    """A module of this package that holds the promises of one table."""

    TABLE: Path
    frames: Callable[[Inputs, Params], Frames]
    promises: Callable[[Params], list[Promise]]
