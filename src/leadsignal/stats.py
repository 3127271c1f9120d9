"""Statistics that several packages share: estimates with intervals, shrinkage, and regression.

The standard deviation between groups is unknown. Shrunken means and rates average over it, weighted
by its likelihood and a half-normal prior, so that intervals reflect its uncertainty.

Means and AUCs over rows keep the influence of every row. The influence on a difference is the
difference of the influences; influences are summed by customer before they are squared.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammainc, gammaln, logit, ndtr, ndtri, stdtr, stdtrit

from leadsignal.errors import ModelError, OptionError
from leadsignal.formats import share_between

Floats = NDArray[np.float64]


ROUNDING = 1e-10
"""A difference smaller than this fraction of the numbers subtracted counts as zero."""


def normal_quantile(level: float) -> float:
    """Return the normal quantile for a two-sided interval with confidence ``level``.

    Examples
    --------
    >>> round(normal_quantile(0.9), 3)
    1.645
    """
    return float(ndtri(0.5 + level / 2))


def two_sided_p(z: ArrayLike) -> Floats:
    """Return the two-sided p-value of standard normal ``z``."""
    p: Floats = 2.0 * ndtr(-np.abs(np.asarray(z, dtype=np.float64)))
    return p


def p_value(estimate: float, std_err: float) -> float:
    """Return the two-sided p-value of an estimate; NaN if nonzero without standard error."""
    if std_err > 0:
        return float(two_sided_p(estimate / std_err))
    return 1.0 if estimate == 0 and std_err == 0 else float("nan")


def without_rounding(difference: ArrayLike, *scales: ArrayLike) -> Floats:
    """Return ``difference``, with 0 where it is only rounding error.

    Parameters
    ----------
    difference : array_like
        The differences.
    *scales : array_like
        The numbers that were subtracted, or others of the same magnitude.

    Returns
    -------
    ndarray
        The differences, with 0 in place of rounding errors.

    Examples
    --------
    >>> float(without_rounding(0.1 + 0.2 - 0.3, 0.3))
    0.0
    """
    size = max(float(np.max(np.abs(scale), initial=0.0)) for scale in scales)
    value = np.asarray(difference, dtype=np.float64)
    return np.where(np.abs(value) <= ROUNDING * size, 0.0, value)


def holm(p: Floats) -> Floats:
    """Return p-values corrected for the number of tests by Holm's (1979) method.

    Parameters
    ----------
    p : ndarray of shape (k,)
        P-values; missing ones (NaN) stay missing and do not count as tests.

    Returns
    -------
    ndarray of shape (k,)
        Corrected p-values, at most 1.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).round(3)
    array([0.03, 0.06,  nan, 0.06])
    """
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factor))
    return corrected


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval and p-value.

    Parameters
    ----------
    estimate : float
        The point estimate.
    low, high : float
        Confidence limits.
    p : float
        Two-sided p-value of the hypothesis of no effect.
    std_err : float, default NaN
        Standard error, of the logarithm if ``log``; NaN if the interval is not based on one.
    df : float, default NaN
        Degrees of freedom of Student's t for the interval; infinite for the normal distribution.
    log : bool, default False
        Whether the interval is symmetric on the logarithmic scale.
    bounds : tuple of float
        Possible range of the quantity; the limits are clipped to it.
    """

    estimate: float
    low: float
    high: float
    p: float
    std_err: float = field(default=np.nan, repr=False, compare=False)
    df: float = field(default=np.nan, repr=False, compare=False)
    log: bool = field(default=False, repr=False, compare=False)
    bounds: tuple[float, float] = field(default=(-np.inf, np.inf), repr=False, compare=False)

    def at(self, level: float) -> Self:
        """Return the estimate with its interval at another confidence level.

        Raises
        ------
        OptionError
            If the estimate has no standard error.

        Examples
        --------
        >>> ratio = ClusteredEstimate(1.0, np.array([0.5, -0.5])).ratio(0.95)
        >>> ratio.at(0.95) == ratio, ratio.at(0.99).low < ratio.low
        (True, True)
        """
        if np.isnan(self.std_err):
            raise OptionError(
                "the estimate has no standard error", "Pass the level where it is computed"
            )
        with np.errstate(over="ignore", divide="ignore"):
            centre = np.log(self.estimate) if self.log else self.estimate
            low, high = _limits(float(centre), self.std_err, self.df, level)
            if self.log:
                low, high = float(np.exp(low)), float(np.exp(high))
        return replace(self, low=max(low, self.bounds[0]), high=min(high, self.bounds[1]))

    def to_dict(self) -> dict[str, object]:
        """Return estimate, low and high, ready for JSON, with None for non-finite values."""
        plain = {"estimate": self.estimate, "low": self.low, "high": self.high}
        return {name: value if np.isfinite(value) else None for name, value in plain.items()}

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside the interval."""
        return not self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.estimate:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, eq=False)
class ClusteredEstimate:
    """A value with the influence of each cluster on it.

    The difference of two such values takes their covariance into account. The squared standard
    error is the sum of the squared influences (infinitesimal jackknife), times C/(C − 1). That sum
    is uncertain if a few clusters dominate it, so intervals use Student's t with the degrees of
    freedom that match its variance (Satterthwaite 1946): 2 (Σφ²)² / (Σφ⁴ − (Σφ²)²/C).

    Parameters
    ----------
    value : float
        The point estimate.
    influence : ndarray of shape (clusters,)
        Influence of each cluster.
    """

    value: float
    influence: Floats

    @property
    def std_err(self) -> float:
        """Cluster-robust standard error."""
        touched = max(2, int(np.count_nonzero(self.influence)))
        square = float(self.influence @ self.influence)
        return float(np.sqrt(square * touched / (touched - 1)))

    @property
    def df(self) -> float:
        """Degrees of freedom of the standard error."""
        square = self.influence[self.influence != 0] ** 2
        total = float(square.sum())
        if not total:
            return 1.0
        spread = float(square @ square) / total**2 - 1 / len(square)
        return float(max(1.0, min(2 / spread, 1e6))) if spread > 0 else 1e6

    def __sub__(self, other: ClusteredEstimate) -> ClusteredEstimate:
        scales = (self.value, other.value, self.std_err, other.std_err)
        return ClusteredEstimate(
            float(without_rounding(self.value - other.value, *scales)),
            without_rounding(self.influence - other.influence, self.influence, other.influence),
        )

    def log(self) -> ClusteredEstimate:
        """Return the logarithm, by the delta method."""
        return ClusteredEstimate(float(np.log(self.value)), self.influence / self.value)

    def estimate(
        self, level: float = 0.95, bounds: tuple[float, float] = (-np.inf, np.inf)
    ) -> Estimate:
        """Return the value with its confidence interval, clipped to ``bounds``."""
        low, high = _limits(self.value, self.std_err, self.df, level)
        low, high = max(low, bounds[0]), min(high, bounds[1])
        return Estimate(
            self.value, low, high, self._p, self.std_err, self.df, log=False, bounds=bounds
        )

    def ratio(self, level: float = 0.95) -> Estimate:
        """Return the ratio whose logarithm is the value, with its confidence interval."""
        return _ratio(self.value, self.std_err, self.df, level, self._p)

    @property
    def _p(self) -> float:
        error = self.std_err
        if error > 0:
            return float(2 * stdtr(self.df, -abs(self.value) / error))
        return p_value(self.value, error)


def _limits(centre: float, std_err: float, df: float, level: float) -> tuple[float, float]:
    """Return the limits of an interval based on Student's t."""
    margin = float(stdtrit(df, 0.5 + level / 2)) * std_err
    return centre - margin, centre + margin


