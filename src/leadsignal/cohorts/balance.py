"""Test whether accounts in two states differ in a baseline covariate, at equal tenure.

Accounts in a state are compared with accounts of the same tenure in the reference state. At the
tenure t of each churn, let z be 1 for those at risk in the state and 0 for those in the reference,
and let x be a covariate. The sum of (z − z̄_t)(x − x̄_t) over all t and all accounts at risk is the
covariance through which x confounds Cox's coefficient of z. Its mean is 0 if the change of state
does not depend on x, however long accounts live; a comparison by the state *ever* reached lacks
this property. The standard error is that of a sum over clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from leadsignal.cohorts.covariates import columns_of
from leadsignal.cohorts.dated import CHURN, DatedCohorts
from leadsignal.cohorts.risk_intervals import RiskIntervals
from leadsignal.survival.inputs import Floats, Ints, sums_by_code


@dataclass(frozen=True)
class Gap:
    """The largest standardised difference in a covariate, and the p-value of no difference."""

    size: float
    p: float


def gap_at_equal_tenure(
    rows: RiskIntervals, cohorts: DatedCohorts, level: int, values: NDArray[Any]
) -> Gap:
    """Return how far a covariate (n) differs between accounts in ``level`` and the reference."""
    X = columns_of({"x": values}, cohorts.weight)[0]
    own = cohorts.weights[rows.account][:, None]
    churned = rows.cause == CHURN
    times, place = np.unique(rows.stop[churned], return_inverse=True)
    churns = np.bincount(place, own[churned, 0], len(times))
    if not X.size or not len(times):
        return Gap(0.0, 1.0)
    X, z = X[rows.account], (rows.group == level).astype(np.float64)
    first, last = (np.searchsorted(times, t, side="right") for t in (rows.start, rows.stop))

    def at_risk(what: Floats) -> Floats:
        """Return the weighted sum over the accounts at risk at each time (k × p)."""
        size = len(times) + 1
        change = _sums(first, own * what, size) - _sums(last, own * what, size)
        return np.cumsum(change[:-1], axis=0)

    count = at_risk(np.ones((len(z), 1)))
    z_mean, x_mean = at_risk(z[:, None]) / count, at_risk(X) / count
    weight = churns[:, None]

    def sum_over_rows(what: Floats) -> Floats:
        """Return, for each row, the weighted sum over the times at which it is at risk."""
        steps = np.vstack((np.zeros((1, what.shape[1])), np.cumsum(weight * what, axis=0)))
        return steps[last] - steps[first]

    ones, z = np.ones_like(count), z[:, None]
    each = own * (
        z * X * sum_over_rows(ones)
        - z * sum_over_rows(x_mean)
        - X * sum_over_rows(z_mean)
        + sum_over_rows(z_mean * x_mean)
    )
    spread_z = float((weight * count * z_mean * (1 - z_mean)).sum())
    if spread_z <= 0:
        return Gap(0.0, 1.0)
    variance = (weight * (at_risk(X**2) - count * x_mean**2)).sum(axis=0) / (weight * count).sum()
    gap = np.abs(each.sum(axis=0)) / spread_z
    size = float((gap / np.sqrt(np.where(variance > 0, variance, np.inf))).max())
    return Gap(size, _p_of_none(_by_cluster(each, cohorts, rows)))


def _by_cluster(each: Floats, cohorts: DatedCohorts, rows: RiskIntervals) -> Floats:
    """Return the sum over the rows of each cluster that has rows (C × p)."""
    cluster = cohorts.cluster[rows.account]
    there = np.bincount(cluster) > 0
    return _sums(cluster, each, len(there))[there]


def _sums(codes: Ints, what: Floats, size: int) -> Floats:
    """Return the sum of the rows (m × p) with each code."""
    return np.column_stack([sums_by_code(codes, column, size) for column in what.T])


def _p_of_none(each: Floats) -> float:
    """Return the p-value of a mean of 0 in all columns (Hotelling 1931)."""
    n = len(each)
    mean, covariance = each.mean(axis=0), np.atleast_2d(np.cov(each, rowvar=False))
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if not 0 < rank < n:
        return 1.0
    square = n * float(mean @ np.linalg.pinv(covariance, hermitian=True) @ mean)
    return float(fdtrc(rank, n - rank, square * (n - rank) / (rank * (n - 1))))
