"""The normal distribution, p-values corrected for their number, and rounding errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

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
