"""The benchmark of scale: growth that is known is found, and a made-up project goes through the stages."""

from pathlib import Path

import pytest

from benchmarks import scale

SIZES = [1_000, 4_000, 16_000]


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_a_linear_and_a_quadratic_stage_are_told_apart(exponent: float) -> None:
    found = scale.fit(SIZES, [3e-4 * size**exponent for size in SIZES], least=0.1)
    assert found.exponent == pytest.approx(exponent)
    assert found.at(64_000) == pytest.approx(3e-4 * 64_000**exponent)


def test_what_is_lost_in_noise_is_constant() -> None:
    assert scale.fit(SIZES, [0.02, -0.01, 0.04], least=0.1) == scale.Growth(0.04, None)


def test_the_table_is_of_what_grows_beyond_the_base() -> None:
    found = {size: {"pair": scale.Cost(5 + size / 100, 9.0, 200.0, size)} for size in (scale.BASE, *SIZES)}
    (row,) = scale.table(SIZES, found)
    assert (row["step"], row["measured_at"], row["real"]) == ("pair", 16_000, scale.CLIPS)
    assert row["cpu_s_exponent"] == pytest.approx(1.0, abs=0.05)
    assert row["cpu_s_real"] == pytest.approx(205, rel=0.05)
    assert row["mb_exponent"] is None
    assert row["mb_real"] == 200
    head, _, line = scale.markdown([row]).splitlines()
    assert head.count("|") == line.count("|") == 12


@pytest.mark.slow
def test_a_made_up_project_goes_through_the_first_stages(tmp_path: Path) -> None:
    steps = ["candidates", "acquire missing", "inputs", "acquire"]
    found = scale.build(tmp_path / "build", scale.BASE, 3, steps, at_once=True)
    assert list(found) == steps
    assert all(cost.mb > 0 and cost.wall_s > 0 and cost.files > 0 for cost in found.values())
    assert found["acquire"].files == scale.BASE