def _ratio(log: float, std_err: float, df: float, level: float, p: float) -> Estimate:
    """Return the ratio with this logarithm, with its interval."""
    with np.errstate(over="ignore"):
        ratio, low, high = (float(np.exp(x)) for x in (log, *_limits(log, std_err, df, level)))
    return Estimate(ratio, low, high, p, std_err, df, log=True)


MIN_CONTROLS = 5
"""Minimum number of negative controls from which their spread is estimated."""


@dataclass(frozen=True)
class EmpiricalNull:
    """Distribution of log hazard ratios under no effect, estimated from negative controls.

    Parameters
    ----------
    mean : float
        Mean log hazard ratio of the controls: the bias that they share.
    variance : float
        Variance of the bias between controls, in excess of sampling error.
    mean_square_error : float
        Mean squared standard error of the controls' estimates.
    controls : int
        Number of controls.
    """

    mean: float
    variance: float
    mean_square_error: float
    controls: int

    def calibrate(self, log_ratio: float, std_err: float, level: float = 0.95) -> Estimate:
        """Return a hazard ratio corrected for the bias that the controls show.

        The variance of log_ratio − mean is std_err² + τ² + (τ² + mean_square_error) / K with K
        controls and τ² = ``variance``; the interval uses Student's t with K − 1 degrees of freedom.

        Parameters
        ----------
        log_ratio : float
            Log hazard ratio.
        std_err : float
            Its standard error.
        level : float, default 0.95
            Confidence level.

        Returns
        -------
        Estimate
            The calibrated hazard ratio.
        """
        value, df = log_ratio - self.mean, self.controls - 1
        shared = (self.variance + self.mean_square_error) / self.controls
        error = float(np.sqrt(std_err**2 + self.variance + shared))
        p = float(2 * stdtr(df, -abs(value) / error)) if error > 0 else float(value == 0)
        return _ratio(value, error, float(df), level, p)


