"""Options that take a number."""

import click
import pytest
from click.testing import CliRunner

from mma_bench.cli import main
from mma_bench.numbers import FiniteRange


@pytest.mark.parametrize("given", ["nan", "NaN", "inf", "-inf", "1e999", "-0.1", "x"])
def test_only_a_finite_number_within_the_bounds_is_taken(given: str) -> None:
    with pytest.raises(click.BadParameter):
        FiniteRange(0).convert(given, None, None)


def test_a_number_within_the_bounds_is_taken() -> None:
    assert FiniteRange(0, 1, min_open=True).convert("0.5", None, None) == 0.5
    with pytest.raises(click.BadParameter):
        FiniteRange(0, 1, min_open=True).convert("0", None, None)


def _options(command: click.Command) -> list[click.Parameter]:
    inner = [found for each in getattr(command, "commands", {}).values() for found in _options(each)]
    return [*command.params, *inner]


def test_every_option_of_every_command_that_takes_a_fraction_is_finite() -> None:
    taken = [option for option in _options(main) if isinstance(option.type, click.types.FloatParamType)]
    assert len(taken) >= 7
    assert [option.name for option in taken if not isinstance(option.type, FiniteRange)] == []


def test_every_seed_is_at_least_0() -> None:
    seeds = [option for option in _options(main) if option.name == "seed"]
    assert len(seeds) >= 3
    assert [seed for seed in seeds if getattr(seed.type, "min", None) != 0] == []


@pytest.mark.parametrize(
    "command",
    [
        ["power", "--difference", "nan"],
        ["power", "--clips", "100", "--power", "nan"],
        ["power", "--clips", "100", "--design-effect", "nan"],
        ["evaluate", "--model", "random", "--out", "run", "--temperature", "inf"],
        ["clips", "run", "--out", "clips.csv", "--certainty", "nan"],
        ["clips", "run", "--out", "clips.csv", "--seed", "-1"],
        ["judge", "compare", "params.yaml", "--precision", "nan"],
    ],
)
def test_a_number_that_cannot_be_computed_with_is_refused_by_its_option(command: list[str]) -> None:
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2, result.output
    assert f"Invalid value for '{command[-2]}'" in result.output
