"""Estimates of several groups, shrunk towards their common mean.

The standard deviation between groups is unknown. Both functions average over it, weighted by its
likelihood and a half-normal prior, so that intervals reflect its uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaln

from leadsignal.stats.normal import Floats

MEAN_SPREADS = np.linspace(0.0, 4.0, 201)
"""Standard deviations between groups that `shrunken_means` averages over."""
MEAN_PRIOR = 1.0
"""Scale of their half-normal prior, weakly informative (Röver et al. 2021): at this
spread, two hazard ratios in three lie within a factor of e of the mean."""
RATE_SPREADS = np.linspace(0.01, 2.0, 120)
"""Standard deviations between relative rates that `shrunken_rates` averages over."""
RATE_PRIOR = 0.5
"""Scale of their half-normal prior."""


@dataclass(frozen=True, eq=False)
class ShrunkenMeans:
    """Shrunken estimates of k groups.

    Parameters
    ----------
    estimate, std_err : ndarray of shape (k,)
        Shrunken estimates and their standard errors.
    mean : float
        The mean that they are shrunk towards.
    spread : float
        Posterior mean of the standard deviation of the true values between groups.
    """

    estimate: Floats
    std_err: Floats
    mean: float
    spread: float


def shrunken_means(estimate: Floats, std_err: Floats) -> ShrunkenMeans:
    """Shrink estimates of k true values that are normal around a common mean.

    Given the spread between groups, this is empirical Bayes (Morris 1983), including the error of
    the mean. Spreads are weighted by their restricted likelihood (DerSimonian & Laird 1986, §2) and
    a half-normal prior. With a single estimate of the spread (Paule & Mandel 1982), 95 % intervals
    of three groups had only 88 % coverage.

    Parameters
    ----------
    estimate : ndarray of shape (k,)
        Estimates; a missing one (NaN) is shrunk to the mean.
    std_err : ndarray of shape (k,)
        Their standard errors.

    Returns
    -------
    ShrunkenMeans

    Examples
    --------
    >>> shrunken_means(np.array([0.0, 1.0]), np.array([1.0, 1.0])).estimate.round(2)
    array([0.35, 0.65])
    """
    known = np.isfinite(estimate)
    theta, noise = np.where(known, estimate, 0.0), np.where(known, std_err, np.inf) ** 2
    between = MEAN_SPREADS[:, None] ** 2
    weight = 1 / (noise + between)
    total = weight.sum(axis=1)
    mean = weight @ theta / total
    away = np.where(known, theta - mean[:, None], 0.0)
    fit = np.log(weight[:, known]).sum(axis=1) - (weight * away**2).sum(axis=1) - np.log(total)
    plausible = np.exp((fit - fit.max()) / 2 - (MEAN_SPREADS / MEAN_PRIOR) ** 2 / 2)
    plausible /= plausible.sum()
    keep = between * weight
    shrunk = mean[:, None] + keep * away
    own = np.where(known, keep * np.where(known, noise, 0.0), between)
    variance = own + np.where(known, 1 - keep, 1.0) ** 2 / total[:, None]
    centre = plausible @ shrunk
    error = np.sqrt(plausible @ (variance + (shrunk - centre) ** 2))
    return ShrunkenMeans(centre, error, float(plausible @ mean), float(plausible @ MEAN_SPREADS))


@dataclass(frozen=True, eq=False)
class ShrunkenRates:
    """Shrunken ratios of observed to expected events of k groups.

    Parameters
    ----------
    rate, low, high : ndarray of shape (k,)
        Posterior means and limits of the relative rates.
    below_average : ndarray of shape (k,)
        Probabilities that the relative rates are below 1.
    spread : float
        Posterior mean of the standard deviation of the relative rates between groups.
    """

    rate: Floats
    low: Floats
    high: Floats
    below_average: Floats
    spread: float


def shrunken_rates(events: Floats, expected: Floats, level: float = 0.95) -> ShrunkenRates:
    """Shrink the ratios of observed to expected events of k groups towards 1.

    The events of a group are Poisson with mean θE, where E is the expected number; θ is gamma with
    mean 1 and variance τ². Values of τ are weighted by the negative binomial likelihoods of all
    groups (Clayton & Kaldor 1987) and a half-normal prior.

    Parameters
    ----------
    events : ndarray of shape (k,)
        Number of events of each group.
    expected : ndarray of shape (k,)
        Expected number of events of each group.
    level : float, default 0.95
        Posterior probability of the intervals.

    Returns
    -------
    ShrunkenRates

    Examples
    --------
    >>> shrunken_rates(np.array([2.0, 10.0]), np.array([6.0, 6.0])).rate.round(2)
    array([0.69, 1.31])
    """
    shape = 1 / RATE_SPREADS**2
    log_weight = _log_likelihood(events, expected, shape) - 0.5 * (RATE_SPREADS / RATE_PRIOR) ** 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    rows = []
    for n, e in zip(events, expected, strict=True):
        a, b = shape + n, shape + e
        low, high = (_quantile(q, a, b, weight) for q in (0.5 - level / 2, 0.5 + level / 2))
        rows.append((float(weight @ (a / b)), low, high, _below(1.0, a, b, weight)))
    rate, lower, upper, below = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return ShrunkenRates(rate, lower, upper, below, float(weight @ RATE_SPREADS))


def _log_likelihood(events: Floats, expected: Floats, shape: Floats) -> Floats:
    """Return the negative binomial log-likelihood of all groups at each shape 1/τ²."""
    N, E, a = events, expected, shape[:, None]
    each = (
        gammaln(a + N) - gammaln(a) - gammaln(N + 1)
        + a * np.log(a / (a + E)) + N * np.log(np.maximum(E, 1e-12) / (a + E))
    )  # fmt: skip
    total: Floats = each.sum(axis=1)
    return total


def _below(x: float, a: Floats, b: Floats, weight: Floats) -> float:
    """Return the probability that the mixture of gammas lies below ``x``."""
    return float(weight @ gammainc(a, b * x))


def _quantile(q: float, a: Floats, b: Floats, weight: Floats) -> float:
    """Return a quantile of the mixture of gammas, by bisection."""
    low, high = 0.0, float((a / b + 12 * np.sqrt(a) / b).max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, a, b, weight) < q else (low, middle)
    return (low + high) / 2