def empirical_null(log_ratios: ArrayLike, std_errs: ArrayLike) -> EmpiricalNull:
    """Return the distribution of the log hazard ratios of negative controls.

    The mean is the plain mean; the excess variance is their variance minus the mean squared
    standard error, but at least 0 (method of moments).

    Parameters
    ----------
    log_ratios : array-like of shape (controls,)
        Log hazard ratios.
    std_errs : array-like of shape (controls,)
        Their standard errors.

    Returns
    -------
    EmpiricalNull

    Raises
    ------
    OptionError
        If there are fewer than five controls.

    References
    ----------
    Schuemie, Ryan, DuMouchel, Suchard & Madigan (2014), Statistics in Medicine 33: 209-218;
    Schuemie, Hripcsak, Ryan, Madigan & Suchard (2018), PNAS 115: 2571-2577.

    Examples
    --------
    >>> null = empirical_null([-0.5, -0.7, -0.6, -0.8, -0.4], [0.1, 0.1, 0.1, 0.1, 0.1])
    >>> round(null.mean, 2), null.calibrate(-0.6, 0.1).excludes(1.0)
    (-0.6, False)
    """
    values = np.asarray(log_ratios, dtype=np.float64)
    errors = np.asarray(std_errs, dtype=np.float64)
    if len(values) < MIN_CONTROLS:
        raise OptionError(
            f"{len(values)} negative controls are too few to calibrate an effect",
            f"Give at least {MIN_CONTROLS}",
        )
    square = float(np.mean(errors**2))
    excess = max(0.0, float(np.var(values, ddof=1)) - square)
    return EmpiricalNull(float(values.mean()), excess, square, len(values))


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


@dataclass(frozen=True)
class Share:
    """A proportion with its 95 % confidence interval (Wilson 1927).

    Parameters
    ----------
    count : int
        Number of accounts, or other units, that have the property.
    of : int
        Total number of units.

    Examples
    --------
    >>> Share(3, 10)
    30 % (11 to 60 %)
    """

    count: int
    of: int

    @property
    def estimate(self) -> float:
        """The proportion; NaN if there are no units."""
        return self.count / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper confidence limit; 0 and 1 if there are no units."""
        return wilson_limits(self.estimate, self.of)

    def __repr__(self) -> str:
        low, high = self.interval
        return share_between(self.estimate, low, high) if self.of else "none to count"

    def to_dict(self) -> dict[str, float | int | None]:
        """Return count, of, share, low and high, ready for JSON."""
        low, high = self.interval
        share = self.estimate if self.of else None
        return {"count": self.count, "of": self.of, "share": share, "low": low, "high": high}


def wilson_limits(share: float, size: float, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a proportion (Wilson 1927).

    Parameters
    ----------
    share : float
        The proportion.
    size : float
        Denominator of the proportion; it need not be an integer.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    tuple of float
        Lower and upper limit; 0 and 1 for a size of 0.

    Examples
    --------
    >>> [round(limit, 4) for limit in wilson_limits(0.3, 10)]
    [0.1078, 0.6032]
    """
    if not size:
        return 0.0, 1.0
    z = normal_quantile(level)
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    # If the proportion is 0 or 1, that limit is exact, without rounding error.
    low = max(0.0, float(middle - z * half)) if share > 0 else 0.0
    return low, min(1.0, float(middle + z * half)) if share < 1 else 1.0


