"""The psychometric function of a switch: a logistic curve of the level, fitted by maximum likelihood.

At level x a model follows the degraded sense rather than the other one with probability
p(x) = γ + (1 − γ − λ) F(x), F being the logistic function with slope β; the threshold is the level at which p is one
half, both senses being followed equally often. γ and λ, the shares of answers that the level does not change, are
estimated: fixed at 0 they bias threshold and slope (Wichmann and Hill, "The psychometric function: I", Perception &
Psychophysics 2001), and some bias remains if their bounds are tight (Prins, "The psychometric function: The lapse rate
revisited", Journal of Vision 2012). Their bound here is wide, and because the threshold is a property of p and not of
F, it means the same whatever they are.

Answers about one clip at several levels are not independent, and clips switch at different levels. The curve is that
of the mean over clips; its log-likelihood is scaled to the cluster-robust variance at the maximum (the vertical
adjustment of Chandler and Bate, "Inference for clustered data using the independence loglikelihood", Biometrika 2007),
never upwards, and an interval is the set of values whose profile is within Student's t² of the maximum. So an interval
is open towards the side that the answers leave open; beyond the levels that were tried nothing is extrapolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from mma_bench.clusters import Array, Codes, cluster_variance

Status: TypeAlias = Literal["estimated", "above", "below", "not_estimable"]

LAPSES: Final = 0.3  # the largest γ and λ
_THRESHOLD, _SLOPE, _GUESS, _LAPSE = range(4)  # of the parameters; the slope as its logarithm
_POINTS: Final = 61  # of a profile between the lowest and the highest level
_BEYOND: Final = 12  # on either side
_ROUNDS: Final = 40
_EDGE: Final = 1e-6  # the least probability


@dataclass(frozen=True)
class Switch:
    """Where answers switch from the other sense to the degraded one.

    Attributes:
        status: `estimated`; `above` or `below` all levels that were tried; or `not_estimable`.
        threshold: In the level's unit; None unless estimated.
        low: Of the 95 % interval; None if it is open, or if nothing can be said. If the status is above, a bound that
            holds with 97.5 %.
        high: The same, if the status is below.
        slope: Of the logistic function, per unit, at least 0; None unless the threshold is estimated.
        guess: γ, 0 to LAPSES: the share of answers that follow the degraded sense however weak it is; None as above.
        lapse: λ, the same of the other sense however strong the degraded one is.
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
    design_effect: float | None
    n: int
    clusters: int

    def curve(self, levels: Array) -> Array:
        """p at the levels; needs an estimated threshold."""
        found = [self.threshold, np.log(self.slope or 1.0), self.guess, self.lapse]
        return _curve(levels, np.array([found], np.float64))[0][0]


