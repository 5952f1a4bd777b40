"""The power that is stated is that of the test that reports use, as simulated runs with a known difference show."""

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.cli import main
from mma_bench.evaluation.power import ALPHA, Planned, _needed, clips_needed, power, smallest_difference
from mma_bench.stats import paired


def is_found(n: int, better: int, worse: int) -> bool:
    changes = [1.0] * better + [-1.0] * worse + [0.0] * (n - better - worse)
    p = paired(changes, [range(n)]).p
    return p is not None and p < ALPHA


@given(st.integers(1, 60), st.data())
@settings(deadline=None, max_examples=150)
def test_what_is_needed_is_what_the_test_finds(n: int, data: st.DataObject) -> None:
    changed = data.draw(st.integers(0, n))
    needed = int(_needed(n, np.array([changed]))[0])
    for difference in range(changed % 2, changed + 1, 2):
        better = (changed + difference) // 2
        assert is_found(n, better, changed - better) == (difference >= needed)


@pytest.mark.parametrize(("n", "changed", "difference"), [(12, 0.5, 0.3), (40, 0.4, 0.2), (7, 1.0, 0.8)])
def test_power_is_the_sum_over_all_outcomes(n: int, changed: float, difference: float) -> None:
    from scipy import stats

    better = (changed + difference) / 2
    total = 0.0
    for plus in range(n + 1):
        for minus in range(n + 1 - plus):
            if is_found(n, plus, minus):
                shares = [better, changed - better, 1 - changed]
                total += stats.multinomial.pmf([plus, minus, n - plus - minus], n, shares)
    assert power(Planned(n, changed), difference) == pytest.approx(total, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "changed"), [(658, 0.3), (100, 0.4), (49, 0.2)])
def test_simulated_runs_are_found_as_often_as_stated(n: int, changed: float) -> None:
    found = smallest_difference(Planned(n, changed), 0.8)
    assert found is not None
    random = np.random.default_rng(1)
    draws = random.multinomial(n, [(changed + found) / 2, (changed - found) / 2, 1 - changed], size=2000)
    rate = np.mean([is_found(n, int(plus), int(minus)) for plus, minus, _ in draws])
    assert rate == pytest.approx(0.8, abs=0.03)  # more than three standard errors


def test_without_a_difference_at_most_the_nominal_share_is_found() -> None:
    assert power(Planned(658, 0.3), 0.0) == pytest.approx(ALPHA, abs=0.005)
    assert power(Planned(5, 0.5), 0.0) < ALPHA


def test_more_clips_fewer_changes_and_less_power_show_smaller_differences() -> None:
    found = [smallest_difference(Planned(n, 0.3), 0.8) or 1 for n in (50, 200, 658, 5000)]
    assert found == sorted(found, reverse=True)
    assert (smallest_difference(Planned(658, 0.1), 0.8) or 1) < (smallest_difference(Planned(658, 0.5), 0.8) or 0)
    assert (smallest_difference(Planned(658, 0.3), 0.5) or 1) < (smallest_difference(Planned(658, 0.3), 0.9) or 0)
    assert (smallest_difference(Planned(658, 0.3, 2.0), 0.8) or 0) == smallest_difference(Planned(329, 0.3), 0.8)
    assert smallest_difference(Planned(5, 0.4), 0.8) is None
    assert smallest_difference(Planned(5, 0.0), 0.8) is None


@pytest.mark.parametrize("difference", [0.05, 0.1, 0.3])
def test_the_clips_needed_are_enough_and_one_less_is_not(difference: float) -> None:
    needed = clips_needed(0.3, difference, 0.8)
    assert needed is not None
    assert power(Planned(needed, 0.3), difference) >= 0.8
    assert power(Planned(needed - 1, 0.3), difference) < 0.8
    assert clips_needed(0.3, difference, 0.8, 2.0) == pytest.approx(2 * needed, abs=1)


def test_the_command_prints_both_tables_and_refuses_what_cannot_be() -> None:
    said = CliRunner().invoke(main, ["power", "--clips", "658"])
    assert said.exit_code == 0, said.output
    assert "smallest difference" in said.output
    assert "points" in said.output
    said = CliRunner().invoke(main, ["power", "--difference", "0.05", "--changed", "0.3,0.02"])
    assert said.exit_code == 0, said.output
    assert "impossible" in said.output
    for wrong in (
        ["--clips", "0"], ["--changed", "1.5"], ["--changed", "a"], ["--power", "1"], ["--design-effect", "0.5"], [],
        ["--clips", "9", "--difference", "0.1"], ["--difference", "0"], ["--clips", "9", "--changed", "nan"],
    ):  # fmt: skip
        assert CliRunner().invoke(main, ["power", *wrong]).exit_code == 2, wrong


def test_shares_are_shown_as_they_were_given_and_a_missing_option_is_named() -> None:
    said = CliRunner().invoke(main, ["power", "--clips", "658", "--changed", "0.125,0.004,0.3"]).output
    assert [line.split()[0] for line in said.splitlines()[2:]] == ["12.5%", "0.4%", "30%"]
    assert "give --clips or --difference" in CliRunner().invoke(main, ["power"]).output
    both = CliRunner().invoke(main, ["power", "--clips", "9", "--difference", "0.1"]).output
    assert "not both" in both