def logit_limits(estimate: ArrayLike, std_err: ArrayLike, level: float) -> tuple[Floats, Floats]:
    """Return confidence limits of proportions or AUCs, symmetric on the logit scale.

    They lie between 0 and 1. For an estimate of 0 or 1, which has no logit, both limits equal the
    estimate.

    Examples
    --------
    >>> [float(limit.round(3)) for limit in logit_limits(0.9, 0.1, 0.95)]
    [0.505, 0.988]
    """
    share, spread = np.broadcast_arrays(np.asarray(estimate, float), np.asarray(std_err, float))
    inside = (share > 0) & (share < 1)
    safe = np.where(inside, share, 0.5)
    middle, margin = logit(safe), normal_quantile(level) * spread / (safe * (1 - safe))
    lower, upper = expit(middle - margin), expit(middle + margin)
    return np.where(inside, lower, share), np.where(inside, upper, share)


@dataclass(frozen=True, eq=False)
class RowEstimate:
    """An estimate with the influence of each row on it.

    Parameters
    ----------
    estimate : float
        The point estimate.
    influence : ndarray of shape (n,)
        Influence of each row.
    bounds : tuple of float
        Range of the quantity.
    counted : ndarray of bool, optional
        For a proportion, the rows in its denominator.
    """

    estimate: float
    influence: Floats
    bounds: tuple[float, float] = (-np.inf, np.inf)
    counted: NDArray[np.bool_] | None = None

    def __sub__(self, other: RowEstimate) -> RowEstimate:
        (low, high), (lowest, highest) = self.bounds, other.bounds
        return RowEstimate(
            float(without_rounding(self.estimate - other.estimate, self.estimate, other.estimate)),
            without_rounding(self.influence - other.influence, self.influence, other.influence),
            (low - highest, high - lowest),
        )

    def interval(self, cluster: NDArray[np.int64], level: float = 0.95) -> tuple[float, float]:
        """Return the confidence limits, which lie within ``bounds``.

        For proportions and AUCs they are computed on the logit scale. If a proportion of rows is 0
        or 1, the other limit follows from the number C of its clusters (the rule of three): it is 1
        − (1 − level)^(1/C) away. If an estimate depends on one cluster only, the limits are
        ``bounds``.

        Parameters
        ----------
        cluster : ndarray of int, shape (n,)
            Cluster of each row, numbered from 0.
        level : float, default 0.95
            Confidence level.

        Returns
        -------
        tuple of float
            Lower and upper limit.
        """
        if self.counted is not None and self.estimate in (0.0, 1.0):
            clusters = _distinct(cluster[self.counted])
            distance = 1 - (1 - level) ** (1 / clusters)
            return (0.0, distance) if self.estimate == 0 else (1 - distance, 1.0)
        if _distinct(cluster[self.influence != 0]) == 1:
            return self.bounds
        if self.bounds != (0.0, 1.0):
            margin = normal_quantile(level) * self.std_err(cluster)
            low, high = self.bounds
            return max(self.estimate - margin, low), min(self.estimate + margin, high)
        lower, upper = logit_limits(self.estimate, self.std_err(cluster), level)
        return float(lower), float(upper)

    def std_err(self, cluster: NDArray[np.int64]) -> float:
        """Return the cluster-robust standard error; NaN if only one cluster counts."""
        if not len(cluster) or _distinct(cluster[self.influence != 0]) == 1:
            return float("nan")
        sums = np.bincount(cluster, weights=self.influence)
        return float(np.sqrt(sums @ sums))


def _distinct(cluster: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.bincount(cluster))) if len(cluster) else 0


