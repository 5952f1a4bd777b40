"""Responders with a known switching point are found, and what cannot be told is not."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.clusters import codes_of
from mma_bench.evaluation.trust.adjusted import Groups
from mma_bench.evaluation.trust.curves import curves, switch_of
from mma_bench.evaluation.trust.psychometric import SHAPES, Switch, _curve, _Data, fit_switch
from tests.evaluation.trust.responders import Switching, switching


def fitted(responder: Switching, **how: object) -> Switch:
    """The fit of the question about the degraded sense."""
    found = {curve.question: curve for curve in curves(switching(responder, **how))}  # type: ignore[arg-type]
    return switch_of(found["visual" if how.get("manipulation") == "blur" else "audio"])


def holds(found: Switch, truth: float) -> bool:
    """Whether the truth is in the interval."""
    low = -np.inf if found.low is None else found.low
    high = np.inf if found.high is None else found.high
    return bool(low <= truth <= high)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_curve_is_one_half_at_the_threshold_and_its_derivatives_are_right(shape: str) -> None:
    levels, at = np.linspace(-20, 10, 7), np.array([[-5.0, -1.0, 0.1, 0.2]])
    p, derivatives = _curve(levels, at, shape)  # type: ignore[arg-type]
    assert p[0, 3] == pytest.approx(0.5)
    for number in range(4):
        step = np.eye(4)[[number]] * 1e-6
        change = _curve(levels, at + step, shape)[0] - _curve(levels, at - step, shape)[0]  # type: ignore[arg-type]
        assert derivatives[..., number] == pytest.approx(change / 2e-6, abs=1e-6)


def test_a_known_switching_point_is_found() -> None:
    found = fitted(Switching(at=-4.0, slope=0.6, spread=2.0, lapses=0.05, neither=0.1), clips=600, seed=1)
    assert found.status == "estimated"
    assert found.threshold == pytest.approx(-4, abs=0.7)
    assert found.low is not None
    assert found.high is not None
    assert found.low < -4 < found.high
    assert found.high - found.low < 2


def test_lapses_do_not_move_the_threshold() -> None:
    """Levels lie almost all above the threshold, where lapses at the top pull a curve without them down."""
    levels = (-12, -8, -4, 0, 4, 8, 12, 16)
    found = fitted(Switching(at=-8.0, slope=1.0, lapses=0.2), clips=600, levels=levels)
    assert found.threshold == pytest.approx(-8, abs=0.6)
    assert found.lapse == pytest.approx(0.1, abs=0.03)


def test_neither_is_left_out_and_does_not_move_the_threshold() -> None:
    found = fitted(Switching(at=-4.0, neither=0.5), clips=600)
    assert found.n == pytest.approx(2100, abs=100)
    assert found.threshold == pytest.approx(-4, abs=0.7)


def test_a_degraded_picture_switches_downwards() -> None:
    found = fitted(Switching(at=12.0, slope=-0.5), manipulation="blur", clips=600, reference=True)
    assert found.threshold == pytest.approx(12, abs=1)
    assert holds(found, 12)
    assert found.slope is not None
    assert found.slope > 0


@pytest.mark.parametrize(("at", "status", "bound"), [(60.0, "above", 10.0), (-60.0, "below", -20.0)])
def test_without_a_switch_there_is_a_bound_and_no_number(at: float, status: str, bound: float) -> None:
    found = fitted(Switching(at=at), clips=14)
    assert (found.status, found.threshold, found.slope) == (status, None, None)
    assert (found.low if status == "above" else found.high) == bound


def test_a_picture_that_is_always_trusted_has_a_bound_in_its_own_direction() -> None:
    found = fitted(Switching(at=400.0, slope=-0.5), manipulation="blur", clips=14)
    assert (found.status, found.low, found.high) == ("above", 40.0, None)


def test_answers_without_a_trend_tell_nothing() -> None:
    found = fitted(Switching(at=0.0, slope=0.0), clips=14)
    assert (found.status, found.threshold, found.low, found.high) == ("not_estimable", None, None, None)


def test_the_wrong_direction_is_no_switch() -> None:
    assert fitted(Switching(at=-5.0, slope=-0.5), clips=60).status == "no_single_switch"


def _shares(shares: Sequence[float], size: int = 200) -> Switch:
    return _fit([(size, round(size * share)) for share in shares], np.linspace(-20, 10, len(shares)).tolist())


@pytest.mark.parametrize(
    "shares",
    [
        (0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1),  # only at middle levels
        (0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.9),
        (0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1),  # the more, the weaker the sense is
        (0.57, 0.52, 0.53, 0.53, 0.94, 0.96, 0.94),  # never less than half
    ],
)
def test_what_is_no_single_switch_has_no_threshold(shares: tuple[float, ...]) -> None:
    found = _shares(shares)
    assert (found.status, found.threshold, found.low, found.high) == ("no_single_switch", None, None, None)


@pytest.mark.parametrize(
    "shares", [(0.05, 0.05, 0.2, 0.5, 0.8, 0.9, 0.9), (0.2, 0.8, 0.9, 0.9), (0.02,) * 3 + (0.98,) * 4]
)
def test_a_switch_with_lapses_fits(shares: tuple[float, ...]) -> None:
    assert _shares(shares).status == "estimated"


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=3, max_size=7), st.integers(0, 2**32))
def test_a_climb_ends_higher_and_tells_where(drawn: list[tuple[int, float]], seed: int) -> None:
    sizes = [size for size, _ in drawn]
    place = np.repeat(np.arange(len(sizes)), sizes)
    followed = np.concatenate([np.arange(size) < round(size * share) for size, share in drawn]).astype(float)
    answers = Groups(place, followed, [np.arange(len(place))])
    data = _Data("logistic", np.arange(len(sizes), dtype=float), answers)
    rng = np.random.default_rng(seed)
    low, high = data.log_slopes
    starts = np.column_stack(
        [rng.uniform(-1, len(sizes), 5), rng.uniform(low, high, 5), rng.uniform(0, 0.3, 5), rng.uniform(0, 0.3, 5)]
    )
    before = answers.log_likelihood(_curve(data.levels, starts, "logistic")[0])
    likelihood, parameters = data._climb(starts, [0, 1, 2, 3])
    there = answers.log_likelihood(_curve(data.levels, parameters, "logistic")[0])
    assert likelihood == pytest.approx(there)
    assert (likelihood >= before - 1e-9).all()


@pytest.mark.parametrize("clips", [1, 2])
def test_too_few_clips_tell_nothing(clips: int) -> None:
    assert fitted(Switching(at=-5.0), clips=clips).status == "not_estimable"


def test_no_answers_and_too_few_levels_tell_nothing() -> None:
    nothing = np.zeros(0)
    assert fit_switch(nothing, nothing, [codes_of([])]).status == "not_estimable"
    assert fitted(Switching(at=-5.0), levels=(-10, 0)).status == "not_estimable"


def test_a_step_between_two_levels_is_enclosed_by_them() -> None:
    found = fitted(Switching(at=-7.5, slope=50.0), clips=14)
    assert found.low is not None
    assert found.high is not None
    assert -10 <= found.low < -7.5 < found.high <= -5
    assert found.slope_high is None, "a step may be as steep as it likes"


SETTINGS = [
    (14, (-20, -10, 0, 10), Switching(-6.0, 0.3, spread=4.0, lapses=0.1)),
    (14, (-20, -15, -10, -5, 0, 5, 10), Switching(3.0, 1.0, spread=6.0)),
    (60, (-20, -10, 0, 10), Switching(-8.0, 0.3, spread=5.0, lapses=0.1)),
    (60, (-20, -15, -10, -5, 0, 5, 10), Switching(-3.0, 2.0, lapses=0.05)),
    (600, (-20, -10, 0, 10), Switching(-8.0, 1.0, spread=5.0)),
]


def _fit(shares: Sequence[tuple[int, int]], at: Sequence[float] = ()) -> Switch:
    """To so many answers at each level, of which so many follow the degraded sense; no two share a clip."""
    levels = np.repeat(at or np.arange(len(shares), dtype=float), [size for size, _ in shares])
    followed = np.concatenate([np.arange(size) < hits for size, hits in shares]).astype(float)
    return fit_switch(levels, followed, [np.arange(len(levels))])


def test_a_likelihood_of_several_maxima_has_its_estimate_within_its_interval() -> None:
    """Seen on a tiny model: half of the few answers at the last level follow either sense."""
    found = _fit([(23, 12), (40, 30), (78, 72), (90, 88), (93, 91)], (-90, -50, -25, -10, 0))
    assert found.threshold is not None
    assert holds(found, found.threshold)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=3, max_size=7))
@settings(max_examples=20, deadline=None)
def test_an_estimate_is_within_its_interval(drawn: list[tuple[int, float]]) -> None:
    found = _fit([(size, round(size * share)) for size, share in drawn])
    assert found.threshold is None or holds(found, found.threshold)


@pytest.mark.slow
@pytest.mark.parametrize(("clips", "levels", "responder"), SETTINGS)
def test_intervals_hold(clips: int, levels: tuple[float, ...], responder: Switching) -> None:
    """40 draws: with 95 % each, fewer than 34 have a probability of 0.003. `benchmarks/coverage_trust.py` has more."""
    draws = [fitted(responder, clips=clips, levels=levels, seed=seed) for seed in range(40)]
    assert sum(holds(found, responder.at) for found in draws) >= 34
    assert sum(found.status == "estimated" for found in draws) >= 20, "an interval that is always open holds too"
