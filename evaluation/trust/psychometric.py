"""The psychometric function of a switch: a logistic curve of the level, fitted by maximum likelihood.

At level x a model follows the degraded sense rather than the other one with probability
p(x) = γ + (1 − γ − λ) F(x), F being the logistic function with slope β; the threshold is the level at which p is one
half, both senses being followed equally often. Where clips switch at different levels the mean over clips is steeper in
its middle than at its ends: F may also be the cumulative normal of the same slope in the middle, if that fits better,
and intervals hold for both.

γ and λ, the shares of answers that the level does not change, are estimated: fixed at 0 they bias threshold and slope
(Wichmann and Hill, "The psychometric function: I. Fitting, sampling, and goodness of fit", Perception & Psychophysics
2001), and some bias remains if their bounds are tight (Prins, "The psychometric function: The lapse rate revisited",
Journal of Vision 2012). Their bound here is wide, and the threshold is a property of p and not of F, so that it means
the same whatever they are. A curve that does not fit has none: a model may follow a sense at middle levels only, or the
more often the weaker it is.

Answers about one clip at several levels are not independent, and clips switch at different levels: the curve is that of
the mean over clips, with an interval that allows for it (`adjusted`). Nothing is extrapolated beyond the levels that
were tried: an interval that reaches the last of them is open.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from scipy import special

from mma_bench.clusters import Array, Codes
from mma_bench.evaluation.trust.adjusted import Groups, ends
from mma_bench.stats import ALPHA, share

Shape: TypeAlias = Literal["logistic", "normal"]
Status: TypeAlias = Literal["estimated", "above", "below", "not_estimable", "no_single_switch"]

SHAPES: Final[tuple[Shape, ...]] = ("logistic", "normal")
LAPSES: Final = 0.3  # the largest γ and λ
_THRESHOLD, _SLOPE, _GUESS, _LAPSE = range(4)  # of the parameters; the slope as its logarithm
_POINTS: Final = 61  # of a profile between the lowest and the highest level
_BEYOND: Final = 12  # on either side
_ROUNDS: Final = 25
_SWEEPS: Final = 20
_EDGE: Final = 1e-6  # the least probability
_NORMAL: Final = math.sqrt(2 * math.pi) / 4  # gives the cumulative normal the logistic function's slope


@dataclass(frozen=True)
class Switch:
    """Where answers switch from the other sense to the degraded one.

    Attributes:
        status: `estimated`; `above` or `below` all levels that were tried; `not_estimable`; or `no_single_switch`, if
            the curve that fits best does not fit: it misses the share at one of the levels (`_misses`).
        threshold: In the level's unit; None unless estimated.
        low: Of the 95 % interval; None if it is open, or if nothing can be said. If the status is above, a bound that
            holds with 97.5 %.
        high: The same, if the status is below.
        slope: Of the logistic function, per unit, at least 0; None unless the threshold is estimated.
        guess: γ, 0 to LAPSES: the share of answers that follow the degraded sense however weak it is; None as above.
        lapse: λ, the same of the other sense however strong the degraded one is.
        shape: Of F; None as above.
        design_effect: At least 1: how much the variance of the threshold is inflated by answers that share clips.
        n: Answers that follow one of the senses.
        clusters: The fewest clusters of them: base clips or donors.
    """

    status: Status
    threshold: float | None
    low: float | None
    high: float | None
    slope: float | None
    slope_low: float | None
    slope_high: float | None
    guess: float | None
    lapse: float | None
    shape: Shape | None
    design_effect: float | None
    n: int
    clusters: int

    def curve(self, levels: Array) -> Array:
        """p at the levels; needs an estimated threshold."""
        found = [self.threshold, np.log(self.slope or 1.0), self.guess, self.lapse]
        followed: Array = _curve(levels, np.array([found], np.float64), self.shape or "logistic")[0][0]
        return followed


def fit_switch(levels: Array, followed: Array, codes: Sequence[Codes]) -> Switch:
    """The fit to answers that follow either the degraded sense or the other one.

    Args:
        levels: The more, the stronger the degraded sense, [answers].
        followed: 1 for the degraded sense, 0 for the other one, [answers].
        codes: One or two cluster codes of each answer: base clip, donor.
    """
    clusters = min((int(way.max()) + 1 for way in codes), default=0) if len(levels) else 0
    unknown: dict[str, Any] = dict.fromkeys(field.name for field in fields(Switch))
    nothing = Switch(**{**unknown, "status": "not_estimable", "n": len(levels), "clusters": clusters})
    if clusters < 2 or len(np.unique(levels)) < 3:
        return nothing
    distinct, place = np.unique(levels, return_inverse=True)
    answers = Groups(place, followed, codes)
    fits = [_Data(shape, distinct, answers) for shape in SHAPES]
    critical = answers.critical()
    span = float(distinct[-1] - distinct[0])
    inside = np.linspace(distinct[0], distinct[-1], _POINTS)
    outside = np.linspace(0.05, 1, _BEYOND) * span
    grid = np.concatenate([distinct[0] - outside[::-1], inside, distinct[-1] + outside])
    profiles = [fit.profile(_THRESHOLD, grid) for fit in fits]
    maxima = [fit.maximum(*profile) for fit, profile in zip(fits, profiles, strict=True)]
    chosen = int(np.argmax([top for top, _ in maxima]))
    top, best = maxima[chosen]
    if _misses(_curve(distinct, best[None], SHAPES[chosen])[0][0], answers):
        return replace(nothing, status="no_single_switch")
    within, effects = _either(
        fits, [(profile[_BEYOND:-_BEYOND], at[_BEYOND:-_BEYOND]) for profile, at in profiles], _THRESHOLD, top, critical
    )
    low, high = ends(inside, within)
    threshold = float(best[_THRESHOLD])
    if within[0] <= 0 and within[-1] <= 0:
        return nothing
    effect = float(effects[np.abs(inside - threshold).argmin()])
    if threshold > inside[-1]:
        bound = float(inside[-1]) if low is None and within[-1] > 0 else low
        return replace(nothing, status="above", low=bound, design_effect=effect)
    if threshold < inside[0]:
        bound = float(inside[0]) if high is None and within[0] > 0 else high
        return replace(nothing, status="below", high=bound, design_effect=effect)
    slopes = np.linspace(*fits[0].log_slopes, num=_POINTS)
    by_slope = [fit.profile(_SLOPE, slopes) for fit in fits]
    slope_low, slope_high = ends(slopes, _either(fits, by_slope, _SLOPE, top, critical)[0])
    return Switch(
        "estimated",
        threshold,
        low,
        high,
        float(np.exp(best[_SLOPE])),
        None if slope_low is None else float(np.exp(slope_low)),
        None if slope_high is None else float(np.exp(slope_high)),
        float(best[_GUESS]),
        float(best[_LAPSE]),
        SHAPES[chosen],
        effect,
        len(levels),
        clusters,
    )


def _misses(expected: Array, answers: Groups) -> bool:
    """Whether the share of a level differs from the curve's by more than chance; all levels together miss in 5 %.

    Args:
        expected: The curve's share at each level.
        answers: In groups by level.
    """
    alpha = ALPHA / len(expected)
    for level, wanted in enumerate(expected):
        there = answers.place == level
        seen = share(answers.followed[there].tolist(), [way[there].tolist() for way in answers.codes], alpha=alpha)
        assert seen.low is not None
        assert seen.high is not None
        if not seen.low <= wanted <= seen.high:
            return True
    return False


def _either(
    fits: Sequence["_Data"], profiles: Sequence[tuple[Array, Array]], interest: int, top: float, critical: float
) -> tuple[Array, Array]:
    """How far each value is from being kept by either shape (at most 0 if it is), and the design effects there."""
    effects = [fit.design_effects(at, interest) for fit, (_, at) in zip(fits, profiles, strict=True)]
    # Nowhere less than at the best value: far from it, other levels count, at which clips may differ less.
    effects = [np.maximum(effect, effect[found.argmax()]) for effect, (found, _) in zip(effects, profiles, strict=True)]
    losses = [2 * (max(top, float(found.max())) - found) for found, _ in profiles]
    excess = [loss / effect - critical for loss, effect in zip(losses, effects, strict=True)]
    return np.min(excess, axis=0), np.max(effects, axis=0)


def _curve(levels: Array, parameters: Array, shape: Shape) -> tuple[Array, Array]:
    """p [fits, levels], and its derivatives by the parameters [fits, levels, 4]; `parameters` [fits, 4]."""
    threshold, slope, guess, lapse = (column[:, None] for column in parameters.T)
    rate = np.exp(slope)
    half = (0.5 - guess) / (1 - guess - lapse)  # F where p is one half
    shift = special.logit(half) if shape == "logistic" else special.ndtri(half) / _NORMAL
    at = shift + rate * (levels - threshold)
    rising = special.expit(at) if shape == "logistic" else special.ndtr(_NORMAL * at)
    density, at_half = _density(at, shape), _density(shift, shape)
    remaining = 1 - guess - lapse
    steepness = remaining * density
    derivatives = np.stack(
        [
            -steepness * rate,
            steepness * rate * (levels - threshold),
            1 - rising - density / at_half * (0.5 - lapse) / remaining,
            -rising + density / at_half * (0.5 - guess) / remaining,
        ],
        axis=-1,
    )
    return np.clip(guess + (1 - guess - lapse) * rising, _EDGE, 1 - _EDGE), derivatives


def _density(at: Array, shape: Shape) -> Array:
    found: Array = (
        special.expit(at) * special.expit(-at) if shape == "logistic" else np.exp(-((_NORMAL * at) ** 2) / 2) / 4
    )
    return found


@dataclass(frozen=True)
class _Data:
    shape: Shape
    levels: Array  # distinct, ascending
    answers: Groups  # by level

    @property
    def span(self) -> float:
        return float(self.levels[-1] - self.levels[0])

    @property
    def slopes(self) -> tuple[float, float]:
        """From nearly flat to a step between neighbouring levels."""
        return 0.1 / self.span, 20 / float(np.diff(self.levels).min())

    @property
    def log_slopes(self) -> tuple[float, float]:
        """Their logarithms."""
        lowest, highest = self.slopes
        return math.log(lowest), math.log(highest)

    def profile(self, fixed: int, values: Array) -> tuple[Array, Array]:
        """The largest log-likelihood with one parameter fixed at each of the values, and the parameters there."""
        places = [
            np.linspace(self.levels[0] - self.span / 2, self.levels[-1] + self.span / 2, 15),
            np.linspace(*self.log_slopes, num=10),
            np.array([0.01, 0.15]),
            np.array([0.01, 0.15]),
        ]
        places[fixed] = np.zeros(1)
        starts = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 4)
        every = np.repeat(starts[None], len(values), axis=0)
        every[..., fixed] = values[:, None]
        found = self.answers.log_likelihood(_curve(self.levels, every.reshape(-1, 4), self.shape)[0]).reshape(
            len(values), -1
        )
        best = every[np.arange(len(values)), found.argmax(axis=1)]
        free = [index for index in range(4) if index != fixed]
        likelihood, parameters = self._climb(best, free)
        # There may be several maxima: the fit at the next value may be on a higher one.
        for _ in range(_SWEEPS):
            before = likelihood.copy()
            for step in (1, -1):
                start = np.roll(parameters, step, axis=0)
                start[:, fixed] = values
                tried, its = self._climb(start, free)
                parameters = np.where((tried > likelihood)[:, None], its, parameters)
                likelihood = np.maximum(tried, likelihood)
            if (likelihood <= before + 0.01).all():
                break
        return likelihood, parameters

    def maximum(self, profile: Array, fitted: Array) -> tuple[float, Array]:
        """The largest log-likelihood and its parameters; in the middle, if several thresholds fit equally well."""
        plateau = np.flatnonzero(profile >= profile.max() - 1e-3)
        found, parameters = self._climb(fitted[plateau[len(plateau) // 2]][None], list(range(4)))
        return float(found[0]), parameters[0]

    def _climb(self, parameters: Array, free: list[int]) -> tuple[Array, Array]:
        """Fisher scoring, damped as by Levenberg and Marquardt, within the bounds; all fits at once."""
        low = np.array([self.levels[0] - 2 * self.span, np.log(self.slopes[0]), 0.0, 0.0])
        high = np.array([self.levels[-1] + 2 * self.span, np.log(self.slopes[1]), LAPSES, LAPSES])
        p, derivatives = _curve(self.levels, parameters, self.shape)
        hits, sizes = self.answers.hits, self.answers.sizes
        best, damping = self.answers.log_likelihood(p), np.full(len(parameters), 1e-3)
        for _ in range(_ROUNDS):
            weight = 1 / (p * (1 - p))
            moves = derivatives[..., free]
            slope = np.einsum("fl,flk->fk", weight * (hits - sizes * p), moves)
            at_bound = ((parameters <= low)[:, free] & (slope < 0)) | ((parameters >= high)[:, free] & (slope > 0))
            slope, moves = np.where(at_bound, 0.0, slope), np.where(at_bound[:, None], 0.0, moves)
            information = np.einsum("fl,flj,flk->fjk", weight * sizes, moves, moves)
            diagonal = np.einsum("fkk->fk", information)
            diagonal += damping[:, None] * diagonal + 1e-9
            trial = parameters.copy()
            trial[:, free] += np.linalg.solve(information, slope[..., None])[..., 0]
            trial = np.where(np.isin(range(4), free), np.clip(trial, low, high), parameters)
            tried, its = _curve(self.levels, trial, self.shape)
            value = self.answers.log_likelihood(tried)
            better = value > best
            if not (value > best + 1e-9).any() and (damping > 1e3).all():
                break
            parameters = np.where(better[:, None], trial, parameters)
            p, derivatives = np.where(better[:, None], tried, p), np.where(better[:, None, None], its, derivatives)
            best, damping = np.where(better, value, best), np.where(better, damping / 5, damping * 8)
        return best, parameters

    def design_effects(self, fits: Array, interest: int) -> Array:
        """`Groups.design_effect` of a parameter at each of the fits [fits, 4]."""
        return np.array(
            [
                self.answers.design_effect(
                    p,
                    moves[:, interest],
                    moves[:, [1 - interest, *(index for index in (_GUESS, _LAPSE) if 0 < fit[index] < LAPSES)]],
                )
                for p, moves, fit in zip(*_curve(self.levels, fits, self.shape), fits, strict=True)
            ]
        )