def mean_of(values: Floats, weight: Floats | None = None) -> RowEstimate:
    """Return the (weighted) mean of ``values``, ignoring rows whose value or weight is NaN.

    The mean of zeros and ones is treated as a proportion.

    Examples
    --------
    >>> mean_of(np.array([1.0, 0.0, 1.0, np.nan])).estimate
    0.6666666666666666
    """
    weights = np.ones(len(values)) if weight is None else weight
    weights = np.where(np.isnan(values) | np.isnan(weights), 0.0, weights)
    total = weights.sum()
    if total <= 0:
        return RowEstimate(float("nan"), np.zeros(len(values)))
    estimate = float(np.nansum(weights * np.nan_to_num(values)) / total)
    influence = weights * (np.nan_to_num(values) - estimate) / total
    counted = weights > 0
    if not np.isin(values[counted], (0.0, 1.0)).all():
        return RowEstimate(estimate, influence)
    return RowEstimate(min(estimate, 1.0), influence, (0.0, 1.0), counted)


def auc_of(case: NDArray[np.bool_], score: Floats, weight: Floats | None = None) -> RowEstimate:
    """Return the area under the ROC curve of ``score`` (DeLong, DeLong & Clarke-Pearson 1988).

    That is the proportion of pairs of a case and another row in which the case has the higher
    score; ties count half. The estimate is NaN without cases or without other rows. Pairs count by
    the product of their weights.

    Examples
    --------
    >>> auc_of(np.array([True, False, True, False]), np.array([0.9, 0.2, 0.4, 0.4])).estimate
    0.875
    """
    if not case.any() or case.all():
        return RowEstimate(float("nan"), np.zeros(len(score)), (0.0, 1.0))
    own = np.ones(len(score)) if weight is None else weight
    above_others = _below_or_half(score[~case], own[~case], score)
    under_cases = 1 - _below_or_half(score[case], own[case], score)
    estimate = float(np.average(above_others[case], weights=own[case]))
    part = np.where(
        case,
        (above_others - estimate) / own[case].sum(),
        (under_cases - estimate) / own[~case].sum(),
    )
    return RowEstimate(estimate, own * part, (0.0, 1.0))


def _below_or_half(values: Floats, weight: Floats, score: Floats) -> Floats:
    """Return the share of ``values``, by weight, below each score; ties count half."""
    order = np.argsort(values)
    running = np.concatenate(([0.0], np.cumsum(weight[order])))
    below, upto = (
        running[np.searchsorted(values[order], score, side=side)] for side in ("left", "right")
    )
    return np.asarray((below + upto) / 2 / running[-1])


MAX_STEPS = 100
PRECISION = 1e-14
"""Newton's method stops when the next step would reduce the loss by a smaller fraction."""
KEPT = 3.0
"""The Hessian is reused while each step gains at most a third of what the previous one gained."""


