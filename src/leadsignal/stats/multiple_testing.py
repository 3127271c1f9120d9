"""Correction of p-values for the number of tests."""

from __future__ import annotations

import numpy as np

from leadsignal.stats.normal import Floats


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
