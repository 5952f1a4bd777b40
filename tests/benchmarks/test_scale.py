"""`benchmarks/scale.py`: a made-up project is built to its end with the parameters of today, and growth is told."""

from pathlib import Path

import pytest

from benchmarks.scale import BASE, LEAST_S, STEPS, build, fit


@pytest.mark.slow
def test_every_step_runs_on_a_made_up_project(tmp_path: Path) -> None:
    found = build(tmp_path / "build", BASE, 1, list(STEPS), at_once=True)
    assert list(found) == list(STEPS)
    clips = (tmp_path / "build/data/normalised").rglob("*.mp4")
    assert len(list(clips)) == BASE
    variants = (tmp_path / "build/data/variants").rglob("*.mp4")
    assert (
        len(list(variants)) == BASE + 2 * BASE // 10
    )  # a misaligned one each; of a test clip silence and black as well


def test_a_power_law_is_found_and_noise_is_called_constant() -> None:
    sizes = [1_000, 4_000, 16_000]
    grown = fit(sizes, [3e-6 * size**1.5 for size in sizes], LEAST_S / 100)
    assert grown.exponent == pytest.approx(1.5)
    assert grown.at(200_000) == pytest.approx(3e-6 * 200_000**1.5)
    assert fit(sizes, [0.0, 0.1, 0.2], LEAST_S).exponent is None