@dataclass(frozen=True, eq=False)
class SharedRows:
    """Design matrix of ``own`` columns (n, k) and ``shared`` columns (m, p) of each row's owner.

    Row i consists of ``own[i]`` and ``shared[owner[i]]``. Sums over rows are taken by owner first,
    so the p shared columns cost only as much as m rows.
    """

    own: Floats
    shared: Floats
    owner: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Number of columns of a row."""
        return int(self.own.shape[1]) + int(self.shared.shape[1])

    def part(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> SharedRows:
        """Return the chosen rows, with their owners only."""
        owners, owner = np.unique(self.owner[chosen], return_inverse=True)
        return SharedRows(self.own[chosen], self.shared[owners], owner)

    def times(self, coef: Floats) -> Floats:
        """Return the linear predictor, shape (n,)."""
        few = self.own.shape[1]
        together = self.shared @ coef[few:]
        return self.own @ coef[:few] + together[self.owner]

    def summed(self, weight: Floats) -> Floats:
        """Return the weighted sum of the rows, shape (k + p,)."""
        sums: Floats = np.r_[self.own.T @ weight, self.shared.T @ self._by_owner(weight)]
        return sums

    def products(self, weight: Floats) -> Floats:
        """Return the sum of weight · row · row', shape (k + p, k + p)."""
        own = self.own * weight[:, None]
        between = np.column_stack([self._by_owner(column) for column in own.T])
        corner = self.shared.T @ between
        # A matrix times its own transpose takes half as long as a product of two matrices.
        root = self._single * np.sqrt(self._by_owner(weight)).astype(np.float32)[:, None]
        square = (root.T @ root).astype(np.float64)
        return np.block([[own.T @ self.own, corner.T], [corner, square]])

    @cached_property
    def _single(self) -> NDArray[np.float32]:
        """The shared columns in single precision: enough for a Hessian, in half the time."""
        return self.shared.astype(np.float32)

    def _by_owner(self, values: Floats) -> Floats:
        return np.bincount(self.owner, values, len(self.shared)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class LogitFit:
    """Coefficients (k,), and the curvature (k, k) of one unit of weight near them."""

    coef: Floats
    curvature: Floats


def penalised_logit(
    design: SharedRows,
    ended: NDArray[np.bool_],
    weight: Floats,
    penalty: Floats,
    near: LogitFit | None = None,
) -> LogitFit:
    """Return the coefficients that maximise the penalised likelihood, by Newton's method.

    The Hessian, the most expensive part, is reused while it still gives fast convergence.

    Parameters
    ----------
    design : SharedRows
        The design. An intercept is the first column of ``own``.
    ended, weight : arrays of shape (n,)
        The outcome and the weight of each row.
    penalty : array of shape (k + p,)
        Ridge penalty λ of each coefficient β; the loss includes ½ λ β².
    near : LogitFit, optional
        A fit on similar rows, to start from.

    Returns
    -------
    LogitFit

    Raises
    ------
    ModelError
        If Newton's method does not converge.

    Examples
    --------
    >>> own, owner = np.ones((4, 1)), np.array([0, 0, 1, 1])
    >>> design = SharedRows(own, np.array([[0.0], [1.0]]), owner)
    >>> ended = np.array([False, True, True, True])
    >>> penalised_logit(design, ended, np.ones(4), np.array([0.0, 1.0])).coef.round(3)
    array([0.899, 0.421])
    """
    from scipy.linalg import cho_factor, cho_solve

    total = float(weight.sum())
    coef = np.zeros(len(penalty)) if near is None else near.coef
    curvature = np.zeros((0, 0)) if near is None else near.curvature
    if near is None:
        coef[0] = _constant(design, ended, weight)
    now, fell, before = _loss(design, coef, ended, weight, penalty), np.inf, np.inf
    factor = None if near is None else cho_factor(total * curvature + np.diag(penalty + 1e-9))
    for _ in range(MAX_STEPS):
        chance = expit(design.times(coef))
        slope = design.summed(weight * (chance - ended)) + penalty * coef
        unknown = near is None and before == np.inf
        if factor is None or unknown or fell > before / KEPT:
            curvature = design.products(weight * chance * (1 - chance)) / total
            factor = cho_factor(total * curvature + np.diag(penalty + 1e-9))
        step = cho_solve(factor, slope)
        if slope @ step <= PRECISION * (abs(now) + 1e-12):
            return LogitFit(coef, curvature)
        share = 1.0
        while (after := _loss(design, coef - share * step, ended, weight, penalty)) > now:
            share /= 2
            if share < 1e-6:
                return LogitFit(coef, curvature)
        coef = np.asarray(coef - share * step, dtype=np.float64)
        before, fell, now = fell, now - after, after
    raise ModelError(
        f"a logistic regression did not converge within {MAX_STEPS} steps",
        "Leave out indicators with extreme values",
    )


def _constant(design: SharedRows, ended: NDArray[np.bool_], weight: Floats) -> float:
    """Return the log-odds of the overall rate; 0 if the first column is not an intercept."""
    share = float(np.average(ended, weights=weight))
    constant = bool((design.own[:, 0] == 1.0).all())
    return float(np.log(share / (1 - share))) if constant and 0 < share < 1 else 0.0


def _loss(
    design: SharedRows, coef: Floats, ended: NDArray[np.bool_], weight: Floats, penalty: Floats
) -> float:
    linear = design.times(coef)
    losses = np.logaddexp(0.0, linear) - ended * linear
    return float(weight @ losses + 0.5 * penalty @ coef**2)
