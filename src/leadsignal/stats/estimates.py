"""Estimates with confidence intervals, with influence, and calibrated by negative controls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from leadsignal.errors import OptionError
from leadsignal.stats.normal import Floats, p_value, without_rounding


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
        limits = _limits(self.value, self.std_err, self.df, level)
        with np.errstate(over="ignore"):
            ratio, low, high = (float(np.exp(log)) for log in (self.value, *limits))
        return Estimate(ratio, low, high, self._p, self.std_err, self.df, log=True)

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
        margin = float(stdtrit(df, 0.5 + level / 2)) * error
        with np.errstate(over="ignore"):
            ratio, low, high = (float(np.exp(x)) for x in (value, value - margin, value + margin))
        p = float(2 * stdtr(df, -abs(value) / error)) if error > 0 else float(value == 0)
        return Estimate(ratio, low, high, p, error, float(df), log=True)


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