def fit_switch(levels: Array, followed: Array, codes: Sequence[Codes]) -> Switch:
    """The fit to answers that follow either the degraded sense or the other one.

    Args:
        levels: The more, the stronger the degraded sense, [answers].
        followed: 1 for the degraded sense, 0 for the other one, [answers].
        codes: One or two cluster codes of each answer: base clip, donor.
    """
    clusters = min((int(way.max()) + 1 for way in codes), default=0) if len(levels) else 0
    nothing = Switch("not_estimable", *[None] * 9, len(levels), clusters)  # type: ignore[arg-type]
    if clusters < 2 or len(np.unique(levels)) < 3:
        return nothing
    data = _Data.of(levels, followed)
    critical = float(special.stdtrit(clusters - 1, 0.975)) ** 2
    inside = np.linspace(data.levels[0], data.levels[-1], _POINTS)
    outside = np.linspace(0.05, 1, _BEYOND) * data.span
    grid = np.concatenate([data.levels[0] - outside[::-1], inside, data.levels[-1] + outside])
    profile, fitted = data.profile(_THRESHOLD, grid)
    plateau = np.flatnonzero(profile >= profile.max() - 1e-3)
    best, top = data.refine(fitted[plateau[len(plateau) // 2]])
    top = max(top, float(profile.max()))
    effects = data.design_effects(fitted[_BEYOND:-_BEYOND], _THRESHOLD, followed, codes)
    within = 2 * (top - profile[_BEYOND:-_BEYOND]) / effects - critical  # at most 0: not rejected
    low, high = _ends(inside, within)
    threshold = float(best[_THRESHOLD])
    effect = float(effects[np.abs(inside - threshold).argmin()])
    if within[0] <= 0 and within[-1] <= 0:
        return nothing
    if threshold > inside[-1]:
        bound = float(inside[-1]) if low is None and within[-1] > 0 else low
        return Switch("above", None, bound, *[None] * 6, effect, *(len(levels), clusters))  # type: ignore[arg-type]
    if threshold < inside[0]:
        bound = float(inside[0]) if high is None and within[0] > 0 else high
        return Switch("below", None, None, bound, *[None] * 5, effect, *(len(levels), clusters))  # type: ignore[arg-type]
    slopes = np.linspace(*np.log(data.slopes), _POINTS)
    by_slope, sloped = data.profile(_SLOPE, slopes)
    spread = data.design_effects(sloped, _SLOPE, followed, codes)
    slope_low, slope_high = _ends(slopes, 2 * (max(top, float(by_slope.max())) - by_slope) / spread - critical)
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
        effect,
        len(levels),
        clusters,
    )


def _ends(values: Array, within: Array) -> tuple[float | None, float | None]:
    """The outermost values that are not rejected, interpolated; None where the set reaches the end of the values."""
    kept = np.flatnonzero(within <= 0)
    if not len(kept):
        return None, None

    def crossing(inner: int, outer: int) -> float | None:
        if not 0 <= outer < len(values):
            return None
        share = within[inner] / (within[inner] - within[outer])
        return float(values[inner] + share * (values[outer] - values[inner]))

    return crossing(kept[0], kept[0] - 1), crossing(kept[-1], kept[-1] + 1)


def _curve(levels: Array, parameters: Array) -> tuple[Array, Array]:
    """p [fits, levels], and its derivatives by the parameters [fits, levels, 4]; `parameters` [fits, 4]."""
    threshold, slope, guess, lapse = (column[:, None] for column in parameters.T)
    rate = np.exp(slope)
    shift = np.log((0.5 - guess) / (0.5 - lapse))  # so that p is one half at the threshold
    rising = special.expit(shift + rate * (levels - threshold))
    steepness = (1 - guess - lapse) * rising * (1 - rising)
    derivatives = np.stack(
        [
            -steepness * rate,
            steepness * rate * (levels - threshold),
            1 - rising - steepness / (0.5 - guess),
            -rising + steepness / (0.5 - lapse),
        ],
        axis=-1,
    )
    return np.clip(guess + (1 - guess - lapse) * rising, _EDGE, 1 - _EDGE), derivatives


@dataclass(frozen=True)
class _Data:
    levels: Array  # distinct, ascending
    place: npt.NDArray[np.intp]  # of each answer's level among them
    answers: Array  # at each level
    followed: Array  # at each level, the degraded sense

    @classmethod
    def of(cls, levels: Array, followed: Array) -> "_Data":
        distinct, place = np.unique(levels, return_inverse=True)
        return cls(distinct, place, np.bincount(place).astype(np.float64), np.bincount(place, followed))

    @property
    def span(self) -> float:
        return float(self.levels[-1] - self.levels[0])

    @property
    def slopes(self) -> tuple[float, float]:
        """From nearly flat to a step between neighbouring levels."""
        return 0.1 / self.span, 20 / float(np.diff(self.levels).min())

    def likelihood(self, p: Array) -> Array:
        """Log-likelihood of each fit, [fits]."""
        found: Array = np.log(p) @ self.followed + np.log1p(-p) @ (self.answers - self.followed)
        return found

    def profile(self, fixed: int, values: Array) -> tuple[Array, Array]:
        """The largest log-likelihood with one parameter fixed at each of the values, and the parameters there."""
        places = [
            np.linspace(self.levels[0] - self.span / 2, self.levels[-1] + self.span / 2, 15),
            np.linspace(*np.log(self.slopes), 10),
            np.array([0.01, 0.15]),
            np.array([0.01, 0.15]),
        ]
        places[fixed] = np.zeros(1)
        starts = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 4)
        every = np.repeat(starts[None], len(values), axis=0)
        every[..., fixed] = values[:, None]
        found = self.likelihood(_curve(self.levels, every.reshape(-1, 4))[0]).reshape(len(values), -1)
        best = every[np.arange(len(values)), found.argmax(axis=1)]
        return self._climb(best, [index for index in range(4) if index != fixed])

    def refine(self, start: Array) -> tuple[Array, float]:
        """The maximum near a start, with all parameters free."""
        found, parameters = self._climb(start[None], list(range(4)))
        return parameters[0], float(found[0])

    def _climb(self, parameters: Array, free: list[int]) -> tuple[Array, Array]:
        """Fisher scoring, damped as by Levenberg and Marquardt, within the bounds; all fits at once."""
        low = np.array([self.levels[0] - 2 * self.span, np.log(self.slopes[0]), 0.0, 0.0])
        high = np.array([self.levels[-1] + 2 * self.span, np.log(self.slopes[1]), LAPSES, LAPSES])
        p, derivatives = _curve(self.levels, parameters)
        best, damping = self.likelihood(p), np.full(len(parameters), 1e-3)
        for _ in range(_ROUNDS):
            weight = 1 / (p * (1 - p))
            moves = derivatives[..., free]
            slope = np.einsum("fl,flk->fk", weight * (self.followed - self.answers * p), moves)
            at_bound = ((parameters <= low)[:, free] & (slope < 0)) | ((parameters >= high)[:, free] & (slope > 0))
            slope, moves = np.where(at_bound, 0.0, slope), np.where(at_bound[:, None], 0.0, moves)
            information = np.einsum("fl,flj,flk->fjk", weight * self.answers, moves, moves)
            diagonal = np.einsum("fkk->fk", information)
            diagonal += damping[:, None] * diagonal + 1e-9
            trial = parameters.copy()
            trial[:, free] += np.linalg.solve(information, slope[..., None])[..., 0]
            trial = np.where(np.isin(range(4), free), np.clip(trial, low, high), parameters)
            tried, its = _curve(self.levels, trial)
            value = self.likelihood(tried)
            better = value > best
            if not (value > best + 1e-9).any() and (damping > 1e3).all():
                break
            parameters = np.where(better[:, None], trial, parameters)
            p, derivatives = np.where(better[:, None], tried, p), np.where(better[:, None, None], its, derivatives)
            best, damping = np.where(better, value, best), np.where(better, damping / 5, damping * 8)
        return best, parameters

    def design_effects(
        self, fits: Array, interest: int, followed: Array, codes: Sequence[Codes]
    ) -> npt.NDArray[np.float64]:
        """The cluster-robust variance of a parameter's efficient score over that of independent answers, at least 1, at
        each of the fits [fits, 4]. Answers are compared with their level's mean, so that it does not depend on the fit
        whether they vary.
        """
        means = self.followed / self.answers
        varied = self.answers * means * (1 - means)
        rest = followed - means[self.place]
        found = np.ones(len(fits))
        for number, (p, moves, fit) in enumerate(zip(*_curve(self.levels, fits), fits, strict=True)):
            others = moves[:, [1 - interest, *(index for index in (_GUESS, _LAPSE) if 0 < fit[index] < LAPSES)]]
            weight = self.answers / (p * (1 - p))
            shared = others.T @ (weight * moves[:, interest])
            information = others.T @ (weight[:, None] * others)
            direction = moves[:, interest] - others @ (np.linalg.pinv(information, hermitian=True) @ shared)
            direction = direction / (p * (1 - p))
            independent = float(varied @ direction**2)
            if independent > 1e-9 * float(self.answers @ direction**2):
                variance, df = cluster_variance(rest * direction[self.place], codes)
                found[number] = max(1.0, variance * (df + 1) / df / independent)
        return found
