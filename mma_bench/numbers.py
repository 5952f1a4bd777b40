"""The types of options that take a number."""

import math
from typing import Any, Final

import click


class FiniteRange(click.FloatRange):
    """A number within bounds; unlike `click.FloatRange`, neither infinite nor `nan`, which no bound excludes."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


# NumPy takes no seed below 0.
SEED: Final = click.IntRange(min=0)
