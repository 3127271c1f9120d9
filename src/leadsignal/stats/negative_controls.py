"""Empirical calibration of log hazard ratios with negative controls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from leadsignal.errors import OptionError
from leadsignal.stats.estimates import Estimate

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
