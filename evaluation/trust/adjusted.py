"""Intervals from a profile likelihood of answers that share clips.

The log-likelihood is that of independent answers, scaled down by the design effect of the parameter of interest (the
vertical adjustment of Chandler and Bate, "Inference for clustered data using the independence loglikelihood",
Biometrika 2007). Unlike Wald's, an interval is open towards the side that the answers leave open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from mma_bench.clusters import Array, Codes, cluster_variance

_NOTHING = 1e-9


@dataclass(frozen=True)
class Groups:
    """Answers with two outcomes, in groups that have one expectation each, e.g. those at one level.

    Attributes:
        place: The group of each answer, [answers].
        followed: The outcome of each answer, 0 or 1, [answers].
        codes: One or two cluster codes of each answer.
    """

    place: npt.NDArray[np.intp]
    followed: Array
    codes: Sequence[Codes]

    @property
    def sizes(self) -> Array:
        """Answers of each group."""
        return np.bincount(self.place).astype(np.float64)

    @property
    def hits(self) -> Array:
        """The sum of the outcomes of each group."""
        return np.bincount(self.place, self.followed).astype(np.float64)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a cluster-robust variance: the effective number of clusters, less one.

        Clusters of uneven size tell less than as many even ones: Kish's effective number.
        """
        return min(len(way) ** 2 / float((np.bincount(way) ** 2).sum()) for way in self.codes) - 1

    def critical(self) -> float:
        """What twice a loss of log-likelihood may be within a 95 % interval: the square of Student's t."""
        return float(special.stdtrit(self.freedom, 0.975)) ** 2 if self.freedom > 0 else np.inf

    def log_likelihood(self, expected: Array) -> Array:
        """Of fits, [fits]; `expected` [fits, groups], above 0 and below 1."""
        found: Array = np.log(expected) @ self.hits + np.log1p(-expected) @ (self.sizes - self.hits)
        return found

    def design_effect(self, expected: Array, interest: Array, nuisance: Array) -> float:
        """The cluster-robust variance of a parameter's efficient score over that of independent answers; at least 1.

        Answers are compared with their group's mean, so that it does not depend on the fit how much they vary.

        Args:
            expected: [groups].
            interest: The derivative of `expected` by the parameter, [groups].
            nuisance: Its derivatives by the parameters that are estimated beside it, [groups, parameters].
        """
        precision = 1 / (expected * (1 - expected))
        weight = self.sizes * precision
        information = nuisance.T @ (weight[:, None] * nuisance)
        information += np.diag(_NOTHING * (1 + np.diag(information)))  # parameters may be of no effect here
        share = np.linalg.solve(information, nuisance.T @ (weight * interest))
        direction = (interest - nuisance @ share) * precision
        means = self.hits / self.sizes
        independent = float((self.sizes * means * (1 - means)) @ direction**2)
        if independent <= _NOTHING * float(self.sizes @ direction**2):
            return 1.0
        rest = self.followed - means[self.place]
        variance, _ = cluster_variance(rest * direction[self.place], self.codes)
        return max(1.0, variance * (self.freedom + 1) / self.freedom / independent) if self.freedom > 0 else 1.0


def ends(values: Array, excess: Array) -> tuple[float | None, float | None]:
    """The outermost values that are not rejected, interpolated; None where they reach the end of the values.

    Args:
        values: Of the parameter, ascending.
        excess: How far twice the loss of log-likelihood is above the critical value; at most 0 if not rejected.
    """
    kept = np.flatnonzero(excess <= 0)
    if not len(kept):
        return None, None

    def crossing(inner: int, outer: int) -> float | None:
        if not 0 <= outer < len(values):
            return None
        share = excess[inner] / (excess[inner] - excess[outer])
        return float(values[inner] + share * (values[outer] - values[inner]))

    return crossing(kept[0], kept[0] - 1), crossing(kept[-1], kept[-1] + 1)
